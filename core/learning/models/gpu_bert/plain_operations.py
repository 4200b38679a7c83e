"""The operations of `operations.Operations` in plain torch, on any device."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from core.learning.models.gpu_bert.operations import (
    Dropout,
    Embedding,
    Moments,
    Norm,
    NormTape,
    Projections,
    Update,
)
from core.learning.models.gpu_bert.packing import PackedBatch, mix_bits
from core.learning.models.torch_operations import (
    BETA1,
    BETA2,
    layer_norm,
    layer_norm_backward,
)
from core.learning.models.torch_operations import (
    gelu_backward as _gelu_backward,
)


def kept(batch: PackedBatch, dropout: Dropout, places: Tensor) -> Tensor:
    """bool: whether dropout keeps the value at each place (int64)."""
    key = mix_bits(batch.counts[2].long() ^ dropout.stream * 0x9E3779B9)
    return mix_bits(mix_bits(places ^ key) + key) >= round(dropout.rate * 2**32)


def compile_kernels(work: Callable[[], None], wait: bool) -> None:
    """There are none."""


def drop(x: Tensor, batch: PackedBatch, dropout: Dropout) -> Tensor:
    if not dropout.rate:
        return x
    places = torch.arange(x.numel(), device=x.device).view(x.shape)
    return x * kept(batch, dropout, places) / (1 - dropout.rate)


def embed(
    batch: PackedBatch, tables: Embedding, dropout: Dropout, working: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    y, mean, reciprocal = layer_norm(_sum(batch, tables), *tables.norm, tables.epsilon)
    return _zero_tail(drop(y, batch, dropout), batch.counts).to(working), mean.view(-1), reciprocal.view(-1)


def _sum(batch: PackedBatch, tables: Embedding) -> Tensor:
    tokens = int(batch.counts[0])
    rows = torch.zeros(batch.shape.tokens, tables.words.shape[1], device=tables.words.device)
    rows[:tokens] = tables.words[batch.ids[:tokens].long()] + tables.positions[batch.places[:tokens].long()]
    return rows if tables.kind is None else rows + tables.kind


def embed_backward(
    dy: Tensor,
    batch: PackedBatch,
    tables: Embedding,
    dropout: Dropout,
    statistics: tuple[Tensor, Tensor],
    sums: tuple[Norm, Tensor | None],
) -> Tensor:
    mean, reciprocal = (value[:, None] for value in statistics)
    dy = _zero_tail(drop(dy.float(), batch, dropout), batch.counts)
    dx, dweight, dbias = layer_norm_backward(dy, _sum(batch, tables), mean, reciprocal, *tables.norm)
    norm, kind = sums
    _put(norm.weight, dweight)
    _put(norm.bias, dbias)
    if kind is not None:
        _put(kind, dx.sum(dim=0))
    return dx


def position_gradients(dx: Tensor, batch: PackedBatch, target: Tensor) -> None:
    tokens = int(batch.counts[0])
    target.zero_().index_add_(0, batch.places[:tokens].long(), dx[:tokens])


def add_norm(
    product: Tensor,
    residual: Tensor,
    bias: Tensor,
    norm: tuple[Norm, float],
    batch: PackedBatch,
    dropout: Dropout,
) -> tuple[Tensor, NormTape]:
    weights, epsilon = norm
    x = residual.float() + drop(product.float() + bias.float(), batch, dropout)
    y, mean, reciprocal = layer_norm(x, *weights, epsilon)
    y = _zero_tail(y, batch.counts) if len(y) == batch.shape.tokens else y
    return y.to(product.dtype), NormTape(x.to(product.dtype), mean.view(-1), reciprocal.view(-1))


def add_norm_backward(
    dy: Tensor, tape: NormTape, norm: Norm, batch: PackedBatch, dropout: Dropout, sums: tuple[Norm, Tensor]
) -> tuple[Tensor, Tensor]:
    mean, reciprocal = tape.mean[:, None], tape.reciprocal[:, None]
    dx, dweight, dbias = layer_norm_backward(dy.float(), tape.x.float(), mean, reciprocal, *norm)
    dproduct = drop(dx, batch, dropout)
    for target, value in zip((*sums[0], sums[1]), (dweight, dbias, dproduct.sum(dim=0)), strict=True):
        _put(target, value)
    return dx.to(dy.dtype), dproduct.to(dy.dtype)


def gelu(x: Tensor) -> Tensor:
    return functional.gelu(x)


def gelu_backward(dy: Tensor, x: Tensor, sums: Tensor) -> Tensor:
    dx = _gelu_backward(dy.float(), x.float())
    _put(sums, dx.sum(dim=0))
    return dx.to(dy.dtype)


def attend(projections: Projections, batch: PackedBatch, dropout: Dropout) -> tuple[Tensor, Tensor]:
    context = torch.zeros_like(projections.query, memory_format=torch.contiguous_format)
    divisors = torch.zeros(projections.heads, len(context), device=context.device)
    for text, (asking, tokens) in enumerate(_spans(projections, batch)):
        query, key, value = _heads(projections, asking, tokens)
        scores = query @ key.transpose(1, 2) * query.shape[-1] ** -0.5
        dropped = drop_attention(scores.softmax(dim=-1), text, batch, dropout)
        context[asking] = (dropped @ value).transpose(0, 1).flatten(1).to(context.dtype)
        divisors[:, asking] = scores.logsumexp(dim=-1)
    return context, divisors


def drop_attention(x: Tensor, text: int, batch: PackedBatch, dropout: Dropout) -> Tensor:
    """Dropout of one text's probabilities [heads, queries, tokens]."""
    if not dropout.rate:
        return x
    heads, queries, tokens = (torch.arange(size, device=x.device) for size in x.shape)
    longest = batch.shape.longest
    rows = (text * len(heads) + heads)[:, None] * longest + queries
    places = rows[:, :, None] * longest + tokens
    return x * kept(batch, dropout, places) / (1 - dropout.rate)


