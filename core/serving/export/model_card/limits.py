"""What a model is not known to do well, from its scores, its classes and its training texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.base.formatting import count, percent, shorten
from core.data.quality import languages
from core.data.storage.datasets import Dataset
from core.serving.export.model_card.markdown import escaped, plain
from core.serving.export.model_card.scores import simple_classifier
from core.serving.export.model_card.sources import Seen

FEW_TEST_TEXTS = 20
"""A class with fewer is hardly judged."""

WIDE = 0.1
"""Width of an interval of the accuracy from which it is called wide."""

SHOWN_CLASSES = 10


def limits_of(
    dataset: Dataset,
    settings: Mapping[str, Any],
    report: Mapping[str, Any],
    baseline: Mapping[str, Any] | None,
    seen: Seen | None,
) -> list[str]:
    """The limits of a model, a sentence or a few each; `seen` is None where its texts are gone."""
    return [
        *_limits_of_scores(dataset, report.get("test"), baseline),
        *_limits_of_texts(dataset, settings, report, seen),
        f"It always answers one of its {count(len(dataset.label2id), 'class', 'classes')}, also for a text "
        "that belongs to none of them.",
        f"Its texts come from one source ({escaped(dataset.source.get('file', 'not recorded'))}); on "
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
    to_beat += [(simple_classifier(baseline), baseline["accuracy"])] if baseline else []
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
    names = ", ".join(f"{escaped(shorten(plain(label)))} ({few[label]})" for label in fewest)
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
        limit = f"{escaped(settings['max_length'])} tokens" if "max_length" in settings else "the max length"
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
