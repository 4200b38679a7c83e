"""What the encoder on a GPU is made of, beside matrix products: one interface, in Triton and in plain torch.

`triton_operations` is what runs on a GPU. `plain_operations` computes the same, the same dropout included,
with torch's operations on any device: it says what each operation means, and the kernels are tested against
it. Both are modules with the functions of `Operations`.

Shapes: T rows of tokens, B texts, hidden width H, inner width I. Whatever is said of a batch's rows holds of
those that are tokens; the rows behind the last text's end are zero in all that an operation gives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from core.learning.models.gpu_bert.packing import PackedBatch


class Dropout(NamedTuple):
    """Which values become zero: those whose hash of the step's seed, the stream and the place is low."""

    rate: float
    stream: int
    """Another one for every operation of a step."""


class Norm(NamedTuple):
    """A layer norm's weight and bias, float32 [H] each, or their gradients' partial sums [P, H]."""

    weight: Tensor
    bias: Tensor


class NormTape(NamedTuple):
    """What the backward pass of a layer norm needs."""

    x: Tensor
    """[rows, H]: what was normed, in the working format."""
    mean: Tensor
    """float32 [rows]; and so the reciprocal of the deviation."""
    reciprocal: Tensor


class Embedding(NamedTuple):
    """The tables of the embeddings, float32, and their norm."""

    words: Tensor
    """[vocabulary, H]."""
    positions: Tensor
    """[places, H], from the place of a text's first token."""
    kind: Tensor | None
    """[H]: of the only token type there is; None where the model has none."""
    norm: Norm
    epsilon: float


class Projections(NamedTuple):
    """Query, key and value of one layer."""

    query: Tensor
    """[T, H], or [B, H] where only the first token of each text asks. May be a view of columns."""
    key: Tensor
    """[T, H], and so the value."""
    value: Tensor
    heads: int
    only_first: bool


class Moments(NamedTuple):
    """Weights in float32, AdamW's two moments of them, and the copy that products read."""

    values: Tensor
    first: Tensor
    second: Tensor
    working: Tensor | None
    """In the working format; None where that is float32 or nothing reads a copy."""


@dataclass(frozen=True)
class Update:
    """What an update needs beside gradients: the numbers of the step."""

    rates: Tensor
    """Of the batch: see `packing.Rates`."""
    clip_scale: Tensor
    """float32 [1]: what all gradients are multiplied by."""
    weight_decay: float


SUMS = 1024
"""Partial sums of squares: enough programs to keep a large GPU busy."""


class Operations(Protocol):
    """See the module."""

    def compile_kernels(self, work: Callable[[], None], wait: bool) -> None:
        """Make ready for work of this kind, which is done on values that mean nothing.

        Args:
            wait: until all is ready; otherwise it becomes so while other work is done.
        """

    def embed(
        self, batch: PackedBatch, tables: Embedding, dropout: Dropout, working: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The sum of words, places and kind, normed, with dropout: [T, H]; and the norm's statistics."""

    def embed_backward(
        self,
        dy: Tensor,
        batch: PackedBatch,
        tables: Embedding,
        dropout: Dropout,
        statistics: tuple[Tensor, Tensor],
        sums: tuple[Norm, Tensor | None],
    ) -> Tensor:
        """float32 [T, H]: the gradient of each token's sum of embeddings.

        Args:
            statistics: mean and reciprocal, as `embed` gave them.
            sums: filled with partial sums of the gradients of the norm and of the kind.
        """

    def position_gradients(self, dx: Tensor, batch: PackedBatch, target: Tensor) -> None:
        """Fill `target` [places, H] with the sum of `dx` over the texts, by place."""

    def add_norm(
        self,
        product: Tensor,
        residual: Tensor,
        bias: Tensor,
        norm: tuple[Norm, float],
        batch: PackedBatch,
        dropout: Dropout,
    ) -> tuple[Tensor, NormTape]:
        """The norm of `residual` + dropout(`product` + `bias`): [T, H], or [B, H] of one row per text.

        Args:
            norm: weights, and epsilon.
        """

    def add_norm_backward(
        self,
        dy: Tensor,
        tape: NormTape,
        norm: Norm,
        batch: PackedBatch,
        dropout: Dropout,
        sums: tuple[Norm, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The gradients of the residual and of the product.

        Args:
            sums: filled with partial sums of the gradients of the norm and of the bias.
        """

    def gelu(self, x: Tensor) -> Tensor:
        """GELU, not approximated."""

    def gelu_backward(self, dy: Tensor, x: Tensor, sums: Tensor) -> Tensor:
        """The gradient of x, and partial sums of its columns in `sums`."""

    def attend(self, projections: Projections, batch: PackedBatch, dropout: Dropout) -> tuple[Tensor, Tensor]:
        """Attention within each text: [queries, H]; and the logarithms of the divisors [heads, queries]."""

    def attend_backward(
        self,
        dcontext: Tensor,
        given: tuple[Tensor, Tensor],
        projections: Projections,
        batch: PackedBatch,
        dropout: Dropout,
        sums: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The gradients of the query, and of key and value side by side [T, 2·H].

        Where every token asks they are views of one tensor [T, 3·H].

        Args:
            given: what `attend` gave.
            sums: [`attention_sums(batch)`, 3·H], filled with partial sums of the gradients of the biases of
                query, key and value.
        """

    def attention_sums(self, batch: PackedBatch) -> int:
        """Rows of partial sums that `attend_backward` gives."""

    def drop(self, x: Tensor, batch: PackedBatch, dropout: Dropout) -> Tensor:
        """x with dropout; the same again gives the gradient's."""

    def cross_entropy(self, logits: Tensor, batch: PackedBatch, weights: Tensor, totals: Tensor) -> Tensor:
        """The gradient of the batch's loss with regard to the logits: [B, classes].

        The loss is the sum of the texts' weighted cross-entropies over the batch's weight.

        Args:
            weights: float32 [classes].
            totals: float32 [2]: the loss and the number of right answers are added to it.
        """

    def word_gradients(self, dx: Tensor, batch: PackedBatch) -> Tensor:
        """float32 [T, H]: for each word of the batch the sum of `dx` over its tokens."""

    def square_sums(self, x: Tensor, counts: Tensor | None, target: Tensor) -> None:
        """Fill `target` [n] with sums that add up to the sum of the squares of `x`.

        Args:
            counts: of a batch, where only the rows of its words count; None where all do.
        """

    def clip_scale(self, square_sums: Tensor, largest: float, target: Tensor) -> None:
        """Fill `target` [1] with what scales gradients down to the norm `largest`, or with 1.

        Args:
            square_sums: float32 [a power of two], together the square of the gradients' norm.
        """

    def settle_words(self, batch: PackedBatch, table: Moments) -> None:
        """Let the rows of the batch's words make up for what they missed: see `optimizer.MissedSteps`."""

    def update_block(self, block: Moments, gradient: Tensor, update: Update, decayed: int) -> None:
        """One AdamW step of a block, with its working copy.

        Args:
            decayed: values, from the first, that the weight decay pulls; the others it spares.
        """

    def update_words(self, batch: PackedBatch, table: Moments, gradient: Tensor, update: Update) -> None:
        """One AdamW step, without decay, of the rows of the batch's words, whose gradients those are."""
