"""BERT's encoder for the CPU, forward and backward written out.

It computes what transformers' models of the family compute, with less around the matrix products: weights
and gradients lie in flat blocks, query, key and value are one product, dropout and residual are one
operation with a mask from a pool, the last layer is computed for the first token alone (a classifier reads
nothing else of it), and only the rows of the vocabulary that a batch contains have gradients.

Shapes: B texts of S tokens, T = B·S tokens in all, hidden width H, inner width I, n heads of d = H / n.
The architecture is that of Devlin et al. 2019 (arXiv:1810.04805), section 3: post-norm, learned positions.
"""

from copy import copy
from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor
from torch.nn import functional

from core.learning.models.bert_family.architectures import Architecture, matrix_shapes, vector_shapes
from core.learning.models.bert_family.flat_parameters import FlatParameters
from core.learning.models.cpu_bert.dropout import NO_MASKS, DropoutMasks, Masks
from core.learning.models.torch_operations import (
    gelu_backward,
    layer_norm,
    layer_norm_backward,
    softmax_backward,
)

_SHORT_ROW = 64
"""Tokens below which torch's bfloat16 softmax is slower than its float32 one with both casts."""


@dataclass(frozen=True)
class _Linear:
    """Weight and bias of a product [out, in] or of a norm [H]: their values, or the gradients."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class _Layer:
    """One layer's weights, or their gradients."""

    qkv: _Linear
    attention_output: _Linear
    attention_norm: _Linear
    inner: _Linear
    output: _Linear
    output_norm: _Linear


@dataclass(frozen=True)
class _Norm:
    """What the backward pass of a layer norm needs."""

    x: Tensor
    mean: Tensor
    reciprocal_deviation: Tensor


@dataclass(frozen=True)
class _Attention:
    """What the backward pass of the attention needs. Q is S, or 1 in the last layer."""

    query: Tensor
    """[B·n, Q, d]; key and value [B·n, S, d]."""
    key: Tensor
    value: Tensor
    probabilities: Tensor
    """[B·n, Q, S], before dropout."""
    mask: Tensor | None


