"""The model card: what a model is, what it was trained on, how good it is, its limits, and how to use it.

Names of data sets, files and labels are other people's text: in the metadata block they are values that
PyYAML quotes, without marks that mean something elsewhere; in the rest, Markdown that shows as itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.formatting import count, duration, escape_markdown, percent, shorten, size
from core.data.quality import languages
from core.data.quality.fixes import done_to
from core.data.storage.datasets import PARTS, Dataset, load_splits, read_rejected
from core.learning.config import SETTINGS

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

USAGE = """import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
inputs = tokenizer(["A text to label."], truncation=True, padding=True, return_tensors="pt")
with torch.inference_mode():
    probabilities = model(**inputs).logits.softmax(dim=-1)[0]
print({model.config.id2label[i]: round(float(p), 4) for i, p in enumerate(probabilities)})
"""
"""Ten lines that label a text with nothing but transformers; run inside the model's folder."""

SAMPLED_TEXTS = 400
"""Training texts, evenly spread, whose language is looked at."""

LANGUAGE_SHARE = 0.1
"""Share of the texts of a sure language from which one is named in the metadata."""

FEW_TEST_TEXTS = 20
"""A class with fewer is hardly judged."""

WIDE = 0.1
"""Width of an interval of the accuracy from which it is called wide."""

SHOWN_REASONS = 20
SHOWN_CLASSES = 10

_NAME_CHARACTERS = 200
_NUMBERS = re.compile(r"-?[0-9.,]+( to -?[0-9.,]+)?")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
"""Signs that nobody sees, and by which some would turn the order of the others."""

_SCORES = (
    ("accuracy", "Accuracy", "accuracy"),
    ("balanced_accuracy", "Balanced accuracy", None),
    ("macro_f1", "Macro F1", "f1"),
    ("weighted_f1", "Weighted F1", "f1"),
    ("macro_precision", "Macro precision", "precision"),
    ("macro_recall", "Macro recall", "recall"),
    ("mcc", "Matthews correlation", "matthews_correlation"),
    ("auroc", "AUROC", "roc_auc"),
    ("loss", "Log loss (nats)", None),
    ("brier", "Brier score", None),
    ("ece", "Expected calibration error", None),
)
"""Name in the report, words, and the id of the hub's metric of this name, where there is one."""

_SIMPLE = {
    "tfidf": "simple classifier (TF-IDF)",
    "embeddings": "simple classifier (embeddings)",
    "average": "simple classifiers (average)",
}
_PACKAGES = ("torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class Origin:
    """What is known about a model beside its data set, settings and scores."""

    hub_id: str | None = None
    """Of the pre-trained model, where it is one of the hub."""
    baseline: Mapping[str, Any] | None = None
    """Of a simple classifier on the test texts: name and accuracy."""
    weights_sha256: str | None = None
    files: tuple[str, ...] = ()
    """What lies beside the card, as paths with `/`, for the lines on how to use it."""


@dataclass(frozen=True)
class Seen:
    """What a look at the training texts tells."""

    languages: Counter[str] = field(default_factory=Counter)
    """Code of ISO 639 → texts of the sample that are surely in it."""
    sampled: int = 0
    longest: int = 0
    """Characters."""


def model_card(
    base: str,
    dataset: Dataset,
    settings: Mapping[str, Any],
    report: Mapping[str, Any] | None,
    origin: Origin | None = None,
) -> str:
    """The README.md of an exported model, in Markdown with the hub's metadata block.

    https://github.com/huggingface/hub-docs/blob/main/modelcard.md

    Args:
        base: name of the pre-trained model for people.
        settings: those that are known of the training, by name.
        report: the run's scores (see `reports.sound_report`); None when it was stopped or lost before it
            could be judged. Earlier versions wrote fewer of them.
    """
    origin, report = origin or Origin(), report or {}
    seen = _look_at(dataset)
    sections = [
        f"---\n{_metadata(dataset, report, origin, seen).to_yaml()}\n---",
        f"# {_line(dataset.name)}",
        f"A text classifier with {count(len(dataset.label2id), 'class', 'classes')}, "
        f"fine-tuned from {_line(base)} with Textuner.",
        *_collapsed(report),
        "## Use\n\n" + _use(origin.files),
        "## Scores\n\n" + _scores(report, origin.baseline),
        "## Classes\n\n" + _classes(dataset, report),
        "## How sure it is\n\n" + _calibration(report),
        "## Limits\n\n" + _items(_limits(dataset, settings, report, origin.baseline, seen)),
        "## Data\n\n" + _data(dataset),
        "## Training\n\n" + _training(settings, report, origin),
        "## Licence\n\nNobody has chosen one for this model. Whoever publishes it has to look at those of "
        "the pre-trained model and of the data.",
    ]
    return "\n\n".join(sections) + "\n"


# Metadata


def _metadata(
    dataset: Dataset, report: Mapping[str, Any], origin: Origin, seen: Seen | None
) -> ModelCardData:
    # Imported late: a second that only those who take a model away pay.
    from huggingface_hub import ModelCardData

    results = _results(dataset, report)
    metrics = sorted({result.metric_type for result in results})
    named = _named_languages(seen)
    return ModelCardData(
        language=named[0] if len(named) == 1 else named or None,
        base_model=origin.hub_id,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["text-classification", "textuner"],
        metrics=metrics or None,
        model_name=_bare(dataset.name) if results else None,
        eval_results=results or None,
    )


def _results(dataset: Dataset, report: Mapping[str, Any]) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    scores = report.get("test") or {}
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Text Classification",
            # The hub asks for the id of one of its own data sets; these texts are none of them.
            dataset_type="unknown",
            dataset_name=_bare(dataset.name),
            dataset_split="test",
            metric_type=metric,
            metric_name=words,
            metric_value=scores[name],
        )
        for name, words, metric in _SCORES
        if metric and scores.get(name) is not None
    ]


