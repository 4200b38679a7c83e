import numpy as np
import pytest
import torch

from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models import optimizer as optimizer_module
from core.learning.models.interface import load_for_training
from core.learning.models.optimizer import PIECE, ModelAdamW, WordRows, _clip_scale
from core.learning.training.step import learning_rate_factor

ROWS, WIDTH, STEPS = 40, 8, 400
CONFIG = TrainingConfig(learning_rate=1e-2, warmup=0.1)
CPU = Hardware("cpu", "fp32", "test")
WORDS = "bert.embeddings.word_embeddings.weight"


def sparse_training(settle_at=(), scale=0.1):
    """The same gradients for torch's AdamW over the whole table and for WordRows: the two tables."""
    random = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(ROWS, WIDTH, generator=generator)
    dense = torch.nn.Parameter(start.clone())
    adamw = torch.optim.AdamW([dense], weight_decay=0.0, fused=True)
    lazy = start.clone()
    words = WordRows(lazy, STEPS)
    for step in range(STEPS):
        # Like words: the first rows come often, the last ones hardly ever, and the very last never.
        ids = np.flatnonzero(random.random(ROWS - 3) < 0.5 / (1 + np.arange(ROWS - 3)))
        gradients = scale * torch.randn(len(ids), WIDTH, generator=generator)
        rate = CONFIG.learning_rate * learning_rate_factor(step, STEPS, CONFIG)
        adamw.param_groups[0]["lr"] = rate
        dense.grad = torch.zeros_like(dense)
        dense.grad[ids] = gradients
        adamw.step()
        words.step(torch.from_numpy(ids), gradients, rate)
        if step in settle_at:
            words.settle()
            assert torch.allclose(lazy, dense.detach(), atol=2e-5)
    words.settle()
    return start, dense.detach(), lazy


def test_rows_updated_when_they_are_touched_end_as_with_adamw_over_the_whole_table():
    start, dense, lazy = sparse_training()
    # Rows move by up to 1 in all; what is left is float32's rounding of some hundred sums.
    assert (dense - start).abs().max() > 0.3
    assert torch.allclose(lazy, dense, atol=2e-5)


def test_reading_the_rows_in_between_changes_nothing():
    _, _, lazy = sparse_training()
    _, _, read = sparse_training(settle_at=(3, 50, 51, 399))
    assert torch.allclose(lazy, read, atol=2e-5)


def test_rows_that_are_never_touched_stay_to_the_bit():
    start, _, lazy = sparse_training()
    assert torch.equal(lazy[-3:], start[-3:])
    assert not torch.equal(lazy[0], start[0])


def test_a_momentum_that_has_faded_is_not_made_up_for_twice():
    words = WordRows(torch.zeros(2, 1), 2000)
    dense = torch.nn.Parameter(torch.zeros(2, 1))
    adamw = torch.optim.AdamW([dense], lr=1e-3, weight_decay=0.0, fused=True)
    for step in range(1500):
        # The second row comes in the first step and, long after its momentum has faded, in the last.
        ids = torch.tensor([0, 1]) if step in (0, 1499) else torch.tensor([0])
        dense.grad = torch.zeros(2, 1)
        dense.grad[ids] = 1e-2
        adamw.step()
        words.step(ids, torch.full((len(ids), 1), 1e-2), 1e-3)
    words.settle()
    assert torch.allclose(words.values, dense.detach(), rtol=1e-4)


def test_clipping_is_that_of_torch():
    gradients = [torch.randn(5, 3), torch.randn(7)]
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for largest in (100.0, 0.5):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_(parameters, largest)
        scale = _clip_scale(gradients, largest)
        for gradient, parameter in zip(gradients, parameters, strict=True):
            assert torch.allclose(scale * gradient, parameter.grad, atol=1e-7)


@pytest.fixture
def new_network(tiny):
    """Makes a two-layer BERT, each time with the same weights."""

    def make():
        return load_for_training(pretrained.resolve(tiny), {"bad": 0, "good": 1}, CPU, seed=1)

    return make


