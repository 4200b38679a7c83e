"""What all tests share: a home of their own, and a model small enough to train in a second."""

import os
from pathlib import Path

import pytest

import core.learning  # noqa: F401 - its settings come before torch

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test asks a hub, unless it says where one is.
os.environ["HF_HUB_OFFLINE"] = "1"

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

TEXTS = {
    "good": ["a fine day", "we like it", "fine and good work", "good day", "they like good work"],
    "bad": ["a poor day", "we hate it", "poor and bad work", "bad day", "they hate bad work"],
}
"""Ten short texts in two classes, in words that the tiny model knows."""


@pytest.fixture(autouse=True)
def textuner_home(tmp_path, monkeypatch) -> Path:
    """An empty home for every test: nothing is read from or written to the person's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("TEXTUNER_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """A folder of models with one in it: `tiny`, a two-layer BERT with random weights."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = sorted({word for texts in TEXTS.values() for text in texts for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    ).save_pretrained(folder)
    return folder.parent


@pytest.fixture
def tiny(tiny_models, monkeypatch) -> str:
    """The name in the catalogue of a two-layer BERT with random weights."""
    monkeypatch.setenv("TEXTUNER_MODELS", str(tiny_models))
    return "local/tiny"


@pytest.fixture
def splits():
    """Six training, two validation and two test texts in two classes."""
    from core.data.labels import LabeledTexts
    from core.data.splits import Splits

    label2id = {"bad": 0, "good": 1}

    def part(first: int, last: int) -> LabeledTexts:
        pairs = [(text, label2id[label]) for label, texts in TEXTS.items() for text in texts[first:last]]
        return LabeledTexts([text for text, _ in pairs], [label for _, label in pairs], label2id)

    return Splits(part(0, 3), part(3, 4), part(4, 5), how="by hand")


@pytest.fixture
def dataset(splits):
    """The ten texts as a saved data set."""
    from core.data.datasets import save_dataset

    return save_dataset("ten texts", splits, [], {"file": "ten.csv"})
