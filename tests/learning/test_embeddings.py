"""Frozen vectors of the embedded model, against transformers' own."""

import numpy as np
import pytest
import torch

from core.learning import pretrained
from core.learning.baselines.embeddings import LAYERS, MAX_TOKENS, embed

pytestmark = pytest.mark.slow

TEXTS = [
    "A fine day.",
    "The reading room is closed on Sundays, and so is the cloakroom.",
    "no",
    "word " * 400,
]


def transformers_states(texts: list[str]) -> torch.Tensor:
    """Mean states of the last layers, each of length one: float32 [texts, layers · hidden]."""
    from transformers import AutoModel, AutoTokenizer

    folder = pretrained.resolve("bundled")
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    with torch.no_grad():
        layers = model(**batch, output_hidden_states=True).hidden_states[-LAYERS:]
    tokens = batch["attention_mask"].unsqueeze(-1)
    means = [(layer * tokens).sum(dim=1) / tokens.sum(dim=1) for layer in layers]
    return torch.cat([torch.nn.functional.normalize(mean, dim=1) for mean in means], dim=1)


def test_vectors_are_those_of_transformers():
    vectors = embed(TEXTS)
    assert vectors.shape == (4, LAYERS * 384)
    assert vectors.dtype == np.float32
    expected = transformers_states(TEXTS).numpy()
    # bf16 has three digits; each part is of length one.
    assert ((vectors * expected).sum(axis=1) > LAYERS * 0.9995).all()


def test_a_vector_does_not_depend_on_the_other_texts():
    together = embed(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert embed([text])[0] @ vector > LAYERS * 0.9995


def test_no_texts_have_no_vectors():
    assert embed([]).shape == (0, LAYERS * 384)


def test_progress_rises_to_the_end():
    said: list[float] = []
    embed([f"text {i}" for i in range(200)], said.append)
    assert said == sorted(said)
    assert said[-1] == 1
