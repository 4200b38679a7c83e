import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.learning.batching import Batch
from core.learning.hardware import Hardware
from core.learning.models.interface import load_finetuned
from core.learning.tokenizer import TextTokenizer
from core.serving import attribution
from core.serving.attribution import (
    Attribution,
    describe_words,
    integrated_gradients,
    leave_one_out,
    leave_out,
    log_odds,
    notes_on,
    split_words,
    word_rows,
)
from core.serving.classifier import Classifier

TEXT = "they like good work"


def words_of(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


def letters(text: str) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(len(text)) if not text[i].isspace()]


def test_leaving_out_a_word_is_what_the_classifier_says_without_it(tiny_model):
    classifier = Classifier.load(tiny_model)
    found = leave_one_out(classifier, TEXT, "good")
    assert words_of(TEXT, found.spans) == TEXT.split()
    number = classifier.names.index("good")
    for i, rest in enumerate(("like good work", "they good work", "they like work", "they like good")):
        answer = classifier.predict([rest]).probabilities
        assert found.without[i] == pytest.approx(answer[0, number], abs=1e-6)
        expected = log_odds(classifier.predict([TEXT]).probabilities, number)[0] - log_odds(answer, number)[0]
        assert found.weights[i] == pytest.approx(expected, abs=1e-4)
    other = leave_one_out(classifier, TEXT, "bad")
    assert np.allclose(other.weights, -found.weights)


def test_what_is_too_long_to_be_read_has_no_word(tiny_model):
    text = "good bad " * 40
    found = leave_one_out(Classifier.load(tiny_model), text, "good")
    # 16 tokens, of which two are special ones.
    assert len(found.spans) == 14
    assert text[: found.read] == ("good bad " * 7).rstrip()


def test_long_texts_are_looked_at_in_stretches_and_nothing_is_left_out():
    text = " ".join(f"w{i}" for i in range(200))
    spans, each, read = split_words(text, [(0, len(text))], most=64)
    assert (each, len(spans), read) == (4, 50, len(text))
    assert " ".join(words_of(text, spans)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\n\tc", ["a", "b", "c"]),
        ("我喜欢 tea", ["我", "喜", "欢", "tea"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("", []),
        ("  ", []),
    ],
)
def test_words_are_cut_as_their_script_has_them(text, expected):
    spans, _, _ = split_words(text, letters(text))
    assert words_of(text, spans) == expected


def test_a_letter_of_several_tokens_is_one_word():
    spans, _, _ = split_words("語x", [(0, 1), (0, 1), (0, 1), (1, 2)])
    assert words_of("語x", spans) == ["語", "x"]


def test_log_odds_do_not_flatten_out():
    sure = np.array([[1 - 1e-17, 1e-17], [1.0, 0.0]])
    assert log_odds(sure, 0)[0] == pytest.approx(17 * np.log(10))
    assert np.isfinite(log_odds(sure, 0)).all()


@pytest.mark.parametrize("label", ["good", "bad"])
def test_integrated_gradients_add_up_to_what_the_text_adds_to_padding(tiny_model, label):
    found = integrated_gradients(tiny_model, TEXT, label)
    tokenizer = TextTokenizer(tiny_model)
    network = load_finetuned(tiny_model, Hardware("cpu", "fp32", "test"))
    ids = torch.tensor([tokenizer.spans(TEXT)[0], [2, 0, 0, 0, 0, 3]])
    logits = network.logits(Batch(ids, None, torch.zeros(2))).double()
    odds = log_odds(logits.softmax(dim=1).numpy(), network.names.index(label))
    assert found.whole == pytest.approx(odds[0] - odds[1], abs=1e-4)
    assert found.weights.sum() == pytest.approx(odds[0] - odds[1], abs=abs(found.delta) + 1e-4)
    assert abs(found.delta) < 0.02 * max(1, abs(found.whole))
    assert words_of(TEXT, found.spans) == TEXT.split()
    # Both ways of asking name the same word.
    left_out = leave_one_out(Classifier.load(tiny_model), TEXT, label)
    assert found.strongest(1) == left_out.strongest(1)


def test_more_steps_are_taken_where_the_sum_is_off(tiny_model, monkeypatch):
    taken = []

    def gradients(model, ids, padding, number, steps):
        taken.append(steps)
        return np.full(ids.shape[1], 1.0), 3.0 if steps == attribution.STEPS else 6.0

    monkeypatch.setattr(attribution, "_gradients", gradients)
    found = integrated_gradients(tiny_model, TEXT, "good")
    assert taken == [attribution.STEPS, attribution.MOST_STEPS]
    assert (found.steps, found.delta) == (attribution.MOST_STEPS, 0.0)


def test_the_pieces_of_a_word_are_added_up():
    weights = attribution._by_word(
        np.array([9.0, 1.0, 2.0, 4.0, 9.0]), [(0, 0), (0, 3), (3, 6), (7, 9), (0, 0)], [(0, 6), (7, 9)]
    )
    assert weights.tolist() == [3.0, 4.0]


def test_no_code_of_the_folder_runs(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: pass\n")
    integrated_gradients(folder, TEXT, "good")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("a good day", "good", "a day"),
        ("a good day", "a", "good day"),
        ("a good day", "day", "a good"),
        ("good", "good", ""),
        ("a\n good\n day", "good", "a\n day"),
        ("好天気です", "天気", "好です"),
        ("(good), day", "good", "(), day"),
    ],
)
def test_no_space_is_left_of_a_word_that_is_left_out(text, word, expected):
    start = text.index(word)
    assert leave_out(text, (start, start + len(word))) == expected


@pytest.mark.parametrize("label2id", [None, {"good": 0, "bad": 1}, {}])
def test_gradients_are_of_the_class_that_the_classifier_means(tiny_model, tmp_path, label2id):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config.pop("label2id")
    extra = {} if label2id is None else {"label2id": label2id}
    (folder / "config.json").write_text(json.dumps(config | extra))
    found, right = (integrated_gradients(place, TEXT, "good") for place in (folder, tiny_model))
    assert found.weights == pytest.approx(right.weights)


FOUND = Attribution("good", [(0, 4), (5, 9)], np.array([0.25, -1.5]), np.array([0.6, 0.9]), 1, 9)
GRADIENTS = replace(FOUND, without=None, whole=-1.3, delta=0.05, steps=50)


def test_words_are_a_table_and_a_sentence_with_the_strongest_first():
    table = {name: list(column) for name, column in word_rows("they like", FOUND).items()}
    assert table == {"Word": ["like", "they"], "Weight": [-1.5, 0.25], "Without it": [90.0, 60.0]}
    assert list(word_rows("they like", replace(GRADIENTS, words_each=2))) == ["Words", "Weight"]
    assert describe_words("they like", FOUND) == "Words by their weight for good: like -1.50; they +0.25."


@pytest.mark.parametrize(
    ("text", "found", "notes"),
    [
        ("they like ", FOUND, []),
        ("they like", replace(FOUND, words_each=3), ["More than 64 words: 3 neighbouring"]),
        ("they like it", FOUND, ["The model reads the first 9 characters"]),
        (
            "they like",
            GRADIENTS,
            ["the weights add up to -1.250, what the text adds to an empty one is -1.300"],
        ),
    ],
)
def test_what_must_be_known_to_read_the_weights_is_said(text, found, notes):
    said = notes_on(text, found)
    assert len(said) == len(notes)
    assert all(note in words for note, words in zip(notes, said, strict=True))