def _named_languages(seen: Seen | None) -> list[str]:
    sure = seen.languages.total() if seen else 0
    if seen is None or sure < languages.FEWEST_TEXTS:
        return []
    return [code for code, texts in seen.languages.most_common() if texts >= LANGUAGE_SHARE * sure]


def _look_at(dataset: Dataset) -> Seen | None:
    """None when the texts are gone or damaged."""
    try:
        texts = load_splits(dataset.folder).train.texts
    except UserError:
        return None
    sample = texts[:: max(1, len(texts) // SAMPLED_TEXTS)][:SAMPLED_TEXTS]
    codes = Counter(code for code in languages.detect(sample) if code and languages.is_code(code))
    return Seen(codes, len(sample), max(map(len, texts), default=0))


# Sections


def _use(files: Sequence[str]) -> str:
    parts = ["In the folder of this file:\n\n```python\n" + USAGE + "```"]
    if "predict.py" in files:
        parts.append(
            "Without PyTorch, `predict.py` asks the ONNX file; it needs onnxruntime, tokenizers and "
            'numpy:\n\n```bash\npython predict.py "A text to label."\n```'
        )
    if onnx := [name for name in files if name.endswith(".onnx")]:
        parts.append("ONNX: " + ", ".join(map(_line, onnx)) + ".")
    if pages := [name for name in files if name.endswith(".html")]:
        parts.append(
            "In a browser, without a server: open " + ", ".join(map(_line, pages)) + " from the disk."
        )
    return "\n\n".join(parts)


def _collapsed(report: Mapping[str, Any]) -> list[str]:
    found = report.get("collapsed")
    if not found:
        return []
    return [
        f"**This model has collapsed: it gives {percent(found['share'])} of the texts the label "
        f"{_line(found['label'])}. It is of no use as it is.**"
    ]


def _scores(report: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    test, validation = report.get("test"), report.get("validation")
    if not test and not validation:
        return (
            "No texts were held out, so there are no scores."
            if report
            else "Not judged: the training ended before its scores were taken."
        )
    parts = []
    if test:
        parts.append(_told("Test texts, seen neither in training nor in choosing the weights", test))
        parts.append(_score_table(test, baseline))
    if validation:
        parts.append(_told("Validation texts, by which the weights were chosen (flattering)", validation))
    return "\n\n".join(parts)


def _told(words: str, scores: Mapping[str, Any]) -> str:
    texts = f" ({scores['texts']:,})" if "texts" in scores else ""
    majority = scores.get("majority_accuracy")
    beside = "" if majority is None else f"; always the most frequent class: accuracy {majority:.3f}"
    return f"{words}{texts}: accuracy {scores['accuracy']:.3f}, macro F1 {scores['macro_f1']:.3f}{beside}."


def _score_table(scores: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    intervals = scores.get("intervals") or {}
    rows = [
        (words, f"{scores[name]:.3f}", _interval(intervals.get(name)))
        for name, words, _ in _SCORES
        if scores.get(name) is not None
    ]
    if scores.get("majority_accuracy") is not None:
        rows.append(("Accuracy of always the most frequent class", f"{scores['majority_accuracy']:.3f}", ""))
    if baseline:
        rows.append((f"Accuracy of {_simple(baseline)}", f"{baseline['accuracy']:.3f}", ""))
    return _table(("Score on the test texts", "Value", "95 % interval"), rows) + (
        "\n\nThe intervals are of a bootstrap over these texts: what other texts of the same kind would give."
        if intervals
        else ""
    )


def _interval(ends: Sequence[float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def _simple(baseline: Mapping[str, Any]) -> str:
    return "the " + _SIMPLE.get(baseline["name"], "best simple classifier")


def _classes(dataset: Dataset, report: Mapping[str, Any]) -> str:
    judged = {row["label"]: row for row in (report.get("test") or {}).get("per_class") or []}
    columns = ("Class", *(f"{part.capitalize()} texts" for part in PARTS))
    columns += ("Precision", "Recall", "F1") if judged else ()
    rows = []
    for label in sorted(dataset.label2id, key=dataset.label2id.__getitem__):
        texts = [f"{dataset.class_counts[part].get(label, 0):,}" for part in PARTS]
        scores = [
            f"{judged[label][name]:.3f}" if label in judged else ""
            for name in ("precision", "recall", "f1")
            if judged
        ]
        rows.append((_plain(label), *texts, *scores))
    return _table(columns, rows) + ("\n\nPrecision, recall and F1 on the test texts." if judged else "")


def _calibration(report: Mapping[str, Any]) -> str:
    fit, test = report.get("calibration"), report.get("test") or {}
    if not fit or not fit.get("fitted_on"):
        why = f" {_line(fit['reason'])}" if fit and fit.get("reason") else ""
        return f"Its probabilities are as the network gives them: no temperature was fitted.{why}"
    words = (
        f"The logits are divided by a temperature of {fit['temperature']:.3f}, fitted on "
        f"{fit['texts']:,} {_line(fit['fitted_on'])} texts and kept in calibration\\.json. It "
        "changes no label. The ten lines above do not apply it; the scores above are without it, too."
    )
    before, after = test.get("ece"), (test.get("calibrated") or {}).get("ece")
    if before is not None and after is not None:
        words += (
            f" On the test texts the expected calibration error is {before:.3f} without and "
            f"{after:.3f} with it."
        )
    return words


# Limits


def _limits(
    dataset: Dataset,
    settings: Mapping[str, Any],
    report: Mapping[str, Any],
    baseline: Mapping[str, Any] | None,
    seen: Seen | None,
) -> list[str]:
    return [
        *_limits_of_scores(dataset, report.get("test"), baseline),
        *_limits_of_texts(dataset, settings, report, seen),
        f"It always answers one of its {count(len(dataset.label2id), 'class', 'classes')}, also for a text "
        "that belongs to none of them.",
        f"Its texts come from one source ({_line(dataset.source.get('file', 'not recorded'))}); on "
        "texts from elsewhere it was not tested.",
    ]


def _limits_of_scores(
    dataset: Dataset, test: Mapping[str, Any] | None, baseline: Mapping[str, Any] | None
) -> list[str]:
    if not test:
        return ["It was not judged on test texts: how good it is on new ones is not known."]
    found, accuracy = [], test["accuracy"]
    low, high = (test.get("intervals") or {}).get("accuracy") or (None, None)
    if low is not None and high is not None:
        width = f"Its accuracy is known to within {100 * (high - low):.1f} points"
        width += f" ({percent(low)} to {percent(high)})"
        found.append(f"{width}: too wide to rely on." if high - low > WIDE else f"{width}.")
    to_beat = [("always the most frequent class", test.get("majority_accuracy"))]
    to_beat += [(_simple(baseline), baseline["accuracy"])] if baseline else []
    for name, other in to_beat:
        if other is not None and (low if low is not None else accuracy) <= other:
            surely = "not better" if accuracy <= other else "not surely better"
            found.append(f"It is {surely} than {name} (accuracy {other:.3f}).")
    return [*found, *_hardly_judged(dataset)]


def _hardly_judged(dataset: Dataset) -> list[str]:
    texts = dataset.class_counts["test"]
    few = {label: texts.get(label, 0) for label in dataset.label2id if texts.get(label, 0) < FEW_TEST_TEXTS}
    if not few:
        return []
    fewest = sorted(few, key=lambda label: few[label])[:SHOWN_CLASSES]
    names = ", ".join(f"{_line(shorten(_plain(label)))} ({few[label]})" for label in fewest)
    more = f" and {len(few) - len(fewest):,} more" if len(few) > len(fewest) else ""
    return [
        f"{count(len(few), 'class has', 'classes have')} fewer than {FEW_TEST_TEXTS} test texts, so that "
        f"their scores say little: {names}{more}."
    ]


def _limits_of_texts(
    dataset: Dataset, settings: Mapping[str, Any], report: Mapping[str, Any], seen: Seen | None
) -> list[str]:
    if seen is None:
        return ["Its training texts could not be read when this card was written."]
    found = [_languages(seen)]
    cut, train = report.get("truncated"), dataset.counts["train"]
    if cut is not None and train:
        limit = f"{_line(settings['max_length'])} tokens" if "max_length" in settings else "the max length"
        found.append(
            f"It reads the first {limit} of a text: of {cut:,} of the {count(train, 'training text')} "
            f"({percent(min(1.0, cut / train))}) the rest was cut off. The longest has "
            f"{count(seen.longest, 'character')}."
        )
    else:
        found.append(f"The longest training text has {count(seen.longest, 'character')}.")
    return found


def _languages(seen: Seen) -> str:
    sure = seen.languages.total()
    if sure < languages.FEWEST_TEXTS:
        return (
            f"The language of too few texts could be told ({sure:,} of {seen.sampled:,} sampled) to say in "
            "which ones it works."
        )
    shares = ", ".join(
        f"{languages.name(code)} ({percent(texts / sure, 0)})"
        for code, texts in seen.languages.most_common(5)
    )
    return (
        f"Languages of the training texts, as guessed from {seen.sampled:,} of them, {sure:,} surely: "
        f"{shares}. In others it was not tested."
    )


# Data and training


def _data(dataset: Dataset) -> str:
    return _items(
        [
            "Texts: "
            + ", ".join(f"{number:,} {_line(part)}" for part, number in dataset.counts.items())
            + ".",
            f"How they were split: {_line(dataset.how)}",
            *_cleaned(dataset),
            *_left_out(dataset),
            f"sha256 of the texts and labels: {_code(dataset.sha256)}",
        ]
    )


def _cleaned(dataset: Dataset) -> list[str]:
    done = [f"Mended: {_line(one.words)}." for one in done_to(dataset.source)]
    return done or ["Nothing was changed: texts and labels are as in the file."]


def _left_out(dataset: Dataset) -> list[str]:
    try:
        reasons = Counter(_plain(row.reason) for row in read_rejected(dataset))
    except UserError:
        return [f"Rows that could not be used: {dataset.rejected:,}."]
    removed = [f"Removed: {number:,} {_line(what)}." for what, number in dataset.removed.items() if number]
    shown = reasons.most_common(SHOWN_REASONS)
    rest = reasons.total() - sum(number for _, number in shown)
    return [
        *removed,
        f"Rows that could not be used: {dataset.rejected:,}.",
        *(f"Left out, {count(number, 'row')}: {_line(reason)}." for reason, number in shown),
        *([f"Left out for other reasons: {count(rest, 'row')}."] if rest else []),
    ]


def _training(settings: Mapping[str, Any], report: Mapping[str, Any], origin: Origin) -> str:
    rows = [(name, str(value)) for name, value in settings.items()]
    return "\n\n".join(
        [
            _table(("Setting", "Value"), rows),
            _items([*_facts(report), f"Versions at the export: {_versions()}.", *_hashes(origin)]),
        ]
    )


def _facts(report: Mapping[str, Any]) -> Iterable[str]:
    if "device" in report:
        reason = f" ({_line(report['hardware_reason'])})" if report.get("hardware_reason") else ""
        precision = f", {_line(report['precision'])}" if "precision" in report else ""
        yield f"Hardware: {_line(report['device'])}{precision}{reason}"
    if "train_seconds" in report:
        total = f", {duration(report['total_seconds'])} in all" if "total_seconds" in report else ""
        yield f"Time: {duration(report['train_seconds'])} of training{total}."
    if "steps" in report and "best_step" in report:
        yield f"Steps: {report['steps']:,}; the weights are those of step {report['best_step']:,}."
    if "samples_per_second" in report:
        yield f"Speed: {report['samples_per_second']:,.0f} texts per second."
    if "peak_memory_bytes" in report:
        yield f"Memory: {size(int(report['peak_memory_bytes']))} at most."


def _versions() -> str:
    return ", ".join(f"{name} {_line(metadata.version(name))}" for name in _PACKAGES)


def _hashes(origin: Origin) -> list[str]:
    if not origin.weights_sha256:
        return []
    return [f"sha256 of model\\.safetensors: {_code(origin.weights_sha256)}"]


# Markdown


def _items(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells show as they are, the first column among them."""
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    return head + "\n".join(f"| {' | '.join(_cells(row))} |" for row in rows)


def _cells(row: Sequence[str]) -> list[str]:
    # Names of settings have an underscore, which inside a word is none of Markdown's.
    return [cell if not cell or cell in SETTINGS or _NUMBERS.fullmatch(cell) else _line(cell) for cell in row]


def _code(digest: str) -> str:
    return f"`{digest}`" if re.fullmatch(r"[0-9a-f]{1,128}", digest) else _line(digest)


def _plain(text: object) -> str:
    """Any text on one line, without what nobody would see."""
    return shorten(" ".join(_UNSEEN.sub(" ", str(text)).split()), _NAME_CHARACTERS) or "(no name)"


def _bare(text: str) -> str:
    """A name of letters, digits and the plainest marks: who knows no metadata block takes it for Markdown."""
    return " ".join(re.sub(r"[^\w .,'-]+|(?<!\d)\.(?=\w)", " ", _plain(text)).split()) or "(no name)"


def _line(text: object) -> str:
    return escape_markdown(_plain(text))
