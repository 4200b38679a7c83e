"""The GPU's kernels against plain torch: on a GPU where there is one, else in Triton's interpreter."""

import os

import numpy as np
import pytest
import torch

# In the interpreter, unless there is a GPU; Triton looks as it sees a kernel, at import.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="the kernels need Triton, which torch brings with its CUDA build")

from core.learning.batching import Texts
from core.learning.models.gpu_bert import plain_operations, triton_operations
from core.learning.models.gpu_bert.operations import (
    Dropout,
    Embedding,
    Moments,
    Norm,
    Projections,
    Update,
)
from core.learning.models.gpu_bert.packing import (
    HostBlock,
    PackedShape,
    Rates,
    pack,
)

pytestmark = pytest.mark.slow

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HIDDEN, HEADS, INNER, CLASSES, VOCABULARY, PLACES = 48, 3, 160, 5, 50, 128
BOTH = (plain_operations, triton_operations)
NO, SOME = Dropout(0.0, 3), Dropout(0.25, 3)
LENGTHS = {"short": [7, 1, 16, 3], "middle": [30, 5, 17], "longer than a tile": [90, 3, 65]}


def make_batch(lengths, tail=5, seed=11):
    """Random tokens of texts of these lengths, and some rows behind them that hold rubbish."""
    random = np.random.default_rng(seed)
    lengths = np.array(lengths)
    tokens = int(lengths.sum())
    longest = max(16, 1 << int(lengths.max() - 1).bit_length())
    shape = PackedShape(len(lengths), tokens + tail, longest)
    host = HostBlock(shape, pinned=False)
    host.tensor.fill_(7)
    ids = random.integers(VOCABULARY, size=tokens).astype(np.int32)
    labels = random.integers(CLASSES, size=len(lengths))
    words = pack(Texts(ids, lengths, labels), seed, host)
    host.fill_floats("rates", np.array(Rates(2.5, 1e-2, 8e-3, 1e-6)))
    late = random.random((len(words), 4)) * 0.1 + [0, 0.85, 0.85, 0.01]
    late[::3, 0] = 0.0
    late[::3, 1:3] = 1.0
    host.fill_floats("late", late)
    return host.on(DEVICE)


@pytest.fixture(params=LENGTHS)
def batch(request):
    return make_batch(LENGTHS[request.param])


def draw(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator)).to(DEVICE)


def norm(seed=1):
    return Norm(1 + 0.3 * draw(HIDDEN, seed=seed), draw(HIDDEN, seed=seed + 1))


def poison(*shape):
    """What is not written stays no number."""
    return torch.full(shape, torch.nan, device=DEVICE)


def same(found, expected, **bounds):
    assert not expected.isnan().any()
    torch.testing.assert_close(found.float(), expected.float(), **({"atol": 2e-5, "rtol": 1e-4} | bounds))


def sums_of(*widths, rows=8):
    return [poison(rows, width) for width in widths]


def tables(kind=True):
    return Embedding(
        draw(VOCABULARY, HIDDEN, seed=5),
        draw(PLACES, HIDDEN, seed=6),
        draw(HIDDEN, seed=7) if kind else None,
        norm(),
        1e-12,
    )


@pytest.mark.parametrize("dropout", [NO, SOME], ids=["all kept", "dropout"])
@pytest.mark.parametrize("kind", [True, False], ids=["with types", "without"])
def test_embeddings_and_their_gradients(batch, kind, dropout):
    dy = draw(batch.shape.tokens, HIDDEN, seed=9)
    dy[int(batch.counts[0]) :] = 0
    found = []
    for operations in BOTH:
        y, *statistics = operations.embed(batch, tables(kind), dropout, torch.float32)
        weight, bias, of_kind = sums_of(HIDDEN, HIDDEN, HIDDEN)
        dx = operations.embed_backward(
            dy.clone(),
            batch,
            tables(kind),
            dropout,
            statistics,
            (Norm(weight, bias), of_kind if kind else None),
        )
        target = poison(PLACES, HIDDEN)
        operations.position_gradients(dx, batch, target)
        rows = operations.word_gradients(dx, batch)[: int(batch.counts[1])]
        summed = [weight.sum(dim=0), bias.sum(dim=0), *([of_kind.sum(dim=0)] if kind else [])]
        found.append([y, dx, target, rows, *summed])
    assert (found[0][0][int(batch.counts[0]) :] == 0).all()
    for expected, value in zip(*found, strict=True):
        same(value, expected, atol=1e-4)


@pytest.mark.parametrize("dropout", [NO, SOME], ids=["all kept", "dropout"])
@pytest.mark.parametrize("per_text", [False, True], ids=["of tokens", "of texts"])
def test_the_norm_of_a_sum_and_its_gradients(batch, per_text, dropout):
    rows = batch.shape.texts if per_text else batch.shape.tokens
    product, residual, dy = (draw(rows, HIDDEN, seed=seed) for seed in (1, 2, 3))
    found = []
    for operations in BOTH:
        y, tape = operations.add_norm(product, residual, draw(HIDDEN), (norm(), 1e-12), batch, dropout)
        weight, bias, before = sums_of(HIDDEN, HIDDEN, HIDDEN)
        dresidual, dproduct = operations.add_norm_backward(
            dy, tape, norm(), batch, dropout, (Norm(weight, bias), before)
        )
        found.append([y, dresidual, dproduct, *(part.sum(dim=0) for part in (weight, bias, before))])
    for expected, value in zip(*found, strict=True):
        same(value, expected, atol=1e-4)


