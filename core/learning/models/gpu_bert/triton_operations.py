"""The operations of `operations.Operations` as Triton kernels (Tillet et al. 2019): launches, sizes."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor

from core.learning.models.gpu_bert import triton_attention as attention
from core.learning.models.gpu_bert import triton_kernels as kernels
from core.learning.models.gpu_bert.operations import (
    Dropout,
    Embedding,
    Moments,
    Norm,
    NormTape,
    Projections,
    Update,
)
from core.learning.models.gpu_bert.packing import PackedBatch
from core.learning.models.torch_operations import BETA1, BETA2

log = logging.getLogger(__name__)

_BLOCK = 1024
"""Values that a program takes at once where rows do not matter."""

_TILE = 4096
"""Values of a tile of whole rows: what a program's registers hold of several tensors."""

_LONGEST_TILE = 64
"""Tokens up to which a text's attention is one tile; longer ones are computed in blocks of it."""

_SHORTEST_TILE = 32

_WARPS = 8
"""Of a program that adds up gradients."""


def _sum_rows(columns: int) -> dict[str, int]:
    """Rows of such a program's tile and its warps: one for each row, so that a sum over it is one warp's.

    Few enough that the sums stay in registers, and that two programs have room on a multiprocessor.
    """
    warps = _WARPS if _width(columns) <= 512 else _WARPS // 2
    return {"ROWS": warps, "num_warps": warps}


_collected: list[partial[Any]] | None = None
"""What compiles the kernels that were called for, while `compile_kernels` asks which those are."""


def _launch(kernel: Any, grid: tuple[int, ...], *tensors: Any, **settings: Any) -> None:  # noqa: ANN401
    if _collected is None:
        kernel[grid](*tensors, **settings)
    else:
        _collected.append(partial(kernel.warmup, *tensors, grid=grid, **settings))


def compile_kernels(work: Callable[[], None], wait: bool) -> None:
    """Compile all kernels that some work calls for, on all cores, without launching one.

    What the work does beside is done on whatever the kernels would have filled.
    """
    global _collected
    _collected = []
    try:
        work()
        waiting = {_signature(compilation): compilation for compilation in _collected}
    finally:
        _collected = None
    pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="compile")
    for done in [pool.submit(compilation) for compilation in waiting.values()]:
        # A kernel that cannot be compiled raises its error where it is called for.
        if wait and (error := done.exception()):
            log.warning("a kernel was not compiled ahead: %s", error)
    pool.shutdown(wait=False)


def _signature(compilation: partial[Any]) -> tuple[object, ...]:
    """Equal for calls that use the same machine code."""
    constants = {name: value for name, value in compilation.keywords.items() if name.isupper()}
    types = [getattr(value, "dtype", type(value)) for value in compilation.args]
    warps = compilation.keywords.get("num_warps")
    return compilation.func, *types, *constants.items(), warps


def _width(columns: int) -> int:
    return triton.next_power_of_2(columns)