def attend_backward(
    dcontext: Tensor,
    given: tuple[Tensor, Tensor],
    projections: Projections,
    batch: PackedBatch,
    dropout: Dropout,
    sums: Tensor,
) -> tuple[Tensor, Tensor]:
    width = projections.query.shape[1]
    both = projections.key.new_zeros(len(projections.key), width * (2 if projections.only_first else 3))
    dquery = torch.zeros_like(dcontext) if projections.only_first else both[:, :width]
    dkey, dvalue = both[:, -2 * width : -width], both[:, -width:]
    for text, (asking, tokens) in enumerate(_spans(projections, batch)):
        query, key, value = _heads(projections, asking, tokens)
        scale = query.shape[-1] ** -0.5
        probabilities = (query @ key.transpose(1, 2) * scale).softmax(dim=-1)
        dout = dcontext[asking].float().view(len(query[0]), projections.heads, -1).transpose(0, 1)
        dropped = drop_attention(probabilities, text, batch, dropout)
        dprobabilities = drop_attention(dout @ value.transpose(1, 2), text, batch, dropout)
        due = (probabilities * dprobabilities).sum(dim=-1, keepdim=True)
        dscores = probabilities * (dprobabilities - due) * scale
        dvalue[tokens] = _flat(dropped.transpose(1, 2) @ dout, both)
        dkey[tokens] = _flat(dscores.transpose(1, 2) @ query, both)
        dquery[asking] = _flat(dscores @ key, both)
    for i, part in enumerate((dquery, dkey, dvalue)):
        _put(sums[:, i * width : (i + 1) * width], part.float().sum(dim=0))
    return dquery, both if projections.only_first else both[:, width:]


def attention_sums(batch: PackedBatch) -> int:
    return batch.shape.texts


