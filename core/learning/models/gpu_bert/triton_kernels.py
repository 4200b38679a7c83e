"""Element-wise kernels and those by rows; `operations.Operations` says what each gives.

Written so that a kernel is compiled once for each model: what differs from batch to batch is read on the GPU.
"""

import triton
import triton.language as tl


@triton.jit
def mix(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def dropout_key(counts, draw):
    seed = tl.load(counts + 2).to(tl.uint32, bitcast=True)
    return mix(seed ^ (draw.to(tl.uint32) * 0x9E3779B9))


@triton.jit
def kept(key, threshold, places):
    places = places.to(tl.uint32)
    return mix(mix(places ^ key) + key) >= threshold.to(tl.uint32)


@triton.jit
def _drop(value, counts, draw, threshold, scale, spots):
    if threshold > 0:
        value = tl.where(kept(dropout_key(counts, draw), threshold, spots), value * scale, 0.0)
    return value


@triton.jit
def _norm(x, weight, bias, columns, HIDDEN: tl.constexpr, EPSILON: tl.constexpr):
    """Rows normed, and the mean of each and the reciprocal of its deviation."""
    within = columns < HIDDEN
    mean = tl.sum(x, 1) / HIDDEN
    centred = tl.where(within[None, :], x - mean[:, None], 0.0)
    reciprocal = 1 / tl.sqrt(tl.sum(centred * centred, 1) / HIDDEN + EPSILON)
    w = tl.load(weight + columns, within, 0.0)
    b = tl.load(bias + columns, within, 0.0)
    return centred * reciprocal[:, None] * w[None, :] + b[None, :], mean, reciprocal


@triton.jit
def _norm_backward(dnormed, normed, reciprocal, HIDDEN: tl.constexpr):
    """The gradient of rows before they were normed."""
    a = tl.sum(dnormed * normed, 1) / HIDDEN
    b = tl.sum(dnormed, 1) / HIDDEN
    return (dnormed - normed * a[:, None] - b[:, None]) * reciprocal[:, None]


@triton.jit(do_not_specialize=["threshold", "draw", "tokens_in_all"])
def embed_kernel(
    y, mean_out, reciprocal_out, ids, places, counts, words, positions, kind, weight, bias,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, EPSILON: tl.constexpr,
    HAS_KIND: tl.constexpr, threshold, scale, draw, tokens_in_all,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDTH)
    tokens = tl.load(counts)
    inside = columns[None, :] < HIDDEN
    live = (rows < tokens)[:, None] & inside
    x = _embedding_sum(ids, places, words, positions, kind, rows, columns, tokens, HIDDEN, HAS_KIND)
    result, mean, reciprocal = _norm(x, weight, bias, columns, HIDDEN, EPSILON)
    spots = rows[:, None] * HIDDEN + columns[None, :]
    result = _drop(result, counts, draw, threshold, scale, spots)
    result = tl.where(live, result, 0.0)
    stored = (rows < tokens_in_all)[:, None] & inside
    tl.store(y + spots, result.to(y.dtype.element_ty), stored)
    tl.store(mean_out + rows, mean, rows < tokens_in_all)
    tl.store(reciprocal_out + rows, reciprocal, rows < tokens_in_all)


@triton.jit
def _embedding_sum(
    ids, places, words, positions, kind, rows, columns, tokens, HIDDEN: tl.constexpr, HAS_KIND: tl.constexpr
):  # fmt: skip
    word = tl.load(ids + rows, rows < tokens, 0).to(tl.int64)
    place = tl.load(places + rows, rows < tokens, 0).to(tl.int64)
    live = (rows < tokens)[:, None] & (columns[None, :] < HIDDEN)
    x = tl.load(words + word[:, None] * HIDDEN + columns[None, :], live, 0.0)
    x += tl.load(positions + place[:, None] * HIDDEN + columns[None, :], live, 0.0)
    if HAS_KIND:
        x += tl.load(kind + columns, columns < HIDDEN, 0.0)[None, :]
    return x


@triton.jit(do_not_specialize=["threshold", "draw", "tokens_in_all"])
def embed_backward_kernel(
    dx_out, dy_in, mean_in, reciprocal_in, ids, places, counts, words, positions, kind, weight,
    weight_sums, bias_sums, kind_sums, sums_stride,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, HAS_KIND: tl.constexpr,
    threshold, scale, draw, tokens_in_all,
):  # fmt: skip
    program = tl.program_id(0)
    columns = tl.arange(0, WIDTH)
    within = columns < HIDDEN
    tokens = tl.load(counts)
    w = tl.load(weight + columns, within, 0.0)
    dweight = tl.zeros((ROWS, WIDTH), tl.float32)
    dbias = tl.zeros((ROWS, WIDTH), tl.float32)
    dkind = tl.zeros((ROWS, WIDTH), tl.float32)
    for first in range(program * ROWS, tokens_in_all, tl.num_programs(0) * ROWS):
        rows = first + tl.arange(0, ROWS)
        live = (rows < tokens)[:, None] & within[None, :]
        spots = rows[:, None] * HIDDEN + columns[None, :]
        dy = tl.load(dy_in + spots, live, 0.0).to(tl.float32)
        dy = _drop(dy, counts, draw, threshold, scale, spots)
        x = _embedding_sum(ids, places, words, positions, kind, rows, columns, tokens, HIDDEN, HAS_KIND)
        mean = tl.load(mean_in + rows, rows < tokens, 0.0)
        reciprocal = tl.load(reciprocal_in + rows, rows < tokens, 0.0)
        normed = tl.where(live, (x - mean[:, None]) * reciprocal[:, None], 0.0)
        dweight += dy * normed
        dbias += dy
        dx = tl.where(live, _norm_backward(dy * w[None, :], normed, reciprocal, HIDDEN), 0.0)
        dkind += dx
        tl.store(dx_out + spots, dx, (rows < tokens_in_all)[:, None] & within[None, :])
    tl.store(weight_sums + program * sums_stride + columns, tl.sum(dweight, 0), within)
    tl.store(bias_sums + program * sums_stride + columns, tl.sum(dbias, 0), within)
    if HAS_KIND:
        tl.store(kind_sums + program * sums_stride + columns, tl.sum(dkind, 0), within)


@triton.jit(do_not_specialize=["texts_in_all", "longest"])
def position_gradients_kernel(
    target, dx, starts, lengths, longest, texts_in_all,
    HIDDEN: tl.constexpr, COLUMNS: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((AT_ONCE, COLUMNS), tl.float32)
    # No text has a token at the places from the longest on.
    for first in range(0, tl.where(place < longest, texts_in_all, 0), AT_ONCE):
        texts = first + tl.arange(0, AT_ONCE)
        ends = tl.load(lengths + texts, texts < texts_in_all, 0)
        start = tl.load(starts + texts, texts < texts_in_all, 0)
        live = (place < ends)[:, None] & (columns < HIDDEN)[None, :]
        total += tl.load(dx + (start + place)[:, None] * HIDDEN + columns[None, :], live, 0.0)
    tl.store(target + place * HIDDEN + columns, tl.sum(total, 0), columns < HIDDEN)


@triton.jit(do_not_specialize=["threshold", "draw", "length", "has_tail"])
def add_norm_kernel(
    y, x_out, mean_out, reciprocal_out, product, residual, before, weight, bias, counts,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, EPSILON: tl.constexpr,
    threshold, scale, draw, length, has_tail,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDTH)
    within = columns < HIDDEN
    present = (rows < length)[:, None] & within[None, :]
    spots = rows[:, None] * HIDDEN + columns[None, :]
    added = tl.load(product + spots, present, 0.0).to(tl.float32)
    added += tl.load(before + columns, within, 0.0).to(tl.float32)[None, :]
    added = _drop(added, counts, draw, threshold, scale, spots)
    x = tl.load(residual + spots, present, 0.0).to(tl.float32) + added
    x = tl.where(present, x, 0.0)
    result, mean, reciprocal = _norm(x, weight, bias, columns, HIDDEN, EPSILON)
    live = tl.where(has_tail != 0, tl.load(counts), length)
    result = tl.where((rows < live)[:, None], result, 0.0)
    tl.store(y + spots, result.to(y.dtype.element_ty), present)
    tl.store(x_out + spots, x.to(x_out.dtype.element_ty), present)
    tl.store(mean_out + rows, mean, rows < length)
    tl.store(reciprocal_out + rows, reciprocal, rows < length)


@triton.jit(do_not_specialize=["threshold", "draw", "length"])
def add_norm_backward_kernel(
    dx_out, dproduct_out, dy_in, x_in, mean_in, reciprocal_in, weight, counts,
    weight_sums, bias_sums, before_sums, sums_stride,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
    threshold, scale, draw, length,
):  # fmt: skip
    program = tl.program_id(0)
    columns = tl.arange(0, WIDTH)
    within = columns < HIDDEN
    w = tl.load(weight + columns, within, 0.0)
    dweight = tl.zeros((ROWS, WIDTH), tl.float32)
    dbias = tl.zeros((ROWS, WIDTH), tl.float32)
    dbefore = tl.zeros((ROWS, WIDTH), tl.float32)
    for first in range(program * ROWS, length, tl.num_programs(0) * ROWS):
        rows = first + tl.arange(0, ROWS)
        present = (rows < length)[:, None] & within[None, :]
        spots = rows[:, None] * HIDDEN + columns[None, :]
        dy = tl.load(dy_in + spots, present, 0.0).to(tl.float32)
        x = tl.load(x_in + spots, present, 0.0).to(tl.float32)
        mean = tl.load(mean_in + rows, rows < length, 0.0)
        reciprocal = tl.load(reciprocal_in + rows, rows < length, 0.0)
        normed = tl.where(present, (x - mean[:, None]) * reciprocal[:, None], 0.0)
        dweight += dy * normed
        dbias += dy
        dx = tl.where(present, _norm_backward(dy * w[None, :], normed, reciprocal, HIDDEN), 0.0)
        tl.store(dx_out + spots, dx.to(dx_out.dtype.element_ty), present)
        dx = _drop(dx, counts, draw, threshold, scale, spots)
        tl.store(dproduct_out + spots, dx.to(dx_out.dtype.element_ty), present)
        dbefore += dx
    tl.store(weight_sums + program * sums_stride + columns, tl.sum(dweight, 0), within)
    tl.store(bias_sums + program * sums_stride + columns, tl.sum(dbias, 0), within)
    tl.store(before_sums + program * sums_stride + columns, tl.sum(dbefore, 0), within)


@triton.jit(do_not_specialize=["size"])
def gelu_kernel(y, x, size, BLOCK: tl.constexpr):
    spots = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + spots, spots < size, 0.0).to(tl.float32)
    share, _ = _gaussian(value)
    tl.store(y + spots, (value * share).to(y.dtype.element_ty), spots < size)


@triton.jit
def _gaussian(x):
    """The normal distribution's share below x and exp(-x² / 2), by which both GELU and its gradient are had.

    Abramowitz and Stegun 1964, formula 7.1.26: within 1.5e-7, and a quarter of the instructions of an erf
    and an exponential.
    """
    size = tl.abs(x) * 0.7071067811865476
    t = 1 / (1 + 0.3275911 * size)
    bell = tl.exp(-size * size)
    series = 1.061405429 * t - 1.453152027
    series = series * t + 1.421413741
    series = series * t - 0.284496736
    series = series * t + 0.254829592
    above = 0.5 * series * t * bell
    return tl.where(x < 0, above, 1 - above), bell


@triton.jit(do_not_specialize=["length"])
def gelu_backward_kernel(
    dx_out, dy_in, x_in, sums, sums_stride, length,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = columns < WIDTH
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(program * ROWS, length, tl.num_programs(0) * ROWS):
        rows = first + tl.arange(0, ROWS)
        present = (rows < length)[:, None] & within[None, :]
        spots = rows[:, None] * WIDTH + columns[None, :]
        x = tl.load(x_in + spots, present, 0.0).to(tl.float32)
        dy = tl.load(dy_in + spots, present, 0.0).to(tl.float32)
        share, bell = _gaussian(x)
        dx = dy * (share + x * bell * 0.3989422804014327)
        total += dx
        tl.store(dx_out + spots, dx.to(dx_out.dtype.element_ty), present)
    tl.store(sums + program * sums_stride + columns, tl.sum(total, 0), within)


@triton.jit(do_not_specialize=["threshold", "draw", "size"])
def drop_kernel(
    y, x, counts, size, BLOCK: tl.constexpr, threshold, scale, draw,
):  # fmt: skip
    spots = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + spots, spots < size, 0.0).to(tl.float32)
    value = _drop(value, counts, draw, threshold, scale, spots)
    tl.store(y + spots, value.to(y.dtype.element_ty), spots < size)


@triton.jit(do_not_specialize=["texts_in_all"])
def cross_entropy_kernel(
    dlogits, losses, logits, labels, weights, rates, CLASSES: tl.constexpr, WIDTH: tl.constexpr, texts_in_all
):  # fmt: skip
    row = tl.program_id(0)
    columns = tl.arange(0, WIDTH)
    within = columns < CLASSES
    x = tl.load(logits + row * CLASSES + columns, within, float("-inf"))
    label = tl.load(labels + row)
    share = tl.load(weights + label) / tl.load(rates)
    largest = tl.max(x, 0)
    exponents = tl.exp(x - largest)
    total = tl.sum(exponents, 0)
    at_label = tl.sum(tl.where(columns == label, x, 0.0), 0)
    one_hot = (columns == label).to(tl.float32)
    tl.store(dlogits + row * CLASSES + columns, (exponents / total - one_hot) * share, within)
    # The first of the largest, as argmax gives it.
    answer = tl.min(tl.where(x == largest, columns, WIDTH), 0)
    tl.store(losses + row, (tl.log(total) + largest - at_label) * share)
    tl.store(losses + texts_in_all + row, (answer == label).to(tl.float32))


@triton.jit
def word_gradients_kernel(
    target, dx, counts, order, segments, HIDDEN: tl.constexpr, COLUMNS: tl.constexpr, AT_ONCE: tl.constexpr
):  # fmt: skip
    word = tl.program_id(0)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    if word < tl.load(counts + 1):
        begin = tl.load(segments + word)
        end = tl.load(segments + word + 1)
        total = tl.zeros((AT_ONCE, COLUMNS), tl.float32)
        for first in range(begin, end, AT_ONCE):
            places = first + tl.arange(0, AT_ONCE)
            token = tl.load(order + places, places < end, 0)
            live = (places < end)[:, None] & (columns < HIDDEN)[None, :]
            total += tl.load(dx + token[:, None] * HIDDEN + columns[None, :], live, 0.0)
        tl.store(target + word * HIDDEN + columns, tl.sum(total, 0), columns < HIDDEN)


@triton.jit
def settle_words_kernel(
    values, first, second, counts, words, late, HIDDEN: tl.constexpr, WIDTH: tl.constexpr
):
    word = tl.program_id(0)
    if word < tl.load(counts + 1):
        missed = tl.load(late + 4 * word)
        # Rows of the present step miss nothing.
        if missed != 0:
            columns = tl.arange(0, WIDTH)
            within = columns < HIDDEN
            spots = tl.load(words + word).to(tl.int64) * HIDDEN + columns
            m = tl.load(first + spots, within, 0.0)
            v = tl.load(second + spots, within, 0.0)
            # Where nothing was ever touched the momentum is zero and so is the quotient.
            moved = missed * m / (tl.sqrt(v) + tl.maximum(tl.load(late + 4 * word + 3), 1e-30))
            tl.store(values + spots, tl.load(values + spots, within, 0.0) - moved, within)
            tl.store(first + spots, m * tl.load(late + 4 * word + 1), within)
            tl.store(second + spots, v * tl.load(late + 4 * word + 2), within)


@triton.jit(do_not_specialize=["all_values"])
def square_sums_kernel(target, x, counts, all_values, width, BLOCK: tl.constexpr, BY_WORDS: tl.constexpr):
    program = tl.program_id(0)
    size = all_values
    if BY_WORDS:
        size = tl.load(counts + 1) * width
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(program * BLOCK, size, tl.num_programs(0) * BLOCK):
        spots = first + tl.arange(0, BLOCK)
        value = tl.load(x + spots, spots < size, 0.0).to(tl.float32)
        total += value * value
    tl.store(target + program, tl.sum(total, 0))


@triton.jit
def clip_scale_kernel(scale, square_sums, LARGEST: tl.constexpr, NUMBER: tl.constexpr):
    norm = tl.sqrt(tl.sum(tl.load(square_sums + tl.arange(0, NUMBER)), 0))
    tl.store(scale, tl.where(norm > LARGEST, LARGEST / (norm + 1e-6), 1.0))


@triton.jit(do_not_specialize=["size", "decayed"])
def update_block_kernel(
    values, first, second, working, gradient, rates, clip_scale, size, decayed,
    BETA1: tl.constexpr, BETA2: tl.constexpr, WEIGHT_DECAY: tl.constexpr,
    HAS_WORKING: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    spots = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    within = spots < size
    scale = tl.load(clip_scale)
    learning_rate = tl.load(rates + 1)
    rate = tl.load(rates + 2)
    epsilon = tl.load(rates + 3)
    g = tl.load(gradient + spots, within, 0.0).to(tl.float32) * scale
    m = tl.load(first + spots, within, 0.0)
    v = tl.load(second + spots, within, 0.0)
    x = tl.load(values + spots, within, 0.0)
    m += (g - m) * (1 - BETA1)
    v = v * BETA2 + g * g * (1 - BETA2)
    x = tl.where(spots < decayed, x * (1 - learning_rate * WEIGHT_DECAY), x)
    x -= rate * m / (tl.sqrt(v) + epsilon)
    tl.store(first + spots, m, within)
    tl.store(second + spots, v, within)
    tl.store(values + spots, x, within)
    if HAS_WORKING:
        tl.store(working + spots, x.to(working.dtype.element_ty), within)


@triton.jit
def update_words_kernel(
    values, first, second, gradient, counts, words, rates, clip_scale,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, BETA1: tl.constexpr, BETA2: tl.constexpr,
):  # fmt: skip
    word = tl.program_id(0)
    if word < tl.load(counts + 1):
        scale = tl.load(clip_scale)
        columns = tl.arange(0, WIDTH)
        within = columns < HIDDEN
        spots = tl.load(words + word).to(tl.int64) * HIDDEN + columns
        g = tl.load(gradient + word * HIDDEN + columns, within, 0.0) * scale
        m = tl.load(first + spots, within, 0.0)
        v = tl.load(second + spots, within, 0.0)
        m += (g - m) * (1 - BETA1)
        v = v * BETA2 + g * g * (1 - BETA2)
        moved = tl.load(rates + 2) * m / (tl.sqrt(v) + tl.load(rates + 3))
        tl.store(first + spots, m, within)
        tl.store(second + spots, v, within)
        tl.store(values + spots, tl.load(values + spots, within, 0.0) - moved, within)
