"""A model that trains in a second, and texts in words that it knows. No pytest: benchmarks use it too."""

from pathlib import Path

import core.learning  # noqa: F401 - its settings come before torch
from core.data.labels import LabeledTexts
from core.data.splits import Splits

TEXTS = {
    "good": ["a fine day", "we like it", "fine and good work", "good day", "they like good work"],
    "bad": ["a poor day", "we hate it", "poor and bad work", "bad day", "they hate bad work"],
}
"""Ten short texts in two classes, in words that the tiny model knows."""

LABEL2ID = {"bad": 0, "good": 1}


def write_tiny_model(folder: Path) -> None:
    """A two-layer BERT with random weights, always the same; its tokenizer knows the words of `TEXTS`."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = sorted({word for texts in TEXTS.values() for text in texts for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
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


def tiny_splits() -> Splits:
    """Six training, two validation and two test texts in two classes."""

    def part(first: int, last: int) -> LabeledTexts:
        pairs = [(text, LABEL2ID[label]) for label, texts in TEXTS.items() for text in texts[first:last]]
        return LabeledTexts([text for text, _ in pairs], [label for _, label in pairs], LABEL2ID)

    return Splits(part(0, 3), part(3, 4), part(4, 5), how="by hand")
