import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.reading.read_options import ENCODINGS, choice_of, words_of
from core.data.tables import ReadOptions


@pytest.mark.parametrize(
    "choice",
    [
        ReadOptions(),
        ReadOptions(encoding="cp1252", delimiter="\t", quotechar="", has_header=False, skipped_lines=0),
        ReadOptions(delimiter="", quotechar="'", has_header=True, skipped_lines=12),
        ReadOptions(sheet="Sheet 1", member="a/b.csv"),
    ],
)
def test_a_choice_survives_a_link(choice):
    assert choice_of(words_of(choice)) == choice


@given(
    st.dictionaries(st.sampled_from(["encoding", "delimiter", "has_header", "skipped_lines", "x"]), st.text())
)
def test_what_a_stranger_writes_into_a_link_is_a_choice_or_a_guess(words):
    choice = choice_of(words)
    assert choice.has_header in (None, True, False)
    assert choice.skipped_lines is None or 0 <= choice.skipped_lines < 10**9


def test_nonsense_is_guessed():
    words = {"has_header": "perhaps", "skipped_lines": "-1", "delimiter": "x" * 501, "other": "a"}
    assert choice_of(words) == ReadOptions()


def test_every_encoding_that_is_offered_is_known():
    assert all(codecs.lookup(name)._is_text_encoding for name in ENCODINGS)