def test_gelu_and_its_gradient(batch):
    x, dy = draw(batch.shape.tokens, INNER, seed=1, scale=2.0), draw(batch.shape.tokens, INNER, seed=2)
    found = []
    for operations in BOTH:
        (sums,) = sums_of(INNER)
        dx = operations.gelu_backward(dy, x, sums)
        found.append([operations.gelu(x), dx, sums.sum(dim=0)])
    for expected, value in zip(*found, strict=True):
        same(value, expected, atol=1e-4)


@pytest.mark.parametrize("dropout", [NO, SOME], ids=["all kept", "dropout"])
@pytest.mark.parametrize("only_first", [False, True], ids=["all tokens ask", "the first asks"])
def test_attention_and_its_gradients(batch, only_first, dropout):
    tokens = batch.shape.tokens
    product = draw(tokens, 3 * HIDDEN, seed=1)
    query, key, value = product.split(HIDDEN, dim=1)
    if only_first:
        query = draw(batch.shape.texts, HIDDEN, seed=2)
    projections = Projections(query, key, value, HEADS, only_first)
    dcontext = draw(*query.shape, seed=3)
    found = []
    for operations in BOTH:
        given = operations.attend(projections, batch, dropout)
        sums = poison(operations.attention_sums(batch), 3 * HIDDEN)
        gradients = operations.attend_backward(dcontext, given, projections, batch, dropout, sums)
        found.append([given[0], *gradients, sums.sum(dim=0)])
    end = int(batch.counts[0])
    assert found[0][2][:end].abs().mean() > 1e-3
    for expected, value in zip(*found, strict=True):
        same(value, expected, atol=1e-4)
        if len(value) == tokens and end < tokens:
            assert (value[end:] == 0).all()


def test_the_loss_and_its_gradient(batch):
    logits, weights = draw(batch.shape.texts, CLASSES, scale=3.0), draw(CLASSES).abs() + 0.5
    found = []
    for operations in BOTH:
        totals = torch.full((2,), 10.0, device=DEVICE)
        found.append([operations.cross_entropy(logits, batch, weights, totals), totals])
    assert found[0][1][0] > 10
    for expected, value in zip(*found, strict=True):
        same(value, expected)


@pytest.mark.parametrize("largest", [0.0, 0.5], ids=["not clipped", "clipped"])
def test_updates(batch, largest):
    found = []
    for operations in BOTH:
        block = Moments(
            draw(3000, seed=1), draw(3000, seed=2, scale=0.1), draw(3000, seed=3).abs(), draw(3000).bfloat16()
        )
        table = Moments(
            draw(VOCABULARY, HIDDEN, seed=4),
            draw(VOCABULARY, HIDDEN, seed=5, scale=0.1),
            draw(VOCABULARY, HIDDEN, seed=6).abs(),
            None,
        )
        gradient, rows = draw(3000, seed=7), draw(batch.shape.tokens, HIDDEN, seed=8)
        sums = poison(2, 8)
        operations.settle_words(batch, table)
        settled = table.values.clone()
        operations.square_sums(gradient.bfloat16(), None, sums[0])
        operations.square_sums(rows, batch.counts, sums[1])
        scale = torch.ones(1, device=DEVICE)
        if largest:
            operations.clip_scale(sums.view(-1), largest, scale)
            assert scale < 1
        update = Update(batch.rates, scale, 0.1)
        operations.update_block(block, gradient, update, 2000)
        operations.update_words(batch, table, rows, update)
        found.append([settled, sums.sum(dim=1), *block, *table[:3]])
    for expected, value in zip(*found, strict=True):
        # The interpreter cuts bfloat16 off instead of rounding it.
        same(value, expected, **({} if value.dtype == torch.float32 else {"rtol": 1e-2}))


def test_dropout_keeps_its_share_and_differs_by_seed_and_stream():
    x = torch.ones(200, 100, device=DEVICE)
    batches = [make_batch([4], seed=seed) for seed in (1, 2)]
    for operations in BOTH:
        drawn = [operations.drop(x, batches[0], Dropout(0.3, stream)) for stream in (0, 1)]
        drawn.append(operations.drop(x, batches[1], Dropout(0.3, 0)))
        for one in drawn:
            assert abs((one == 0).float().mean().item() - 0.3) < 0.012
            assert torch.allclose(one[one != 0], torch.tensor(1 / 0.7))
        for one, other in ((0, 1), (0, 2)):
            both = ((drawn[one] == 0) & (drawn[other] == 0)).float().mean().item()
            assert abs(both - 0.09) < 0.012
    assert torch.equal(*(operations.drop(x, batches[0], Dropout(0.3, 0)) for operations in BOTH))
