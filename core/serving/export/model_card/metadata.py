"""The block at the head of a card, which the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.data.quality import languages
from core.data.storage.datasets import Dataset
from core.serving.export.model_card.markdown import bare_name
from core.serving.export.model_card.scores import SCORES
from core.serving.export.model_card.sources import Origin, Seen

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

LANGUAGE_SHARE = 0.1
"""Share of the texts of a sure language from which one is named in the metadata."""


def card_metadata(
    dataset: Dataset, report: Mapping[str, Any], origin: Origin, seen: Seen | None
) -> ModelCardData:
    """What the hub lists a model by: languages, pre-trained model, and its scores on test texts."""
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
        model_name=bare_name(dataset.name) if results else None,
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
            dataset_name=bare_name(dataset.name),
            dataset_split="test",
            metric_type=metric,
            metric_name=words,
            metric_value=scores[name],
        )
        for name, words, metric in SCORES
        if metric and scores.get(name) is not None
    ]


def _named_languages(seen: Seen | None) -> list[str]:
    sure = seen.languages.total() if seen else 0
    if seen is None or sure < languages.FEWEST_TEXTS:
        return []
    return [code for code, texts in seen.languages.most_common() if texts >= LANGUAGE_SHARE * sure]
