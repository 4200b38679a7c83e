"""BERT's encoder for a CUDA GPU: packed tokens, forward and backward written out.

It computes what `cpu_bert.encoder` computes, on texts that lie one behind the other without padding: matrix
products by cuBLAS, all else by the fused kernels of `operations`. The gradients of biases and norms are sums
over all tokens: each kernel leaves partial sums side by side in one block, which one reduction adds up. No
operation waits for the processor or depends on its memory, so that a whole step can be recorded.

Shapes: T rows of tokens, B texts, hidden width H, inner width I.
The architecture is that of Devlin et al. 2019 (arXiv:1810.04805), section 3: post-norm, learned positions.
"""

from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from core.learning.models.bert_family.architectures import Architecture, matrix_shapes, vector_shapes
from core.learning.models.bert_family.flat_parameters import FlatParameters
from core.learning.models.gpu_bert.operations import (
    Dropout,
    Embedding,
    Norm,
    NormTape,
    Operations,
    Projections,
)
from core.learning.models.gpu_bert.packing import PackedBatch

_FEW_PARTIAL_SUMS, _MANY_PARTIAL_SUMS = 64, 256
_MANY_TOKENS = 2048

NO_DROPOUT = Dropout(0.0, 0)


@dataclass(frozen=True)
class _Linear:
    """Weight and bias of a product: [out, in] and [out]."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class _Layer:
    """One layer's weights; or its gradients, of biases and norms as partial sums."""

    qkv: _Linear
    attention_output: _Linear
    attention_norm: Norm
    inner: _Linear
    output: _Linear
    output_norm: Norm


