"""What all stacks train on: the same rows, the same folder of weights and tokenizer."""

import csv
import json
import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SST2 = PROJECT.parent / "shared" / "data" / "sst2" / "train.csv"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@dataclass(frozen=True)
class Job:
    """Everything one stack's process needs to know; travels as JSON."""

    stack: str
    data: str
    """CSV of the training rows; its folder may hold test.csv."""
    model: str
    """Folder with config.json, model.safetensors and the tokenizer's files."""
    batch: int
    """Texts per optimizer step."""
    device: str
    """cpu or cuda, for all stacks alike."""
    precision: str
    """Of the stacks that may choose: auto, bf16 or fp32."""
    max_length: int
    """Tokens kept of each text, special tokens included."""
    learning_rate: float
    warmup: float
    """Share of all steps; then linear decay over the rest. The tutorial's loop has neither."""
    epochs: int
    """An end that no measurement by blocks reaches, or the whole training when accuracy is asked."""
    seed: int
    whole: bool
    """Train all epochs and score test.csv, instead of blocks on demand."""
    limit_batches: tuple[int, ...] = ()
    """For the products alone: the batch sizes (texts) whose shapes to measure."""


@dataclass(frozen=True)
class Rows:
    """Texts and their class numbers."""

    texts: list[str]
    labels: list[int]
    label2id: dict[str, int]


def read_rows(file: Path, label2id: dict[str, int] | None = None) -> Rows:
    """The rows of a CSV with the columns text and label.

    Args:
        label2id: classes of the training rows, for rows to score; None numbers the labels found, in order.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        pairs = [(row["text"], row["label"]) for row in csv.DictReader(lines)]
    if label2id is None:
        label2id = {label: i for i, label in enumerate(sorted({label for _, label in pairs}))}
    return Rows([text for text, _ in pairs], [label2id[label] for _, label in pairs], label2id)


def test_file(data: Path) -> Path:
    """Where the rows to score lie."""
    return data.with_name("test.csv")


test_file.__test__ = False


def has_bf16() -> bool:
    """Whether the GPU, or without one this processor, multiplies bfloat16 in hardware."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def wants_bf16(precision: str) -> bool:
    """Whether a stack that may choose its precision computes in bfloat16."""
    return precision == "bf16" or (precision == "auto" and has_bf16())


def spread(batches: Iterable[Sequence[int]], lengths: Sequence[int]) -> list[Sequence[int]]:
    """The same batches in an order in which any few successive ones hold short and long texts alike.

    Grouped batches differ much in length, so that a block of a few seconds would be fast or slow by chance.
    The order is that of the multiples of the golden ratio, which fill the unit interval evenly.

    Args:
        batches: row numbers; a last batch with fewer rows stays the last.
        lengths: tokens by row.
    """
    batches = list(batches)
    rest = [batches.pop()] if len(batches[-1]) < len(batches[0]) else []
    by_length = sorted(batches, key=lambda rows: max(lengths[row] for row in rows))
    places = sorted(range(len(batches)), key=lambda i: math.fmod(i * (math.sqrt(5) - 1) / 2, 1))
    # The i-th place in the order takes the batch whose rank is as far up as the i-th multiple is.
    order = sorted(range(len(batches)), key=places.__getitem__)
    return [by_length[i] for i in order] + rest


def write_base_model(folder: Path, tokenizer_folder: Path, **shape: int) -> None:
    """A BERT with random weights, and another model's tokenizer of the same vocabulary.

    Args:
        shape: what `BertConfig` takes, where it is not that of the base size.
    """
    import torch
    from transformers import BertConfig, BertModel

    vocabulary = json.loads((tokenizer_folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=vocabulary, **shape)).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).is_file():
            shutil.copyfile(tokenizer_folder / name, folder / name)


if __name__ == "__main__":
    write_base_model(Path(sys.argv[1]), Path(sys.argv[2]))
