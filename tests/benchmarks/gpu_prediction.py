"""The section `prediction`: labels for many texts, beside transformers' pipeline on the same card.

Both models are trained briefly first. The pipeline is asked with several batch sizes and its best one counts.
Labels are compared with those of transformers' model in float32, computed here.
"""

import csv
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Before torch, as in the app: OpenMP reads its settings when torch loads it.
import core.learning  # noqa: F401
from tests.benchmarks.gpu_setup import MODELS, Report, Settings
from tests.benchmarks.pace import WholePace
from tests.benchmarks.workload import read_rows

TEXTS, QUICK_TEXTS = 200_000, 400
PIPED, QUICK_PIPED = 6000, 60
"""Texts for the pipeline."""
COMPARED, QUICK_COMPARED = 20_000, 100
"""Texts whose labels are compared with those of float32."""
TRAINED_ON, QUICK_TRAINED_ON = 4000, 64
SETTINGS = ((64, 0), (256, 0), (1024, 0), (256, 8))
"""Of the pipeline: texts per batch, and processes that make batches."""
EXACT_BATCH = 256

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twenty", "thirty")


class BriefPace(WholePace):
    """Ends a training after so many texts."""

    def __init__(self, texts: int) -> None:
        super().__init__()
        self._left = texts

    def step_done(self, texts: int, tokens: int) -> bool:
        self._left -= texts
        return super().step_done(texts, tokens) and self._left > 0


def measure(settings: Settings, report: Report) -> None:
    """Report the pipeline in each setting, this project's classifier, and the labels that differ."""
    texts = varied_texts(settings, QUICK_TEXTS if settings.quick else TEXTS)
    for model in MODELS:
        try:
            _measure(settings, model, texts, report)
        except Exception as error:  # noqa: BLE001 - one that fails should not hide the other
            report({"model": model, "error": f"{type(error).__name__}: {error}"[:1500]})


def varied_texts(settings: Settings, number: int) -> list[str]:
    """Sentences of SST-2's test, repeated with words for numbers before them: no two are equal."""
    with settings.rows("sst2", "test").open(encoding="utf-8", newline="") as lines:
        sentences = list(dict.fromkeys(row["text"] for row in csv.DictReader(lines)))
    beginnings = itertools.chain([""], _beginnings())
    return list(itertools.islice((start + text for start in beginnings for text in sentences), number))


def _beginnings() -> Iterator[str]:
    for length in itertools.count(1):
        for words in itertools.product(NUMBERS, repeat=length):
            yield " ".join(words) + " "


def _measure(settings: Settings, model: str, texts: list[str], report: Report) -> None:
    import torch

    folder = Path(settings.scratch) / "finetuned" / model
    _train(settings, model, folder)
    piped = texts[: QUICK_PIPED if settings.quick else PIPED]
    best, labels = _pipe(settings, folder, piped, report, model)
    ours = _classify(folder, texts)
    compared = texts[: QUICK_COMPARED if settings.quick else COMPARED]
    exact, gaps = _exact_labels(settings, folder, compared)
    found: dict[str, Any] = {"model": model, "stack": "Classifier.predict", **ours["facts"]}
    found["ratio_to_best_pipeline"] = round(found["texts_per_second"] / best, 2) if best else None
    found["compared"] = len(compared)
    differing = [i for i, label in enumerate(exact) if ours["labels"][i] != label]
    found["labels_unlike_float32"] = len(differing)
    found["their_largest_gap"] = max((gaps[i] for i in differing), default=None)
    together = list(zip(labels, exact, strict=False))
    found["labels_of_pipeline_unlike_float32"] = sum(one != other for one, other in together)
    found["of_pipeline"] = len(together)
    report(found)
    if settings.device == "cuda":
        torch.cuda.empty_cache()


def _train(settings: Settings, model: str, folder: Path) -> None:
    """Fine-tune by this project's engine for some steps, and save the classifier."""
    from core.learning.tokenizer import TextTokenizer
    from tests.benchmarks.engine import train_engine

    job = settings.job("engine", model, 32 if not settings.quick else 8, data=str(settings.rows("sst2")))
    pace = BriefPace(QUICK_TRAINED_ON if settings.quick else TRAINED_ON)
    network = train_engine(job, read_rows(Path(job.data)), pace)
    folder.mkdir(parents=True)
    network.save(folder)
    TextTokenizer(Path(job.model), job.max_length).save(folder)


def _pipe(
    settings: Settings, folder: Path, texts: Sequence[str], report: Report, model: str
) -> tuple[float, list[str]]:
    """The pipeline's best texts per second, and its labels."""
    import torch
    from transformers import pipeline

    best, labels = 0.0, []
    device = 0 if settings.device == "cuda" else "cpu"
    for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        pipe = pipeline("text-classification", model=str(folder), device=device, dtype=dtype)
        for batch, workers in SETTINGS if name == "bfloat16" else SETTINGS[1:2]:
            asked = {"batch_size": batch, "num_workers": workers, "truncation": True}
            pipe(list(texts[:batch]), **asked)
            began = time.perf_counter()
            found = [answer["label"] for answer in pipe(list(texts), **asked)]
            speed = len(texts) / (time.perf_counter() - began)
            row = {"model": model, "stack": "pipeline", "dtype": name, "batch": batch, "workers": workers}
            report({**row, "texts_per_second": round(speed, 1)})
            if speed > best:
                best, labels = speed, found
    return best, labels


def _classify(folder: Path, texts: list[str]) -> dict[str, Any]:
    """This project's answers, how fast they came, and how fast tokens alone would."""
    from core.learning.tokenizer import TextTokenizer
    from core.serving.classifier import Classifier

    began = time.perf_counter()
    classifier = Classifier.load(folder)
    loaded = time.perf_counter() - began
    # Lengths of all kinds, so that what is compiled once is compiled now.
    began = time.perf_counter()
    classifier.predict(texts[:: max(1, len(texts) // 8000)])
    warm_up = time.perf_counter() - began
    began = time.perf_counter()
    answers = classifier.predict(texts)
    seconds = time.perf_counter() - began
    part = texts[:: max(1, len(texts) // 20_000)]
    began = time.perf_counter()
    ids, _ = TextTokenizer(folder).encode(part)
    tokenising = len(part) / (time.perf_counter() - began)
    facts = {
        "texts": len(texts),
        "texts_per_second": round(len(texts) / seconds, 1),
        "tokens_per_second": round(sum(map(len, ids)) / len(part) * len(texts) / seconds),
        "seconds": round(seconds, 2),
        "load_seconds": round(loaded, 2),
        "warm_up_seconds": round(warm_up, 2),
        "tokeniser_texts_per_second": round(tokenising, 1),
    }
    return {"facts": facts, "labels": answers.labels}


def _exact_labels(settings: Settings, folder: Path, texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """transformers' labels in float32, and by how much the best class's logit is above the second's."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    # Not in the card's short format for float32.
    torch.set_float32_matmul_precision("highest")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    model = model.to(settings.device).eval()
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    labels, gaps = [""] * len(texts), [0.0] * len(texts)
    with torch.inference_mode():
        for start in range(0, len(order), EXACT_BATCH):
            rows = order[start : start + EXACT_BATCH]
            batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, return_tensors="pt")
            two = model(**batch.to(settings.device)).logits.topk(2, dim=1)
            gap = (two.values[:, 0] - two.values[:, 1]).tolist()
            for i, number, distance in zip(rows, two.indices[:, 0].tolist(), gap, strict=True):
                labels[i], gaps[i] = names[str(number)], distance
    return labels, gaps
