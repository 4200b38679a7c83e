"""How good a model is: its scores, each class, and what its probabilities are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.base.formatting import percent
from core.data.storage.datasets import PARTS, Dataset
from core.serving.export.model_card.markdown import escaped, plain, table

SCORES = (
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


def collapse_warning(report: Mapping[str, Any]) -> list[str]:
    """A paragraph if the model gives nearly every text the same label; none otherwise."""
    found = report.get("collapsed")
    if not found:
        return []
    return [
        f"**This model has collapsed: it gives {percent(found['share'])} of the texts the label "
        f"{escaped(found['label'])}. It is of no use as it is.**"
    ]


def scores_section(report: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    """The scores on test and validation texts, beside those of simple classifiers."""
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
        for name, words, _ in SCORES
        if scores.get(name) is not None
    ]
    if scores.get("majority_accuracy") is not None:
        rows.append(("Accuracy of always the most frequent class", f"{scores['majority_accuracy']:.3f}", ""))
    if baseline:
        rows.append((f"Accuracy of {simple_classifier(baseline)}", f"{baseline['accuracy']:.3f}", ""))
    return table(("Score on the test texts", "Value", "95 % interval"), rows) + (
        "\n\nThe intervals are of a bootstrap over these texts: what other texts of the same kind would give."
        if intervals
        else ""
    )


def _interval(ends: Sequence[float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def simple_classifier(baseline: Mapping[str, Any]) -> str:
    """What a simple classifier is called in a sentence."""
    return "the " + _SIMPLE.get(baseline["name"], "best simple classifier")


def classes_section(dataset: Dataset, report: Mapping[str, Any]) -> str:
    """The classes in the order of their numbers: their texts, and their scores on the test texts."""
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
        rows.append((plain(label), *texts, *scores))
    return table(columns, rows) + ("\n\nPrecision, recall and F1 on the test texts." if judged else "")


def calibration_section(report: Mapping[str, Any]) -> str:
    """What was done about the probabilities, and what it changed."""
    fit, test = report.get("calibration"), report.get("test") or {}
    if not fit or not fit.get("fitted_on"):
        why = f" {escaped(fit['reason'])}" if fit and fit.get("reason") else ""
        return f"Its probabilities are as the network gives them: no temperature was fitted.{why}"
    words = (
        f"The logits are divided by a temperature of {fit['temperature']:.3f}, fitted on "
        f"{fit['texts']:,} {escaped(fit['fitted_on'])} texts and kept in calibration\\.json. It "
        "changes no label. The ten lines above do not apply it; the scores above are without it, too."
    )
    before, after = test.get("ece"), (test.get("calibrated") or {}).get("ece")
    if before is not None and after is not None:
        words += (
            f" On the test texts the expected calibration error is {before:.3f} without and "
            f"{after:.3f} with it."
        )
    return words