def _spans(projections: Projections, batch: PackedBatch) -> list[tuple[slice, slice]]:
    """Of each text: the rows that ask, and the rows of its tokens."""
    tokens = [
        slice(start, start + length)
        for start, length in zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True)
    ]
    asking = [slice(text, text + 1) for text in range(len(tokens))] if projections.only_first else tokens
    return list(zip(asking, tokens, strict=True))


def _heads(projections: Projections, asking: slice, tokens: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of one text: float32 [heads, rows, width] each."""
    parts = (projections.query[asking], projections.key[tokens], projections.value[tokens])
    query, key, value = (
        part.float().reshape(len(part), projections.heads, -1).transpose(0, 1) for part in parts
    )
    return query, key, value


def _flat(of_heads: Tensor, like: Tensor) -> Tensor:
    return of_heads.transpose(0, 1).flatten(1).to(like.dtype)


def cross_entropy(logits: Tensor, batch: PackedBatch, weights: Tensor, totals: Tensor) -> Tensor:
    labels = batch.labels.long()
    shares = weights[labels] / batch.rates[0]
    totals[0] += (functional.cross_entropy(logits, labels, reduction="none") * shares).sum()
    totals[1] += (logits.argmax(dim=1) == labels).sum()
    one_hot = functional.one_hot(labels, logits.shape[1])
    return (logits.softmax(dim=1) - one_hot) * shares[:, None]


def word_gradients(dx: Tensor, batch: PackedBatch) -> Tensor:
    tokens, words = int(batch.counts[0]), int(batch.counts[1])
    sizes = batch.segments[: words + 1].long().diff()
    word_of = torch.repeat_interleave(torch.arange(words, device=dx.device), sizes)
    return torch.zeros_like(dx).index_add_(0, word_of, dx[batch.order[:tokens].long()])


def square_sums(x: Tensor, counts: Tensor | None, target: Tensor) -> None:
    used = x if counts is None else x[: int(counts[1])]
    _put(target.view(-1, 1), used.float().square().sum().view(1))


def clip_scale(square_sums: Tensor, largest: float, target: Tensor) -> None:
    norm = square_sums.sum().sqrt()
    target.copy_(torch.where(norm > largest, largest / (norm + 1e-6), 1.0))


def settle_words(batch: PackedBatch, table: Moments) -> None:
    words = batch.words[: int(batch.counts[1])].long()
    missed, first_left, second_left, epsilon = batch.late[: len(words)].t()[:, :, None]
    first, second = table.first[words], table.second[words]
    # Where nothing was ever touched the momentum is zero and so is the quotient, whatever the divisor.
    table.values[words] -= missed * first / (second.sqrt() + epsilon.clamp_min(1e-30))
    table.first[words], table.second[words] = first * first_left, second * second_left


def update_block(block: Moments, gradient: Tensor, update: Update, decayed: int) -> None:
    block.values[:decayed] *= 1 - update.rates[1] * update.weight_decay
    _step(block, slice(None), gradient, update)
    if block.working is not None:
        block.working.copy_(block.values)


def update_words(batch: PackedBatch, table: Moments, gradient: Tensor, update: Update) -> None:
    words = batch.words[: int(batch.counts[1])].long()
    _step(table, words, gradient[: len(words)], update)


def _step(block: Moments, rows: Tensor | slice, gradient: Tensor, update: Update) -> None:
    _, _, rate, epsilon = update.rates
    gradient = gradient.float() * update.clip_scale
    first, second = block.first[rows], block.second[rows]
    first = first + (gradient - first) * (1 - BETA1)
    second = second * BETA2 + gradient * gradient * (1 - BETA2)
    block.values[rows] -= rate * first / (second.sqrt() + epsilon)
    block.first[rows], block.second[rows] = first, second


def _put(sums: Tensor, value: Tensor) -> None:
    sums.zero_()
    sums[0] = value


def _zero_tail(rows: Tensor, counts: Tensor) -> Tensor:
    rows[int(counts[0]) :] = 0
    return rows
