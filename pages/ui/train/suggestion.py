"""What the suggested settings rest on."""

from typing import Any

import streamlit as st

from core.base.formatting import count
from core.data.storage.datasets import Dataset
from core.learning.config import TrainingConfig
from pages.ui.train.settings import BASIC


def has_rare_classes(dataset: Dataset) -> bool:
    """Whether the check of the data found classes so small that weights are worth a try."""
    advice = dataset.source.get("advice")
    return isinstance(advice, dict) and advice.get("class_weights") is True


def sizes_in_words(dataset: Dataset) -> str:
    counts = dataset.class_counts["train"].values()
    return f"the largest class has {max(counts):,} training texts and the smallest {min(counts):,}"


def say_suggested(suggested: TrainingConfig, values: dict[str, Any], dataset: Dataset) -> None:
    words = f"{count(dataset.counts['train'], 'text')} in {count(len(dataset.label2id), 'class', 'classes')}"
    if all(values[name] == getattr(suggested, name) for name in BASIC):
        st.caption(f"Suggested for {words} and this model.")
    else:
        st.caption(
            f"Suggested for {words} and this model: {count(suggested.epochs, 'epoch')}, batches of "
            f"{suggested.batch_size}, learning rate {suggested.learning_rate:g}."
        )