@dataclass(frozen=True)
class _LayerTape:
    """What the backward pass of one layer needs of its forward pass."""

    x: Tensor
    """[T, H]."""
    attention: _Attention
    context: Tensor
    """[B·Q, H]."""
    attention_mask: Tensor | None
    attention_norm: _Norm
    middle: Tensor
    """[B·Q, H]: between the two halves of the layer."""
    inner: Tensor
    """[B·Q, I], before GELU."""
    activated: Tensor
    output_mask: Tensor | None
    output_norm: _Norm


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of one forward pass."""

    ids: Tensor
    embedding_norm: _Norm
    embedding_mask: Tensor | None
    layers: list[_LayerTape]


class BertEncoder:
    """Weights of an encoder, and the two passes over them.

    Args:
        architecture: sizes and names.
        working: format of matrix products and activations, float32 or bfloat16. Weights, what norms and
            softmax sum up, and updates are float32 either way.
    """

    def __init__(self, architecture: Architecture, working: torch.dtype) -> None:
        self.architecture = architecture
        self.working = working
        self.words = torch.empty(architecture.vocabulary, architecture.hidden)
        self.matrices = FlatParameters(matrix_shapes(architecture), working)
        self.vectors = FlatParameters(vector_shapes(architecture), working)
        self.word_gradients: list[tuple[Tensor, Tensor]] = []
        """Token ids [T] and their gradients [T, H], for every part of the present batch."""
        self._layers = self._views(self.matrices.working, self.vectors.working, self.vectors.values)
        self._gradients: list[_Layer] = []
        self._parts = 0
        self._earlier_parts = torch.empty(0)

    def exact(self) -> "BertEncoder":
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
        """Make the working copies follow the values; needed after every change of them."""
        self.matrices.refresh()
        self.vectors.refresh()

    def allocate_gradients(self) -> None:
        """Make ready for `backward`."""
        # Products give their results in the working format.
        self.matrices.allocate_gradients(self.working)
        self.vectors.allocate_gradients(torch.float32)
        vectors = self.vectors.gradients
        self._gradients = self._views(self.matrices.gradients, vectors, vectors)

    def clear_gradients(self) -> None:
        """Begin a new batch."""
        self.vectors.gradients.zero_()
        self.word_gradients.clear()
        self._parts = 0

    def matrix_gradients(self) -> Tensor:
        """The gradients of `matrices.values`: in the working format, or in float32 after several parts."""
        if self.working == torch.float32 or self._parts == 1:
            return self.matrices.gradients
        return self._earlier_parts + self.matrices.gradients

    @overload
    def forward(
        self,
        ids: Tensor,
        padding: Tensor | None,
        masks: Masks | None,
        tape: Literal[True],
    ) -> tuple[Tensor, Tape]: ...

    @overload
    def forward(
        self,
        ids: Tensor,
        padding: Tensor | None,
        masks: Masks | None,
        tape: Literal[False],
    ) -> tuple[Tensor, None]: ...

    def forward(
        self,
        ids: Tensor,
        padding: Tensor | None,
        masks: Masks | None,
        tape: bool,
    ) -> tuple[Tensor, Tape | None]:
        """Encode a batch.

        Args:
            ids: int64 [B, S].
            padding: bool [B, S], True where a text has no token; None when all are equally long.
            masks: of dropout; None without.
            tape: whether a backward pass follows.

        Returns:
            The first token's state of each text in float32 [B, H], and the tape.
        """
        masks = masks or NO_MASKS
        x, embedding_norm, embedding_mask = self._embed(ids, masks.hidden)
        tapes = []
        last = len(self._layers) - 1
        for i, layer in enumerate(self._layers):
            x, layer_tape = self._layer_forward(layer, x, ids.shape, padding, i == last, masks)
            if tape:
                tapes.append(layer_tape)
        return x.float(), Tape(ids, embedding_norm, embedding_mask, tapes) if tape else None

    def states(self, ids: Tensor, padding: Tensor | None, layers: int) -> list[Tensor]:
        """The states of every token in the last `layers` layers, without dropout: working format [B, S, H].

        Args:
            ids, padding: as `forward` takes them. What stands where a text has no token means nothing.
        """
        x, _, _ = self._embed(ids, None)
        states = []
        for layer in self._layers:
            x, _ = self._layer_forward(layer, x, ids.shape, padding, False, NO_MASKS)
            states.append(x.view(*ids.shape, -1))
        return states[-layers:]

    def backward(self, tape: Tape, gradient: Tensor) -> None:
        """Add this batch's gradients to those of its earlier parts.

        Args:
            gradient: float32 [B, H], of what `forward` returned.
        """
        if self.working != torch.float32 and self._parts:
            # A sum of many parts would lose too much in bfloat16.
            last = self.matrices.gradients.float()
            self._earlier_parts = last if self._parts == 1 else self._earlier_parts.add_(last)
        dx = gradient.to(self.working)
        for layer, gradients in zip(reversed(self._layers), reversed(self._gradients), strict=True):
            dx = self._layer_backward(layer, gradients, tape.layers.pop(), tape.ids.shape, dx)
        self._embed_backward(tape, dx)
        self._parts += 1

    # Embeddings

    def _embed(self, ids: Tensor, masks: DropoutMasks | None) -> tuple[Tensor, _Norm, Tensor | None]:
        length = ids.shape[1]
        places = self._table("position_embeddings")[self._places(length)]
        if self.architecture.types:
            places = places + self._table("token_type_embeddings")[0]
        x = self.words[ids]
        x += places
        x, norm = self._norm(x.view(-1, self.architecture.hidden), self._embedding_norm(self.vectors.values))
        x = x.to(self.working)
        mask = masks.take(*x.shape) if masks else None
        return x if mask is None else x.mul_(mask), norm, mask

    def _embed_backward(self, tape: Tape, dx: Tensor) -> None:
        if tape.embedding_mask is not None:
            dx = dx * tape.embedding_mask
        dx = self._norm_backward(
            dx.float(),
            tape.embedding_norm,
            self._embedding_norm(self.vectors.values),
            self._embedding_norm(self.vectors.gradients),
        )
        self.word_gradients.append((tape.ids.flatten(), dx))
        length = tape.ids.shape[1]
        by_place = dx.view(-1, length, dx.shape[-1]).sum(dim=0)
        self._table_gradient("position_embeddings")[self._places(length)] += by_place
        if self.architecture.types:
            self._table_gradient("token_type_embeddings")[0] += by_place.sum(dim=0)

    # One layer

    def _layer_forward(
        self,
        layer: _Layer,
        x: Tensor,
        shape: torch.Size,
        padding: Tensor | None,
        only_first: bool,
        masks: Masks,
    ) -> tuple[Tensor, _LayerTape]:
        query, key, value = self._project(layer.qkv, x, shape, only_first)
        context, attention = self._attend(query, key, value, padding, masks.attention)
        residual = x.view(*shape, -1)[:, 0] if only_first else x
        attended = _linear(context, layer.attention_output)
        attended, attention_mask = _add_dropout(residual, attended, masks.hidden)
        middle, attention_norm = self._norm(attended, layer.attention_norm)
        inner = _linear(middle, layer.inner)
        activated = functional.gelu(inner)
        output, output_mask = _add_dropout(middle, _linear(activated, layer.output), masks.hidden)
        y, output_norm = self._norm(output, layer.output_norm)
        return y, _LayerTape(
            x,
            attention,
            context,
            attention_mask,
            attention_norm,
            middle,
            inner,
            activated,
            output_mask,
            output_norm,
        )

    def _layer_backward(
        self, layer: _Layer, gradients: _Layer, tape: _LayerTape, shape: torch.Size, dy: Tensor
    ) -> Tensor:
        doutput = self._norm_backward(dy, tape.output_norm, layer.output_norm, gradients.output_norm)
        dproduct = _masked(doutput, tape.output_mask)
        self._linear_gradients(gradients.output, tape.activated, dproduct)
        dinner = gelu_backward(dproduct @ layer.output.weight, tape.inner)
        self._linear_gradients(gradients.inner, tape.middle, dinner)
        dmiddle = torch.addmm(doutput, dinner, layer.inner.weight)

        dattended = self._norm_backward(
            dmiddle, tape.attention_norm, layer.attention_norm, gradients.attention_norm
        )
        dproduct = _masked(dattended, tape.attention_mask)
        self._linear_gradients(gradients.attention_output, tape.context, dproduct)
        dcontext = dproduct @ layer.attention_output.weight
        dprojections = self._attend_backward(tape.attention, dcontext, shape)
        return self._project_backward(layer.qkv, gradients.qkv, tape.x, shape, dattended, dprojections)

    # Query, key and value

    def _project(
        self, qkv: _Linear, x: Tensor, shape: torch.Size, only_first: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, length = shape
        heads, hidden = self.architecture.heads, self.architecture.hidden
        if not only_first:
            product = _linear(x, qkv).view(batch, length, 3, heads, -1)
            query, key, value = _heads_first(product)
            return query, key, value
        first = x.view(batch, length, hidden)[:, 0]
        query = torch.addmm(qkv.bias[:hidden], first, qkv.weight[:hidden].t())
        product = torch.addmm(qkv.bias[hidden:], x, qkv.weight[hidden:].t())
        key, value = _heads_first(product.view(batch, length, 2, heads, -1))
        return query.view(batch * heads, 1, -1), key, value

    def _project_backward(
        self,
        qkv: _Linear,
        gradients: _Linear,
        x: Tensor,
        shape: torch.Size,
        residual: Tensor,
        dprojections: tuple[Tensor | None, Tensor],
    ) -> Tensor:
        dquery, dproduct = dprojections
        if dquery is None:
            self._linear_gradients(gradients, x, dproduct)
            return torch.addmm(residual, dproduct, qkv.weight)
        hidden = self.architecture.hidden
        first = x.view(*shape, hidden)[:, 0]
        self._linear_gradients(_Linear(gradients.weight[:hidden], gradients.bias[:hidden]), first, dquery)
        self._linear_gradients(_Linear(gradients.weight[hidden:], gradients.bias[hidden:]), x, dproduct)
        dx = dproduct @ qkv.weight[hidden:]
        dx.view(*shape, hidden)[:, 0] += torch.addmm(residual, dquery, qkv.weight[:hidden])
        return dx

    # Attention: explicit, since for short texts it beats the fused kernels, which lack dropout here

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, masks: DropoutMasks | None
    ) -> tuple[Tensor, _Attention]:
        heads = self.architecture.heads
        scale = query.shape[-1] ** -0.5
        scores = torch.baddbmm(query.new_zeros(1), query, key.transpose(1, 2), beta=0, alpha=scale)
        if padding is not None:
            batch, length = padding.shape
            scores.view(batch, heads, -1, length).masked_fill_(padding[:, None, None, :], -torch.inf)
        probabilities = _softmax(scores)
        mask = masks.take(*probabilities.shape) if masks else None
        context = torch.bmm(_masked(probabilities, mask).to(self.working), value)
        return _heads_last(context, heads), _Attention(query, key, value, probabilities, mask)

    def _attend_backward(
        self, tape: _Attention, dcontext: Tensor, shape: torch.Size
    ) -> tuple[Tensor | None, Tensor]:
        """The gradients of the projections: of query, key and value in one, or of the query apart."""
        batch, length = shape
        heads, hidden = self.architecture.heads, self.architecture.hidden
        queries = tape.query.shape[1]
        width = hidden // heads
        together = queries == length
        dcontext = (
            dcontext.view(batch, queries, heads, width).transpose(1, 2).reshape(batch * heads, queries, width)
        )
        dropped = _masked(tape.probabilities, tape.mask).to(self.working)
        dprobabilities = _masked(torch.bmm(dcontext, tape.value.transpose(1, 2)), tape.mask)
        dscores = _softmax_backward(dprobabilities, tape.probabilities, self.working)
        d = dcontext.new_empty(3 if together else 2, batch * heads, length, width)
        torch.bmm(dropped.transpose(1, 2), dcontext, out=d[-1])
        scale = width**-0.5
        torch.baddbmm(d[-2], dscores.transpose(1, 2), tape.query, beta=0, alpha=scale, out=d[-2])
        dquery = d[0] if together else torch.empty_like(tape.query)
        torch.baddbmm(dquery, dscores, tape.key, beta=0, alpha=scale, out=dquery)
        dproduct = (
            d.view(len(d), batch, heads, length, width).permute(1, 3, 0, 2, 4).reshape(batch * length, -1)
        )
        return None if together else dquery.view(batch, hidden), dproduct

    # Pieces

    def _norm(self, x: Tensor, norm: _Linear) -> tuple[Tensor, _Norm]:
        y, mean, reciprocal = layer_norm(x, norm.weight, norm.bias, self.architecture.epsilon)
        return y, _Norm(x, mean, reciprocal)

    def _norm_backward(self, dy: Tensor, tape: _Norm, norm: _Linear, gradients: _Linear) -> Tensor:
        dx, dweight, dbias = layer_norm_backward(
            dy, tape.x, tape.mean, tape.reciprocal_deviation, norm.weight, norm.bias
        )
        gradients.weight.add_(dweight)
        gradients.bias.add_(dbias)
        return dx

    def _linear_gradients(self, gradients: _Linear, x: Tensor, dy: Tensor) -> None:
        weight = gradients.weight
        # In float32 the parts of a batch are added up where they are.
        keep = 1 if self._parts and self.working == torch.float32 else 0
        torch.addmm(weight, dy.t(), x, beta=keep, out=weight)
        gradients.bias.add_(dy.sum(dim=0))

    def _views(self, matrices: Tensor, biases: Tensor, norms: Tensor) -> list[_Layer]:
        return [self._layer_views(i, matrices, biases, norms) for i in range(self.architecture.layers)]

    def _layer_views(self, layer: int, matrices: Tensor, biases: Tensor, norms: Tensor) -> _Layer:
        def linear(*parts: str) -> _Linear:
            names = [self.architecture.name(layer, part) for part in parts]
            return _Linear(
                self.matrices.view(matrices, *[f"{name}.weight" for name in names]),
                self.vectors.view(biases, *[f"{name}.bias" for name in names]),
            )

        def norm(part: str) -> _Linear:
            return self._norm_views(self.architecture.name(layer, part), norms)

        return _Layer(
            qkv=linear("query", "key", "value"),
            attention_output=linear("attention_output"),
            attention_norm=norm("attention_norm"),
            inner=linear("inner"),
            output=linear("output"),
            output_norm=norm("output_norm"),
        )

    def _norm_views(self, name: str, block: Tensor) -> _Linear:
        return _Linear(self.vectors.view(block, f"{name}.weight"), self.vectors.view(block, f"{name}.bias"))

    def _embedding_norm(self, block: Tensor) -> _Linear:
        return self._norm_views(f"{self.architecture.embeddings}.LayerNorm", block)

    def _table(self, name: str) -> Tensor:
        return self.vectors.view(self.vectors.values, f"{self.architecture.embeddings}.{name}.weight")

    def _table_gradient(self, name: str) -> Tensor:
        return self.vectors.view(self.vectors.gradients, f"{self.architecture.embeddings}.{name}.weight")

    def _places(self, length: int) -> slice:
        return slice(self.architecture.first_position, self.architecture.first_position + length)


def _linear(x: Tensor, linear: _Linear) -> Tensor:
    return torch.addmm(linear.bias, x, linear.weight.t())


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _add_dropout(residual: Tensor, x: Tensor, masks: DropoutMasks | None) -> tuple[Tensor, Tensor | None]:
    if masks is None:
        return residual + x, None
    mask = masks.take(*x.shape)
    return torch.addcmul(residual, x, mask), mask


def _softmax(scores: Tensor) -> Tensor:
    if scores.dtype == torch.float32 or scores.shape[-1] >= _SHORT_ROW:
        return scores.softmax(dim=-1)
    return scores.float().softmax(dim=-1).to(scores.dtype)


def _softmax_backward(dy: Tensor, y: Tensor, working: torch.dtype) -> Tensor:
    if working == torch.float32 or y.shape[-1] >= _SHORT_ROW:
        return softmax_backward(dy, y)
    return softmax_backward(dy.float(), y.float()).to(working)


def _heads_first(product: Tensor) -> Tensor:
    """[B, S, k, n, d] → [k, B·n, S, d]."""
    batch, length, parts, heads, width = product.shape
    return product.permute(2, 0, 3, 1, 4).reshape(parts, batch * heads, length, width)


def _heads_last(context: Tensor, heads: int) -> Tensor:
    """[B·n, Q, d] → [B·Q, H]."""
    rows, queries, width = context.shape
    return context.view(-1, heads, queries, width).transpose(1, 2).reshape(-1, heads * width)
