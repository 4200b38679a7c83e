"""Which words made the label: each word left out in turn, or integrated gradients.

Both give a weight per word in the same unit: by how much the word moves the log-odds of a class,
log(p / (1 - p)). Unlike the probability they do not flatten out where a model is sure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.formatting import shorten

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from core.serving.classifier import Classifier

Span = tuple[int, int]
"""From where to where in the text, in characters."""

MOST_PIECES = 64
"""Words that are looked at one by one; of longer texts it is stretches of neighbouring words."""

STEPS = 50
"""Points on the way from nothing to the text at which gradients are taken."""

MOST_STEPS = 200
"""The same, where the sum over `STEPS` is off by more than `CLOSE`."""

CLOSE = 0.02
"""Share of the sum by which integrated gradients may miss it."""

_PASS_TOKENS = 4096

# Chinese, Japanese, Thai, Lao, Tibetan, Burmese, Khmer: written without spaces between words.
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_MARK = re.compile("[\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u3099\u309a\ufe00-\ufe0f]")
"""What belongs to the letter before it."""


@dataclass(frozen=True)
class Attribution:
    """How much each word of a text speaks for a class."""

    label: str
    """The class."""
    spans: list[Span]
    """The words, or stretches of words, in the order of the text."""
    weights: np.ndarray
    """float64 [words]: moves of the log-odds of the class; above zero speaks for it."""
    without: np.ndarray | None
    """float64 [words]: the probability of the class when the word is left out; None for gradients."""
    words_each: int
    """Words in a stretch; 1 where each word stands for itself."""
    read: int
    """Characters of the text that the model reads; what comes after it has no weight."""
    whole: float | None = None
    """What the weights should add up to: log-odds of the text less those of padding alone. For gradients."""
    delta: float | None = None
    """By how much the sum of the weights misses it."""
    steps: int | None = None

    def strongest(self, most: int = 3) -> list[int]:
        """The words with the largest weights, either way, the strongest first."""
        return [int(i) for i in np.argsort(-np.abs(self.weights), kind="stable")[:most]]


def word_rows(text: str, found: Attribution) -> dict[str, Any]:
    """The columns of a table of the words, the strongest first: what, weight and, where known, without it."""
    order = found.strongest(len(found.spans))
    table: dict[str, Any] = {
        "Words" if found.words_each > 1 else "Word": [text[slice(*found.spans[i])] for i in order],
        "Weight": found.weights[order],
    }
    if found.without is not None:
        table["Without it"] = 100 * found.without[order]
    return table


def describe_words(text: str, found: Attribution) -> str:
    """The strongest words in one sentence."""
    named = "; ".join(
        f"{shorten(text[slice(*found.spans[i])], 40)} {found.weights[i]:+.2f}" for i in found.strongest()
    )
    return f"Words by their weight for {shorten(found.label, 40)}: {named}."


def notes_on(text: str, found: Attribution) -> list[str]:
    """What else must be known to read the weights."""
    notes = []
    if found.words_each > 1:
        notes.append(
            f"More than {MOST_PIECES} words: {found.words_each} neighbouring ones at a time stand together."
        )
    if text[found.read :].strip():
        notes.append(
            f"The model reads the first {found.read:,} characters of this text; the rest, in grey, does not "
            "count."
        )
    if found.whole is not None and found.delta is not None:
        notes.append(
            f"Convergence: the weights add up to {found.weights.sum():+.3f}, what the text adds to an empty "
            f"one is {found.whole:+.3f}; they are off by {abs(found.delta):.1g} after {found.steps} steps."
        )
    return notes


def leave_one_out(classifier: Classifier, text: str, label: str) -> Attribution:
    """Leave each word out in turn, in one batch of texts.

    What the model does not read, since the text is too long for it, is cut off first, so that no word moves
    up when another one goes.
    """
    spans, each, read = split_words(text, classifier.tokenizer.spans(text)[1])
    kept = text[:read]
    variants = [leave_out(kept, span) for span in spans]
    probabilities = classifier.predict([kept, *variants]).probabilities
    number = classifier.names.index(label)
    odds = log_odds(probabilities, number)
    return Attribution(label, spans, odds[0] - odds[1:], probabilities[1:, number], each, read)


def leave_out(text: str, span: Span) -> str:
    """The text as if what stands there had not been written: without a space too many."""
    before, after = text[: span[0]], text[span[1] :]
    if not after.strip():
        return before.rstrip()
    # To many tokenizers two spaces are a token more, and a space at the beginning makes another word.
    return before + (after.lstrip() if not before or before[-1].isspace() else after)


def log_odds(probabilities: np.ndarray, number: int) -> np.ndarray:
    """float64 [texts]: log(p / (1 - p)) of one class, exact also where p is nearly 1."""
    least = np.finfo(np.float64).tiny
    others = np.delete(probabilities, number, axis=1).sum(axis=1)
    return np.log(np.maximum(probabilities[:, number], least)) - np.log(np.maximum(others, least))


def split_words(text: str, tokens: Sequence[Span], most: int = MOST_PIECES) -> tuple[list[Span], int, int]:
    """Words, or where there are more than `most` stretches of equally many words.

    A word is what stands between spaces; in scripts without spaces it is a token, with the marks that belong
    to it.

    Args:
        tokens: where the tokens stand that the model reads.

    Returns:
        The spans; how many words each holds; how many characters of the text are read.
    """
    read = max((end for _, end in tokens), default=0)
    words: list[Span] = []
    for found in re.finditer(r"\S+", text[:read]):
        if _WITHOUT_SPACES.search(found.group()):
            words += _by_tokens(text, found.span(), tokens)
        else:
            words.append(found.span())
    each = max(1, -(-len(words) // most))
    groups = [words[i : i + each] for i in range(0, len(words), each)]
    return [(group[0][0], group[-1][1]) for group in groups], each, read


def _by_tokens(text: str, word: Span, tokens: Sequence[Span]) -> list[Span]:
    start, end = word
    begins = sorted({first for first, last in tokens if start < first < end and last > first})
    # A token of several bytes may share its letter with the next one; a mark stays with its letter.
    cuts = [start, *(place for place in begins if not _MARK.match(text[place])), end]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def integrated_gradients(folder: Path, text: str, label: str) -> Attribution:
    """Integrated gradients from padding to the text (Sundararajan et al. 2017, arXiv:1703.01365), in float32.

    They are taken at the word embeddings of transformers' model of the same folder, uncalibrated, by captum,
    on the processor; with more steps where the sum misses what it should be by more than `CLOSE`. Special
    tokens are in both texts and have no weight.
    """
    # Imported late: transformers takes seconds.
    import torch

    from core.learning.tokenizer import TextTokenizer

    tokenizer = TextTokenizer(folder)
    ids, places = tokenizer.spans(text)
    spans, each, read = split_words(text, places)
    model = _plain_model(folder)
    # Any: transformers' annotation of id2label has None and words as keys, which no loaded model has.
    config: Any = model.config
    # As the classifier has it: the other table, label2id, may be missing or say something else.
    number = [config.id2label[i] for i in range(config.num_labels)].index(label)
    given = torch.tensor([ids])
    padding = torch.tensor([tokenizer.blank(text)])
    for steps in (STEPS, MOST_STEPS):
        by_token, whole = _gradients(model, given, padding, number, steps)
        delta = float(by_token.sum()) - whole
        if abs(delta) <= CLOSE * max(abs(whole), 1.0):
            break
    weights = _by_word(by_token, places, spans)
    return Attribution(label, spans, weights, None, each, read, whole, delta, steps)


def _plain_model(folder: Path) -> PreTrainedModel:
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForSequenceClassification.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, local_files_only=True
    ).eval()


def _gradients(
    model: PreTrainedModel, ids: torch.Tensor, padding: torch.Tensor, number: int, steps: int
) -> tuple[np.ndarray, float]:
    """The weight of each token, and what they should add up to."""
    import torch
    from captum.attr import IntegratedGradients

    mask = torch.ones_like(ids)

    def odds(states: torch.Tensor) -> torch.Tensor:
        logits = model(inputs_embeds=states, attention_mask=mask.expand(len(states), -1)).logits
        others = torch.cat([logits[:, :number], logits[:, number + 1 :]], dim=1)
        return logits[:, number] - others.logsumexp(dim=1)

    embed = model.get_input_embeddings()
    with torch.no_grad():
        # States, not ids: from ids of padding some models would count places differently.
        start, end = embed(padding), embed(ids)
        whole = float(odds(end) - odds(start))
    part = max(1, _PASS_TOKENS // ids.shape[1])
    found = IntegratedGradients(odds).attribute(end, start, n_steps=steps, internal_batch_size=part)
    return found.sum(dim=-1)[0].detach().double().numpy(), whole


def _by_word(weights: np.ndarray, tokens: Sequence[Span], words: Sequence[Span]) -> np.ndarray:
    """Add up the weights of the tokens of each word; a token belongs where its last letter stands."""
    ends = np.array([end for _, end in words])
    sums = np.zeros(len(words))
    for weight, (first, last) in zip(weights, tokens, strict=True):
        if last > first and len(words):
            sums[min(int(np.searchsorted(ends, last)), len(words) - 1)] += weight
    return sums
