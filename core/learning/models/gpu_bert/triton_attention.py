"""Attention within each text of a packed batch, forward and backward, in the manner of FlashAttention-2.

Dao 2023 (arXiv:2307.08691). A program computes one head of one text for one block of its queries, so that a
text of 25 tokens costs one small tile, and nothing is added up by several programs: the same batch gives the
same bits.
"""

import triton
import triton.language as tl

from core.learning.models.gpu_bert.triton_kernels import dropout_key, kept


@triton.jit
def _tile(base, rows, row_stride, columns, number):
    return tl.load(base + rows[:, None] * row_stride + columns[None, :], (rows < number)[:, None], 0.0)


@triton.jit
def _zero_tail(target, first_row, rows_in_all, row_stride, columns, BLOCK: tl.constexpr):
    for first in range(first_row, rows_in_all, BLOCK):
        rows = first + tl.arange(0, BLOCK)
        spots = rows[:, None] * row_stride + columns[None, :]
        nothing = tl.zeros_like(spots).to(target.dtype.element_ty)
        tl.store(target + spots, nothing, (rows < rows_in_all)[:, None])


@triton.jit(do_not_specialize=["texts_in_all", "rows_in_all", "threshold", "draw", "longest"])
def attend_kernel(
    context, divisors, query, key, value, starts, lengths, counts, query_stride, key_stride, scale,
    texts_in_all, rows_in_all, threshold, chance, draw, longest,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, ASKING: tl.constexpr, TOKENS: tl.constexpr,
    ONLY_FIRST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    text = tl.program_id(0)
    head = tl.program_id(1)
    block = tl.program_id(2)
    columns = head * WIDTH + tl.arange(0, WIDTH)
    if text == texts_in_all:
        # Behind the last text's end.
        if block == 0:
            _zero_tail(context, tl.load(counts), rows_in_all, HEADS * WIDTH, columns, ASKING)
        return
    start = tl.load(starts + text)
    length = tl.load(lengths + text)
    asking = 1 if ONLY_FIRST else length
    first_row = text if ONLY_FIRST else start
    if block * ASKING >= asking:
        return
    rows = block * ASKING + tl.arange(0, ASKING)
    q = _tile(query + first_row * query_stride, rows, query_stride, columns, asking)
    largest = tl.full((ASKING,), float("-inf"), tl.float32)
    divisor = tl.zeros((ASKING,), tl.float32)
    total = tl.zeros((ASKING, WIDTH), tl.float32)
    for first in range(0, length, TOKENS):
        tokens = first + tl.arange(0, TOKENS)
        k = _tile(key + start * key_stride, tokens, key_stride, columns, length)
        v = _tile(value + start * key_stride, tokens, key_stride, columns, length)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        scores = tl.where((tokens < length)[None, :], scores, float("-inf"))
        now = tl.maximum(largest, tl.max(scores, 1))
        shrink = tl.exp(largest - now)
        p = tl.exp(scores - now[:, None])
        divisor = divisor * shrink + tl.sum(p, 1)
        if threshold > 0:
            places = ((text * HEADS + head) * longest + rows)[:, None] * longest + tokens[None, :]
            p = tl.where(kept(dropout_key(counts, draw), threshold, places), p / chance, 0.0)
        total = total * shrink[:, None] + tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
        largest = now
    total = total / divisor[:, None]
    spots = (first_row + rows)[:, None] * (HEADS * WIDTH) + columns[None, :]
    tl.store(context + spots, total.to(context.dtype.element_ty), (rows < asking)[:, None])
    tl.store(divisors + head * rows_in_all + first_row + rows, largest + tl.log(divisor), rows < asking)


@triton.jit
def _score_gradients(
    q, k, v, dout, divisor, places, key, live, scale, threshold, chance, PRECISION: tl.constexpr
):  # fmt: skip
    """The probabilities, the same with dropout, and the gradient of the probabilities."""
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    p = tl.where(live, tl.exp(scores - divisor[:, None]), 0.0)
    dp = tl.dot(dout, tl.trans(v), input_precision=PRECISION)
    dropped = p
    if threshold > 0:
        stays = kept(key, threshold, places)
        dropped = tl.where(stays, p / chance, 0.0)
        dp = tl.where(stays, dp / chance, 0.0)
    return p, dropped, dp


@triton.jit
def _of_tokens(
    query, key, value, dcontext, context, divisors, query_stride, key_stride, state, columns,
    tokens, asking_tile, asking, length, corner, longest, random, scale, threshold, chance,
    ASKING: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr, SINGLE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradients of these tokens' keys and values; and of all queries, where they are one tile."""
    dk = tl.zeros((TOKENS, WIDTH), tl.float32)
    dv = tl.zeros((TOKENS, WIDTH), tl.float32)
    dq = tl.zeros((ASKING, WIDTH), tl.float32)
    k = _tile(key, tokens, key_stride, columns, length)
    v = _tile(value, tokens, key_stride, columns, length)
    for first in range(0, asking, ASKING):
        rows = first + asking_tile
        q = _tile(query, rows, query_stride, columns, asking)
        dout = _tile(dcontext, rows, state, columns, asking)
        divisor = tl.load(divisors + rows, rows < asking, 0.0)
        live = (rows < asking)[:, None] & (tokens < length)[None, :]
        places = (corner + rows)[:, None] * longest + tokens[None, :]
        p, dropped, dp = _score_gradients(
            q, k, v, dout, divisor, places, random, live, scale, threshold, chance, PRECISION
        )
        if SINGLE:
            due = tl.sum(p * dp, 1)
        else:
            out = _tile(context, rows, state, columns, asking)
            due = tl.sum(dout.to(tl.float32) * out.to(tl.float32), 1)
        dscores = (p * (dp - due[:, None]) * scale).to(q.dtype)
        dv += tl.dot(tl.trans(dropped.to(q.dtype)), dout, input_precision=PRECISION)
        dk += tl.dot(tl.trans(dscores), q, input_precision=PRECISION)
        if SINGLE:
            dq += tl.dot(dscores, k, input_precision=PRECISION)
    return dq, dk, dv


@triton.jit
def _of_queries(
    query, key, value, dcontext, context, divisors, query_stride, key_stride, state, columns,
    tokens_tile, rows, asking, length, corner, longest, random, scale, threshold, chance,
    ASKING: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The gradients of these queries."""
    dq = tl.zeros((ASKING, WIDTH), tl.float32)
    q = _tile(query, rows, query_stride, columns, asking)
    dout = _tile(dcontext, rows, state, columns, asking)
    out = _tile(context, rows, state, columns, asking)
    due = tl.sum(dout.to(tl.float32) * out.to(tl.float32), 1)
    divisor = tl.load(divisors + rows, rows < asking, 0.0)
    for first in range(0, length, TOKENS):
        tokens = first + tokens_tile
        k = _tile(key, tokens, key_stride, columns, length)
        v = _tile(value, tokens, key_stride, columns, length)
        live = (rows < asking)[:, None] & (tokens < length)[None, :]
        places = (corner + rows)[:, None] * longest + tokens[None, :]
        p, dropped, dp = _score_gradients(
            q, k, v, dout, divisor, places, random, live, scale, threshold, chance, PRECISION
        )
        dscores = (p * (dp - due[:, None]) * scale).to(k.dtype)
        dq += tl.dot(dscores, k, input_precision=PRECISION)
    return dq


@triton.jit(
    do_not_specialize=["texts_in_all", "rows_in_all", "tokens_in_all", "threshold", "draw", "longest"]
)
def attend_backward_kernel(
    dquery, dkey, dvalue, sums, dcontext, context, divisors, query, key, value, starts, lengths, counts,
    dquery_stride, dkey_stride, query_stride, key_stride, scale,
    texts_in_all, rows_in_all, tokens_in_all, threshold, chance, draw, longest,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, ASKING: tl.constexpr, TOKENS: tl.constexpr,
    SINGLE: tl.constexpr, ONLY_FIRST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    text = tl.program_id(0)
    head = tl.program_id(1)
    block = tl.program_id(2)
    columns = head * WIDTH + tl.arange(0, WIDTH)
    if text == texts_in_all:
        if block == 0:
            tail = tl.load(counts)
            if not ONLY_FIRST:
                _zero_tail(dquery, tail, rows_in_all, dquery_stride, columns, ASKING)
            _zero_tail(dkey, tail, tokens_in_all, dkey_stride, columns, ASKING)
            _zero_tail(dvalue, tail, tokens_in_all, dkey_stride, columns, ASKING)
        return
    start = tl.load(starts + text)
    length = tl.load(lengths + text)
    asking = 1 if ONLY_FIRST else length
    first_row = text if ONLY_FIRST else start
    random = dropout_key(counts, draw)
    state = HEADS * WIDTH
    corner = (text * HEADS + head) * longest
    tokens = block * TOKENS + tl.arange(0, TOKENS)
    q_base, dout_base = query + first_row * query_stride, dcontext + first_row * state
    k_base, v_base = key + start * key_stride, value + start * key_stride
    out_base = context + first_row * state
    divisor_base = divisors + head * rows_in_all + first_row
    dq, dk, dv = _of_tokens(
        q_base, k_base, v_base, dout_base, out_base, divisor_base, query_stride, key_stride, state, columns,
        tokens, tl.arange(0, ASKING), asking, length, corner, longest, random, scale, threshold, chance,
        ASKING, TOKENS, WIDTH, SINGLE, PRECISION,
    )  # fmt: skip
    spots = (start + tokens)[:, None] * dkey_stride + columns[None, :]
    tl.store(dkey + spots, dk.to(dkey.dtype.element_ty), (tokens < length)[:, None])
    tl.store(dvalue + spots, dv.to(dvalue.dtype.element_ty), (tokens < length)[:, None])
    rows = block * ASKING + tl.arange(0, ASKING)
    if not SINGLE:
        dq = _of_queries(
            q_base, k_base, v_base, dout_base, out_base, divisor_base, query_stride, key_stride, state,
            columns, tl.arange(0, TOKENS), rows, asking, length, corner, longest, random, scale, threshold,
            chance, ASKING, TOKENS, WIDTH, PRECISION,
        )  # fmt: skip
    spots = (first_row + rows)[:, None] * dquery_stride + columns[None, :]
    tl.store(dquery + spots, dq.to(dquery.dtype.element_ty), (rows < asking)[:, None])
    # The gradients of the projections' biases: a row for each program of a head, added up by whoever called.
    row = (text * tl.num_programs(2) + block) * 3 * state
    tl.store(sums + row + columns, tl.sum(dq, 0))
    tl.store(sums + row + state + columns, tl.sum(dk, 0))
    tl.store(sums + row + 2 * state + columns, tl.sum(dv, 0))