@dataclass(frozen=True)
class _LayerTape:
    """What the backward pass of one layer needs of its forward pass."""

    x: Tensor
    projections: Projections
    attention: tuple[Tensor, Tensor]
    attention_norm: NormTape
    middle: Tensor
    inner: Tensor
    activated: Tensor
    output_norm: NormTape


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of one forward pass."""

    batch: PackedBatch
    statistics: tuple[Tensor, Tensor]
    layers: list[_LayerTape]


class PackedBertEncoder:
    """Weights of an encoder on a GPU, and the two passes over them.

    Args:
        architecture: sizes and names.
        working: format of matrix products and activations, float32 or bfloat16. Weights, what norms and
            softmax sum up, and updates are float32 either way.
        operations: what computes all but matrix products.
    """

    def __init__(
        self, architecture: Architecture, working: torch.dtype, operations: Operations, device: str
    ) -> None:
        self.architecture = architecture
        self.working = working
        self.operations = operations
        self.words = torch.empty(architecture.vocabulary, architecture.hidden, device=device)
        self.matrices = FlatParameters(matrix_shapes(architecture), working, device)
        self.vectors = FlatParameters(vector_shapes(architecture), working, device)
        self._layers = self._views(self.matrices.working, self.vectors.working, self.vectors.values)
        self._dropout = architecture.dropout
        self._attention_dropout = architecture.attention_dropout

    def exact(self) -> "PackedBertEncoder":
        """The same weights, not copied, computed in float32; for answering alone."""
        if self.working == torch.float32:
            return self
        twin = copy(self)
        twin.working = torch.float32
        twin._layers = self._views(self.matrices.values, self.vectors.values, self.vectors.values)
        return twin

    def parameters(self) -> dict[str, Tensor]:
        """Name → values of every weight, as a Hugging Face state dict has them; views, not copies."""
        return {
            f"{self.architecture.embeddings}.word_embeddings.weight": self.words,
            **{name: self.matrices.view(self.matrices.values, name) for name in self.matrices.shapes},
            **{name: self.vectors.view(self.vectors.values, name) for name in self.vectors.shapes},
        }

    def refresh(self) -> None:
        """Make the working copies follow the values; needed after every change of them but an update's."""
        self.matrices.refresh()
        self.vectors.refresh()

    def allocate_gradients(self) -> None:
        """Make ready for `backward`."""
        self.matrices.allocate_gradients(self.working)
        self.vectors.allocate_gradients(torch.float32)
        # Behind the vectors' columns, those of the token type, whose row is far from them in the block.
        columns = len(self.vectors.values) + self.architecture.hidden
        self._sums = torch.zeros(_MANY_PARTIAL_SUMS, columns, device=self.words.device)

    def forward(self, batch: PackedBatch, training: bool) -> tuple[Tensor, Tape | None]:
        """Encode a batch.

        Args:
            training: with dropout, and a tape for the backward pass.

        Returns:
            The first token's state of each text in float32 [B, H], and the tape.
        """
        x, *statistics = self.operations.embed(
            batch, self._embedding(), self._drop(0, self._dropout, training), self.working
        )
        tapes = []
        last = len(self._layers) - 1
        for i, layer in enumerate(self._layers):
            x, layer_tape = self._layer_forward(i, layer, x, batch, (i == last, training))
            if training:
                tapes.append(layer_tape)
        return x.float(), Tape(batch, (statistics[0], statistics[1]), tapes) if training else None

    def states(self, batch: PackedBatch, layers: int) -> list[Tensor]:
        """The states of every token in the last `layers` layers, without dropout: working format [T, H]."""
        x, *_ = self.operations.embed(batch, self._embedding(), NO_DROPOUT, self.working)
        states = []
        for i, layer in enumerate(self._layers):
            x, _ = self._layer_forward(i, layer, x, batch, (False, False))
            states.append(x)
        return states[-layers:]

    def backward(self, tape: Tape, gradient: Tensor) -> Tensor:
        """Fill the gradient blocks with those of this batch.

        Args:
            gradient: float32 [B, H], of what `forward` returned.

        Returns:
            float32 [T, H]: the gradients of the rows of the batch's words, in the order of `batch.words`.
        """
        programs = _MANY_PARTIAL_SUMS if tape.batch.shape.tokens > _MANY_TOKENS else _FEW_PARTIAL_SUMS
        sums = self._sums[:programs]
        gradients = self._views(self.matrices.gradients, sums, sums)
        number, columns = self.operations.attention_sums(tape.batch), 3 * self.architecture.hidden
        of_attention = sums.new_empty(len(self._layers), number, columns)
        dx = gradient.to(self.working)
        for i in reversed(range(len(self._layers))):
            partial = (gradients[i], of_attention[i])
            dx = self._layer_backward(i, partial, tape.layers.pop(), tape.batch, dx)
        rows = self._embed_backward(tape, dx, sums)
        torch.sum(of_attention, dim=1, out=self._attention_biases())
        return rows

    def _attention_biases(self) -> Tensor:
        """The gradients of the biases of query, key and value, of all layers: a view [layers, 3·H]."""
        names = [f"{self.architecture.name(i, 'query')}.bias" for i in range(len(self._layers))]
        starts = [self.vectors.start(name) for name in names]
        apart = starts[1] - starts[0] if len(starts) > 1 else 1
        shape = (len(starts), 3 * self.architecture.hidden)
        return self.vectors.gradients.as_strided(shape, (apart, 1), starts[0])

    def _embed_backward(self, tape: Tape, dx: Tensor, sums: Tensor) -> Tensor:
        hidden, end = self.architecture.hidden, len(self.vectors.values)
        kind = sums[:, end:] if self.architecture.types else None
        dx = self.operations.embed_backward(
            dx,
            tape.batch,
            self._embedding(),
            self._drop(0, self._dropout, True),
            tape.statistics,
            (self._embedding_norm(sums), kind),
        )
        summed = self.vectors.start(f"{self.architecture.embeddings}.position_embeddings.weight")
        torch.sum(sums[:, :summed], dim=0, out=self.vectors.gradients[:summed])
        if kind is not None:
            start = self.vectors.start(f"{self.architecture.embeddings}.token_type_embeddings.weight")
            torch.sum(kind, dim=0, out=self.vectors.gradients[start : start + hidden])
        places = self.vectors.view(
            self.vectors.gradients, f"{self.architecture.embeddings}.position_embeddings.weight"
        )
        self.operations.position_gradients(dx, tape.batch, places[self.architecture.first_position :])
        return self.operations.word_gradients(dx, tape.batch)

    # One layer

    def _layer_forward(
        self, i: int, layer: _Layer, x: Tensor, batch: PackedBatch, mode: tuple[bool, bool]
    ) -> tuple[Tensor, _LayerTape]:
        only_first, training = mode
        operations, epsilon = self.operations, self.architecture.epsilon
        projections = self._project(layer.qkv, x, batch, only_first)
        attention = operations.attend(
            projections, batch, self._drop(3 * i + 1, self._attention_dropout, training)
        )
        product = attention[0] @ layer.attention_output.weight.t()
        residual = x[batch.starts] if only_first else x
        middle, attention_norm = operations.add_norm(
            product,
            residual,
            layer.attention_output.bias,
            (layer.attention_norm, epsilon),
            batch,
            self._drop(3 * i + 2, self._dropout, training),
        )
        inner = torch.addmm(layer.inner.bias, middle, layer.inner.weight.t())
        activated = operations.gelu(inner)
        y, output_norm = operations.add_norm(
            activated @ layer.output.weight.t(),
            middle,
            layer.output.bias,
            (layer.output_norm, epsilon),
            batch,
            self._drop(3 * i + 3, self._dropout, training),
        )
        tape = _LayerTape(x, projections, attention, attention_norm, middle, inner, activated, output_norm)
        return y, tape

    def _layer_backward(
        self, i: int, targets: tuple[_Layer, Tensor], tape: _LayerTape, batch: PackedBatch, dy: Tensor
    ) -> Tensor:
        layer, operations = self._layers[i], self.operations
        gradients, of_attention = targets
        dmiddle, dproduct = operations.add_norm_backward(
            dy,
            tape.output_norm,
            layer.output_norm,
            batch,
            self._drop(3 * i + 3, self._dropout, True),
            (gradients.output_norm, gradients.output.bias),
        )
        torch.mm(dproduct.t(), tape.activated, out=gradients.output.weight)
        dinner = operations.gelu_backward(dproduct @ layer.output.weight, tape.inner, gradients.inner.bias)
        torch.mm(dinner.t(), tape.middle, out=gradients.inner.weight)
        # What has been read may be overwritten: no copy of the residual.
        dmiddle.addmm_(dinner, layer.inner.weight)

        dattended, dproduct = operations.add_norm_backward(
            dmiddle,
            tape.attention_norm,
            layer.attention_norm,
            batch,
            self._drop(3 * i + 2, self._dropout, True),
            (gradients.attention_norm, gradients.attention_output.bias),
        )
        torch.mm(dproduct.t(), tape.attention[0], out=gradients.attention_output.weight)
        dquery, dkeyvalue = operations.attend_backward(
            dproduct @ layer.attention_output.weight,
            tape.attention,
            tape.projections,
            batch,
            self._drop(3 * i + 1, self._attention_dropout, True),
            of_attention,
        )
        return self._project_backward(
            layer.qkv, gradients.qkv.weight, tape, batch, (dattended, dquery, dkeyvalue)
        )

    # Query, key and value

    def _project(self, qkv: _Linear, x: Tensor, batch: PackedBatch, only_first: bool) -> Projections:
        heads, hidden = self.architecture.heads, self.architecture.hidden
        if not only_first:
            product = torch.addmm(qkv.bias, x, qkv.weight.t())
            query, key, value = product.split(hidden, dim=1)
            return Projections(query, key, value, heads, only_first)
        query = torch.addmm(qkv.bias[:hidden], x[batch.starts], qkv.weight[:hidden].t())
        key, value = torch.addmm(qkv.bias[hidden:], x, qkv.weight[hidden:].t()).split(hidden, dim=1)
        return Projections(query, key, value, heads, only_first)

    def _project_backward(
        self,
        qkv: _Linear,
        gradients: Tensor,
        tape: _LayerTape,
        batch: PackedBatch,
        given: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        residual, dquery, dkeyvalue = given
        hidden = self.architecture.hidden
        x = tape.x
        if not tape.projections.only_first:
            # Query, key and value side by side.
            dproduct = dquery.as_strided((len(x), 3 * hidden), (3 * hidden, 1))
            torch.mm(dproduct.t(), x, out=gradients)
            return residual.addmm_(dproduct, qkv.weight)
        torch.mm(dquery.t(), x[batch.starts], out=gradients[:hidden])
        torch.mm(dkeyvalue.t(), x, out=gradients[hidden:])
        dx = dkeyvalue @ qkv.weight[hidden:]
        return dx.index_add_(0, batch.starts, torch.addmm(residual, dquery, qkv.weight[:hidden]))

    # Pieces

    def _drop(self, stream: int, rate: float, training: bool) -> Dropout:
        return Dropout(rate, stream) if training else NO_DROPOUT

    def _embedding(self) -> Embedding:
        name = self.architecture.embeddings
        values = self.vectors.values
        kind = self.vectors.view(values, f"{name}.token_type_embeddings.weight")[0] if (
            self.architecture.types
        ) else None  # fmt: skip
        positions = self.vectors.view(values, f"{name}.position_embeddings.weight")
        return Embedding(
            self.words,
            positions[self.architecture.first_position :],
            kind,
            self._embedding_norm(values),
            self.architecture.epsilon,
        )

    def _embedding_norm(self, block: Tensor) -> Norm:
        return self._norm_views(f"{self.architecture.embeddings}.LayerNorm", block)

    def _views(self, matrices: Tensor, biases: Tensor, norms: Tensor) -> list[_Layer]:
        return [self._layer_views(i, matrices, biases, norms) for i in range(self.architecture.layers)]

    def _layer_views(self, layer: int, matrices: Tensor, biases: Tensor, norms: Tensor) -> _Layer:
        def linear(*parts: str) -> _Linear:
            names = [self.architecture.name(layer, part) for part in parts]
            return _Linear(
                self.matrices.view(matrices, *[f"{name}.weight" for name in names]),
                self._vector_views(biases, *[f"{name}.bias" for name in names]),
            )

        def norm(part: str) -> Norm:
            return self._norm_views(self.architecture.name(layer, part), norms)

        return _Layer(
            qkv=linear("query", "key", "value"),
            attention_output=linear("attention_output"),
            attention_norm=norm("attention_norm"),
            inner=linear("inner"),
            output=linear("output"),
            output_norm=norm("output_norm"),
        )

    def _norm_views(self, name: str, block: Tensor) -> Norm:
        return Norm(self._vector_views(block, f"{name}.weight"), self._vector_views(block, f"{name}.bias"))

    def _vector_views(self, block: Tensor, *names: str) -> Tensor:
        """Neighbours' values [n], or their columns [P, n] in a block of partial sums."""
        if block.ndim == 1:
            return self.vectors.view(block, *names)
        start = self.vectors.start(names[0])
        return block[:, start : start + sum(self.vectors.shapes[name].numel() for name in names)]
