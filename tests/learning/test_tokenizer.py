import json

import pytest

from core.learning import pretrained
from core.learning.tokenizer import TextTokenizer

TEXTS = [
    "A plain sentence, with a comma.",
    "Grüße aus Köln, naïve café",
    "good 👍 morning 🌞",
    "你好,世界",
    "",
    "   ",
    "tab\tand\nnew line\u200b\u0000 and a control\u0007 sign",
    "MiXeD CaSe AND 1,234.5 %",
    "word " * 300,
    "[CLS] not a sign [SEP]",
]


@pytest.mark.parametrize("saved", [False, True])
def test_ids_are_those_of_transformers(saved, tmp_path):
    from transformers import AutoTokenizer

    folder = pretrained.resolve("bundled")
    tokenizer = TextTokenizer(folder, 128)
    if saved:
        tokenizer.save(tmp_path)
        (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
        folder = tmp_path
    theirs = AutoTokenizer.from_pretrained(folder)
    expected = theirs(TEXTS, truncation=True, max_length=128)["input_ids"]
    ids, truncated = TextTokenizer(folder, None if saved else 128).encode(TEXTS)
    assert ids == expected
    assert truncated == 1
    assert tokenizer.padding_id == theirs.pad_token_id == 0
    if saved:
        assert theirs.model_max_length == 128


def test_the_padding_id_is_that_of_the_folder(tiny, tmp_path):
    source = pretrained.resolve(tiny)
    (tmp_path / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({"pad_token_id": 5}))
    assert TextTokenizer(tmp_path, 8).padding_id == 5
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "[SEP]"}}))
    assert TextTokenizer(tmp_path, 8).padding_id == 3


def test_a_limit_beyond_all_measure_means_none(tiny, tmp_path):
    TextTokenizer(pretrained.resolve(tiny), 8).save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 8
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 1e30}))
    assert len(TextTokenizer(tmp_path).encode(["good " * 3000])[0][0]) == 3002