def _rows(columns: int, tile: int = _TILE) -> int:
    return max(1, tile // _width(columns))


def _chance(dropout: Dropout) -> dict[str, float]:
    return {
        "threshold": round(dropout.rate * 2**32),
        "scale": 1 / (1 - dropout.rate),
        "draw": dropout.stream,
    }


def drop(x: Tensor, batch: PackedBatch, dropout: Dropout) -> Tensor:
    if not dropout.rate:
        return x
    y = torch.empty_like(x)
    _launch(
        kernels.drop_kernel,
        (triton.cdiv(x.numel(), _BLOCK),),
        y,
        x,
        batch.counts,
        x.numel(),
        BLOCK=_BLOCK,
        **_chance(dropout),
    )
    return y


def embed(
    batch: PackedBatch, tables: Embedding, dropout: Dropout, working: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    tokens, hidden = batch.shape.tokens, tables.words.shape[1]
    y = torch.empty(tokens, hidden, dtype=working, device=tables.words.device)
    mean, reciprocal = torch.empty(2, tokens, device=y.device)
    rows = _rows(hidden)
    _launch(
        kernels.embed_kernel, (triton.cdiv(tokens, rows),),
        y, mean, reciprocal, batch.ids, batch.places, batch.counts, tables.words, tables.positions,
        _kind(tables), *tables.norm, HIDDEN=hidden, WIDTH=_width(hidden), ROWS=rows, EPSILON=tables.epsilon,
        HAS_KIND=tables.kind is not None, tokens_in_all=tokens, **_chance(dropout),
    )  # fmt: skip
    return y, mean, reciprocal


def _kind(tables: Embedding) -> Tensor:
    # A kernel takes a tensor, and reads it only if there is one.
    return tables.norm.bias if tables.kind is None else tables.kind


def embed_backward(
    dy: Tensor,
    batch: PackedBatch,
    tables: Embedding,
    dropout: Dropout,
    statistics: tuple[Tensor, Tensor],
    sums: tuple[Norm, Tensor | None],
) -> Tensor:
    tokens, hidden = dy.shape
    dx = torch.empty(tokens, hidden, device=dy.device)
    norm, kind = sums
    _launch(
        kernels.embed_backward_kernel, (len(norm.weight),),
        dx, dy, *statistics, batch.ids, batch.places, batch.counts, tables.words, tables.positions,
        _kind(tables), tables.norm.weight, *norm, norm.bias if kind is None else kind, norm.weight.stride(0),
        HIDDEN=hidden, WIDTH=_width(hidden), **_sum_rows(hidden), HAS_KIND=kind is not None,
        tokens_in_all=tokens, **_chance(dropout),
    )  # fmt: skip
    return dx


def position_gradients(dx: Tensor, batch: PackedBatch, target: Tensor) -> None:
    places, hidden = target.shape
    _launch(
        kernels.position_gradients_kernel, (places, triton.cdiv(hidden, 128)),
        target, dx, batch.starts, batch.lengths, longest=batch.shape.longest, HIDDEN=hidden, COLUMNS=128,
        AT_ONCE=32, texts_in_all=batch.shape.texts, num_warps=_WARPS,
    )  # fmt: skip


def add_norm(
    product: Tensor,
    residual: Tensor,
    bias: Tensor,
    norm: tuple[Norm, float],
    batch: PackedBatch,
    dropout: Dropout,
) -> tuple[Tensor, NormTape]:
    weights, epsilon = norm
    length, hidden = product.shape
    y, x = torch.empty_like(product), torch.empty_like(product)
    mean, reciprocal = torch.empty(2, length, device=y.device)
    rows = _rows(hidden)
    _launch(
        kernels.add_norm_kernel, (triton.cdiv(length, rows),),
        y, x, mean, reciprocal, product, residual, bias, *weights, batch.counts,
        HIDDEN=hidden, WIDTH=_width(hidden), ROWS=rows, EPSILON=epsilon,
        length=length, has_tail=int(length == batch.shape.tokens), **_chance(dropout),
    )  # fmt: skip
    return y, NormTape(x, mean, reciprocal)


def add_norm_backward(
    dy: Tensor, tape: NormTape, norm: Norm, batch: PackedBatch, dropout: Dropout, sums: tuple[Norm, Tensor]
) -> tuple[Tensor, Tensor]:
    length, hidden = dy.shape
    dx = torch.empty_like(dy)
    dproduct = torch.empty_like(dy)
    _launch(
        kernels.add_norm_backward_kernel, (len(sums[1]),),
        dx, dproduct, dy, *tape, norm.weight, batch.counts, *sums[0], sums[1], sums[1].stride(0),
        HIDDEN=hidden, WIDTH=_width(hidden), **_sum_rows(hidden),
        length=length, **_chance(dropout),
    )  # fmt: skip
    return dx, dproduct


def gelu(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    _launch(kernels.gelu_kernel, (triton.cdiv(x.numel(), _BLOCK),), y, x, x.numel(), BLOCK=_BLOCK)
    return y


def gelu_backward(dy: Tensor, x: Tensor, sums: Tensor) -> Tensor:
    length, width = x.shape
    dx = torch.empty_like(x)
    _launch(
        kernels.gelu_backward_kernel,
        (len(sums), triton.cdiv(width, 256)),
        dx,
        dy,
        x,
        sums,
        sums.stride(0),
        length,
        ROWS=8,
        COLUMNS=256,
        WIDTH=width,
    )
    return dx


def _tiles(projections: Projections, batch: PackedBatch) -> tuple[int, int, int]:
    """Queries and tokens of a tile, and the number of tiles of the longest text."""
    longest = batch.shape.longest
    tokens = min(max(longest, _SHORTEST_TILE), _LONGEST_TILE)
    return 16 if projections.only_first else tokens, tokens, triton.cdiv(longest, tokens)


def _attention_settings(projections: Projections, dropout: Dropout) -> dict[str, object]:
    width = projections.query.shape[1] // projections.heads
    return {
        "scale": width**-0.5,
        "HEADS": projections.heads,
        "WIDTH": width,
        "ONLY_FIRST": projections.only_first,
        "threshold": round(dropout.rate * 2**32),
        "chance": 1 - dropout.rate,
        "draw": dropout.stream,
        "PRECISION": "ieee",
    }


def attend(projections: Projections, batch: PackedBatch, dropout: Dropout) -> tuple[Tensor, Tensor]:
    query, key, value, heads, only_first = projections
    length, hidden = query.shape
    context = torch.empty(length, hidden, dtype=query.dtype, device=query.device)
    divisors = torch.empty(heads, length, device=query.device)
    asking, tokens, blocks = _tiles(projections, batch)
    texts = batch.shape.texts
    _launch(
        attention.attend_kernel, (texts if only_first else texts + 1, heads, 1 if only_first else blocks),
        context, divisors, query, key, value, batch.starts, batch.lengths, batch.counts,
        query_stride=query.stride(0), key_stride=key.stride(0), texts_in_all=texts, rows_in_all=length,
        longest=batch.shape.longest, ASKING=asking, TOKENS=tokens, num_warps=_warps(tokens, projections),
        **_attention_settings(projections, dropout),
    )  # fmt: skip
    return context, divisors


def attend_backward(
    dcontext: Tensor,
    given: tuple[Tensor, Tensor],
    projections: Projections,
    batch: PackedBatch,
    dropout: Dropout,
    sums: Tensor,
) -> tuple[Tensor, Tensor]:
    query, key, value, heads, only_first = projections
    hidden = query.shape[1]
    both = torch.empty(len(key), hidden * (2 if only_first else 3), dtype=key.dtype, device=key.device)
    dquery = torch.empty_like(dcontext) if only_first else both[:, :hidden]
    asking, tokens, blocks = _tiles(projections, batch)
    texts = batch.shape.texts
    _launch(
        attention.attend_backward_kernel, (texts + 1, heads, blocks),
        dquery, both[:, -2 * hidden : -hidden], both[:, -hidden:], sums, dcontext, *given, query, key, value,
        batch.starts, batch.lengths, batch.counts, dquery_stride=dquery.stride(0), dkey_stride=both.stride(0),
        query_stride=query.stride(0), key_stride=key.stride(0), texts_in_all=texts, rows_in_all=len(query),
        tokens_in_all=len(key), longest=batch.shape.longest, ASKING=asking, TOKENS=tokens,
        SINGLE=blocks == 1, num_warps=_warps(tokens, projections),
        **_attention_settings(projections, dropout),
    )  # fmt: skip
    return dquery, both if only_first else both[:, hidden:]


def attention_sums(batch: PackedBatch) -> int:
    return batch.shape.texts * max(1, batch.shape.longest // _LONGEST_TILE)


def _warps(tokens: int, projections: Projections) -> int:
    """Of a program of the attention: as many as keep its tiles in registers."""
    return max(2, tokens * (projections.query.shape[1] // projections.heads) // 512)


def cross_entropy(logits: Tensor, batch: PackedBatch, weights: Tensor, totals: Tensor) -> Tensor:
    texts, classes = logits.shape
    dlogits = torch.empty_like(logits)
    losses = torch.empty(2, texts, device=logits.device)
    _launch(
        kernels.cross_entropy_kernel, (texts,),
        dlogits, losses, logits, batch.labels, weights, batch.rates, CLASSES=classes, WIDTH=_width(classes),
        texts_in_all=texts,
    )  # fmt: skip
    totals.add_(losses.sum(dim=1))
    return dlogits


def word_gradients(dx: Tensor, batch: PackedBatch) -> Tensor:
    tokens, hidden = dx.shape
    target = torch.empty_like(dx)
    _launch(
        kernels.word_gradients_kernel,
        (tokens, triton.cdiv(hidden, 128)),
        target,
        dx,
        batch.counts,
        batch.order,
        batch.segments,
        HIDDEN=hidden,
        COLUMNS=128,
        AT_ONCE=16,
    )
    return target


def square_sums(x: Tensor, counts: Tensor | None, target: Tensor) -> None:
    _launch(
        kernels.square_sums_kernel, (len(target),),
        target, x, target if counts is None else counts, x.numel(), x.shape[-1], BLOCK=2 * _BLOCK,
        BY_WORDS=counts is not None,
    )  # fmt: skip


def clip_scale(square_sums: Tensor, largest: float, target: Tensor) -> None:
    _launch(
        kernels.clip_scale_kernel,
        (1,),
        target,
        square_sums,
        LARGEST=largest,
        NUMBER=square_sums.numel(),
        num_warps=8,
    )


def settle_words(batch: PackedBatch, table: Moments) -> None:
    hidden = table.values.shape[1]
    _launch(
        kernels.settle_words_kernel, (batch.shape.tokens,),
        table.values, table.first, table.second, batch.counts, batch.words, batch.late,
        HIDDEN=hidden, WIDTH=_width(hidden),
    )  # fmt: skip


def update_block(block: Moments, gradient: Tensor, update: Update, decayed: int) -> None:
    size = block.values.numel()
    working = block.values if block.working is None else block.working
    _launch(
        kernels.update_block_kernel, (triton.cdiv(size, _BLOCK),),
        block.values, block.first, block.second, working, gradient, update.rates, update.clip_scale, size,
        decayed, WEIGHT_DECAY=update.weight_decay, HAS_WORKING=block.working is not None, BLOCK=_BLOCK,
        BETA1=BETA1, BETA2=BETA2,
    )  # fmt: skip


def update_words(batch: PackedBatch, table: Moments, gradient: Tensor, update: Update) -> None:
    hidden = table.values.shape[1]
    _launch(
        kernels.update_words_kernel, (batch.shape.tokens,),
        table.values, table.first, table.second, gradient, batch.counts, batch.words, update.rates,
        update.clip_scale, HIDDEN=hidden, WIDTH=_width(hidden), BETA1=BETA1, BETA2=BETA2,
    )  # fmt: skip