def train(network, config, steps):
    """Some steps with random gradients; of the words only ids 3 and 5 occur. Returns all gradients."""
    generator = torch.Generator().manual_seed(0)
    network.prepare_training(config, steps)
    encoder, every_gradient = network._encoder, []
    for step in range(steps):
        network.begin(step)
        # What one part of a batch leaves.
        encoder._parts = 1
        encoder.matrices.gradients.normal_(generator=generator)
        encoder.vectors.gradients.normal_(generator=generator)
        for parameter in network._head.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        ids = torch.tensor([5, 3, 5])
        encoder.word_gradients.append((ids, torch.randn(3, 32, generator=generator)))
        every_gradient.append(gradients_of(network))
        network.clip_gradients(config.gradient_clipping)
        network.update_weights(config.learning_rate)
    network._settle()
    return every_gradient


def gradients_of(network):
    """Name → a copy of the gradient, in the shape of the weight."""
    encoder = network._encoder
    found = {
        name: encoder.matrices.view(encoder.matrices.gradients, name) for name in encoder.matrices.shapes
    }
    found |= {name: encoder.vectors.view(encoder.vectors.gradients, name) for name in encoder.vectors.shapes}
    found[WORDS] = torch.zeros_like(encoder.words)
    for ids, rows in encoder.word_gradients:
        found[WORDS].index_add_(0, ids, rows)
    head = {id(parameter): parameter.grad for parameter in network._head.parameters()}
    found |= {name: head[id(weight)] for name, weight in network._weights().items() if id(weight) in head}
    return {name: gradient.clone() for name, gradient in found.items()}


@pytest.mark.parametrize("clipping", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("piece", [1000, PIECE])
def test_an_encoder_is_updated_as_by_torch(new_network, monkeypatch, clipping, piece):
    monkeypatch.setattr(optimizer_module, "PIECE", piece)
    config = TrainingConfig(learning_rate=1e-3, weight_decay=0.1, gradient_clipping=clipping)
    network = new_network()
    start = {name: weight.detach().clone() for name, weight in network._weights().items()}
    every_gradient = train(network, config, 20)

    expected = {name: torch.nn.Parameter(weight.clone()) for name, weight in start.items()}
    groups = [
        {"params": [w for name, w in expected.items() if is_matrix(name)], "weight_decay": 0.1},
        {"params": [w for name, w in expected.items() if not is_matrix(name)], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=1e-3)
    norms = []
    for gradients in every_gradient:
        assert gradients.keys() == expected.keys()
        for name, weight in expected.items():
            weight.grad = gradients[name].clone()
        norms.append(torch.nn.utils.clip_grad_norm_(expected.values(), clipping or torch.inf).item())
        adamw.step()
    # The largest limit is never reached... but by all gradients at once.
    assert min(norms) > 100
    for name, weight in network._weights().items():
        assert (weight - start[name]).abs().max() > 1e-3, name
        assert torch.allclose(weight, expected[name], atol=1e-6), name
    assert torch.equal(network._weights()[WORDS][6:], start[WORDS][6:])


def is_matrix(name):
    return name.endswith(".weight") and "embeddings" not in name and "LayerNorm" not in name


def test_weight_decay_spares_vectors_and_embeddings():
    model = torch.nn.ModuleDict(
        {"table": torch.nn.Embedding(5, 4), "linear": torch.nn.Linear(4, 4), "norm": torch.nn.LayerNorm(4)}
    )
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = ModelAdamW(model, 0.5, torch.amp.GradScaler("cpu", enabled=False))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(0.1)
    for name, value in model.named_parameters():
        left = 0.95 if name == "linear.weight" else 1.0
        assert torch.allclose(value, left * before[name]), name


@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_small_and_large_gradients_alike(scale):
    _, dense, lazy = sparse_training(scale=scale)
    # Where moments come near AdamW's epsilon of 1e-8, a row that is left alone takes a mean measure of it.
    assert torch.allclose(lazy, dense, atol=1e-3 if scale < 1e-3 else 2e-5)


def test_the_scale_of_half_precision_goes_on_growing_where_it_was():
    model = torch.nn.Linear(2, 2)

    def new_optimizer():
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
        return scaler, ModelAdamW(model, 0.01, scaler)

    def step(scaler, optimizer):
        scaler.scale(model(torch.ones(1, 2)).sum()).backward()
        optimizer.clip(1.0)
        optimizer.step(1e-3)

    first_scaler, first = new_optimizer()
    step(first_scaler, first)
    step(first_scaler, first)
    scaler, resumed = new_optimizer()
    resumed.load_state(first.state())
    assert scaler.get_scale() == 8.0
    step(scaler, resumed)
    assert scaler.get_scale() == 16.0
