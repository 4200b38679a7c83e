"""How fast texts get their labels, beside others: `python -m tests.benchmarks.predict [--json]`.

Many texts: sentences of SST-2 that the model was not trained on. All stacks are in one process and take
turns, so that noise hits all alike; ratios are medians of the ratios within a round. One text: a bare forward
of transformers beside this project's whole answer, in turns, too; and the first answer of a fresh process.
The model is trained when its folder is not there (2,000 sentences, one epoch); ONNX files are made beside it.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

# Before torch, as in the app: OpenMP reads its settings when torch loads it.
import core.learning  # noqa: F401
from tests.benchmarks.workload import PROJECT, SST2, has_bf16

TRAINED_ON = 2000
BATCH = 32
ALONE = 200
"""Texts of a round for the stack that takes one by one, spread evenly over all."""
ONE_TEXT_ROUNDS = 200
COLD_ROUNDS = 5
COLD_PARTS = ("whole", "import", "load", "answer")
PIPELINE = "transformers.pipeline, batches of 32"

COLD = """
import time; began = time.time()
import sys; from pathlib import Path
from core.serving.classifier import Classifier
imported = time.time()
classifier = Classifier.load(Path(sys.argv[1]))
loaded = time.time()
classifier.predict([sys.argv[2]])
print(imported - began, loaded - imported, time.time() - loaded)
"""

Answer = Callable[[Sequence[str]], list[str]]


@dataclass
class Stack:
    """Something that labels texts."""

    name: str
    answer: Answer
    alone: bool = False
    """Whether it is so slow that it gets `ALONE` texts a round."""
    seconds_per_text: list[float] = field(default_factory=list)
    """By round."""
    labels: list[str] = field(default_factory=list)
    """Of the texts it was given."""


def main() -> None:
    options = _parser().parse_args()
    if not SST2.is_file():
        sys.exit(f"There is no {SST2}.")
    texts, labels = held_out(options.texts)
    train(options.model)
    stacks = make_stacks(options.model, texts, labels)
    measure(stacks, texts, options.rounds)
    rows = compare(stacks, labels)
    alone = one_text(options.model, texts)
    print(json.dumps({"many": rows, "one": alone}, indent=2) if options.json else _tables(rows, alone))


def sentences() -> list[tuple[str, str]]:
    """Text and label of all sentences, always in the same order."""
    rows: list[tuple[str, str]] = []
    for name in ("train", "test"):
        with (SST2.parent / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            rows += [(row["text"], row["label"]) for row in csv.DictReader(lines)]
    random.Random(0).shuffle(rows)
    return rows


def held_out(number: int) -> tuple[list[str], list[str]]:
    rows = sentences()[TRAINED_ON : TRAINED_ON + number]
    return [text for text, _ in rows], [label for _, label in rows]


def train(folder: Path) -> None:
    """Fine-tune the embedded model, unless it was done before."""
    if (folder / "model.safetensors").is_file():
        return
    from core.data.labels import LabeledTexts
    from core.data.splits import Splits
    from core.learning.config import TrainingConfig
    from core.learning.training.hooks import Hooks
    from core.learning.training.train import train_classifier

    rows = sentences()[:TRAINED_ON]
    label2id = {label: i for i, label in enumerate(sorted({label for _, label in rows}))}

    def part(rows: Sequence[tuple[str, str]]) -> LabeledTexts:
        return LabeledTexts([text for text, _ in rows], [label2id[label] for _, label in rows], label2id)

    splits = Splits(part(rows[200:]), part(rows[:200]), part([]), how="by a seed")
    config = TrainingConfig(epochs=1, batch_size=16, learning_rate=1e-4)
    train_classifier(splits, config, folder, Hooks(lambda event: None, lambda: False))


def make_stacks(folder: Path, texts: Sequence[str], labels: Sequence[str]) -> list[Stack]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from core.serving.classifier import Classifier

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")

    def piped(batch: int) -> Answer:
        return lambda given: [
            found["label"] for found in pipe(list(given), batch_size=batch, truncation=True)
        ]

    def forward(autocast: bool) -> Callable[[Sequence[str]], np.ndarray]:
        def logits(given: Sequence[str]) -> np.ndarray:
            batch = tokenizer(list(given), padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                return model(**batch).logits.float().numpy()

        return logits

    def by_length(logits: Callable[[Sequence[str]], np.ndarray]) -> Answer:
        def answer(given: Sequence[str]) -> list[str]:
            order = sorted(range(len(given)), key=lambda i: len(given[i]))
            numbers = np.empty(len(given), dtype=int)
            for start in range(0, len(order), BATCH):
                places = order[start : start + BATCH]
                numbers[places] = logits([given[i] for i in places]).argmax(axis=1)
            return [names[number] for number in numbers]

        return answer

    stacks = [
        Stack("transformers.pipeline, one by one", piped(1), alone=True),
        Stack(PIPELINE, piped(BATCH)),
        Stack("transformers by length, float32", by_length(forward(False))),
    ]
    if has_bf16():
        stacks.append(Stack("transformers by length, bf16 autocast", by_length(forward(True))))
    for precision in ("fp32", "int8"):
        session = _onnx(folder, precision, texts, labels, names)
        stacks.append(Stack(f"ONNX Runtime by length, {precision}", by_length(_run(session, tokenizer))))
    classifier = Classifier.load(folder)
    stacks.append(Stack("Textuner", lambda given: classifier.predict(given).labels))
    return stacks


def _onnx(
    folder: Path, precision: str, texts: Sequence[str], labels: Sequence[str], names: list[str]
) -> Path:
    from core.serving.export.onnx_export import Sample, export_onnx

    out = folder.with_name(f"{folder.name}-{precision}.onnx")
    if not out.is_file():
        some = 100
        numbers = [names.index(label) for label in labels[:some]]
        export_onnx(folder, out, precision, Sample(texts[:some], numbers))
    return out


def _run(file: Path, tokenizer: object) -> Callable[[Sequence[str]], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def logits(given: Sequence[str]) -> np.ndarray:
        batch = tokenizer(list(given), padding=True, truncation=True, return_tensors="np")
        return session.run(["logits"], {name: batch[name] for name in ("input_ids", "attention_mask")})[0]

    return logits


def measure(stacks: Sequence[Stack], texts: Sequence[str], rounds: int) -> None:
    """Let all label the same texts in turns, after a first few that are not counted."""
    for stack in stacks:
        stack.answer(texts[: 4 * BATCH])
    for number in range(rounds):
        # Every stack comes first once, so that none always follows the same other one.
        for stack in stacks[number % len(stacks) :] + stacks[: number % len(stacks)]:
            given = texts[:: max(1, len(texts) // ALONE)] if stack.alone else texts
            began = time.perf_counter()
            stack.labels = stack.answer(given)
            stack.seconds_per_text.append((time.perf_counter() - began) / len(given))


def compare(stacks: Sequence[Stack], labels: Sequence[str]) -> list[dict[str, object]]:
    """A row per stack; what differs is counted against transformers in float32."""
    base = next(stack for stack in stacks if stack.name == PIPELINE)
    exact = next(stack for stack in stacks if stack.name.endswith("float32")).labels
    rows = []
    for stack in stacks:
        step = max(1, len(labels) // ALONE) if stack.alone else 1
        pairs = list(zip(stack.labels, exact[::step], labels[::step], strict=True))
        differ = sum(found != right for found, right, _ in pairs)
        ratios = [
            there / here for there, here in zip(base.seconds_per_text, stack.seconds_per_text, strict=True)
        ]
        rows.append(
            {
                "stack": stack.name,
                "texts_per_second": 1 / median(stack.seconds_per_text),
                "ratio": median(ratios),
                "lowest_ratio": min(ratios),
                "highest_ratio": max(ratios),
                "labels_that_differ": differ,
                "of_texts": len(pairs),
                "accuracy": sum(found == true for found, _, true in pairs) / len(pairs),
            }
        )
    return rows


def one_text(folder: Path, texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds for one text, medians; and seconds from a fresh process to its first answer."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from core.serving.classifier import Classifier

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    classifier = Classifier.load(folder)
    bare, ours = [], []
    for text in texts[:ONE_TEXT_ROUNDS]:
        batch = tokenizer([text], truncation=True, return_tensors="pt")
        began = time.perf_counter()
        with torch.inference_mode():
            model(**batch)
        between = time.perf_counter()
        classifier.predict([text])
        bare.append(between - began)
        ours.append(time.perf_counter() - between)
    cold = [_cold(folder, texts[0]) for _ in range(COLD_ROUNDS)]
    parts = {name: median(found[i] for found in cold) for i, name in enumerate(COLD_PARTS)}
    return {
        "bare_forward_ms": 1e3 * median(bare),
        "predict_ms": 1e3 * median(ours),
        "more_ms": 1e3 * median(here - there for here, there in zip(ours, bare, strict=True)),
        **{f"cold_{name}_s": seconds for name, seconds in parts.items()},
    }


def _cold(folder: Path, text: str) -> list[float]:
    began = time.perf_counter()
    command = [sys.executable, "-c", COLD, str(folder), text]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [time.perf_counter() - began, *map(float, done.stdout.split())]


def _tables(rows: Sequence[dict[str, object]], one: dict[str, float]) -> str:
    lines = [
        "| stack | texts/s | × pipeline-32 | lowest to highest | labels unlike float32 | accuracy |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['stack']} | {row['texts_per_second']:,.0f} | {row['ratio']:.2f} | "
        f"{row['lowest_ratio']:.2f} to {row['highest_ratio']:.2f} | {row['labels_that_differ']} of "
        f"{row['of_texts']:,} ({row['labels_that_differ'] / row['of_texts']:.2%}) | {row['accuracy']:.2%} |"
        for row in rows
    ]
    return "\n".join(
        [
            *lines,
            "",
            "| one text | |",
            "| --- | ---: |",
            f"| bare forward of transformers, float32 | {one['bare_forward_ms']:.1f} ms |",
            f"| Classifier.predict | {one['predict_ms']:.1f} ms ({one['more_ms']:+.1f} ms) |",
            f"| fresh process to its end with one answer | {one['cold_whole_s']:.2f} s |",
            f"| of it: imports, loading, first answer | {one['cold_import_s']:.2f}, "
            f"{one['cold_load_s']:.2f}, {one['cold_answer_s']:.2f} s |",
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model",
        type=Path,
        default=Path(tempfile.gettempdir()) / "textuner-predict-sst2",
        help="folder of a classifier with the labels of SST-2; trained when it is not there",
    )
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    main()
