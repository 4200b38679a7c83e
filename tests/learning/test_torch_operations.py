"""The contract with torch: its operations without a public name do what its documented ones do."""

import pytest
import torch
from torch.nn import functional

from core.learning.models import torch_operations
from core.learning.models.torch_operations import SCALER_STATE, Moments, update_adamw

CHANGED = (
    "torch has changed an operation that it does not document: mend core/learning/models/torch_operations.py"
)
EPSILON = 1e-12
ROWS, WIDTH = 6, 32


@pytest.fixture
def normal():
    """Makes tensors of normally distributed numbers, the same ones in each test."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator)


def gradients(y, dy, *of):
    """What autograd finds."""
    return torch.autograd.grad(y, of, dy)


def are_alike(found, expected):
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_a_layer_norm_and_its_backward_pass(normal):
    x, weight, bias, dy = normal(ROWS, WIDTH), normal(WIDTH), normal(WIDTH), normal(ROWS, WIDTH)
    y, mean, reciprocal = torch_operations.layer_norm(x, weight, bias, EPSILON)
    assert torch.equal(y, functional.layer_norm(x, (WIDTH,), weight, bias, EPSILON)), CHANGED
    found = torch_operations.layer_norm_backward(dy, x, mean, reciprocal, weight, bias)
    tracked = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    expected = functional.layer_norm(x, (WIDTH,), weight, bias, EPSILON)
    assert are_alike(found, gradients(expected, dy, *tracked)), CHANGED


def test_the_backward_pass_of_gelu(normal):
    x, dy = normal(ROWS, WIDTH), normal(ROWS, WIDTH)
    found = torch_operations.gelu_backward(dy, x)
    assert are_alike([found], gradients(functional.gelu(x.requires_grad_()), dy, x)), CHANGED


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_backward_pass_of_softmax(normal, kind):
    x, dy = normal(ROWS, WIDTH).to(kind), normal(ROWS, WIDTH).to(kind)
    y = x.requires_grad_().softmax(dim=-1)
    found = torch_operations.softmax_backward(dy, y.detach())
    assert found.dtype == kind, CHANGED
    assert torch.equal(found, gradients(y, dy, x)[0]), CHANGED


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_update_of_adamw(normal, weight_decay):
    values = normal(ROWS, WIDTH)
    weights = torch.nn.Parameter(values.clone())
    adamw = torch.optim.AdamW([weights], lr=1e-2, weight_decay=weight_decay, fused=True)
    first, second = torch.zeros_like(values), torch.zeros_like(values)
    for step in range(1, 4):
        gradient = normal(ROWS, WIDTH)
        weights.grad = gradient.clone()
        adamw.step()
        update_adamw(values, gradient, Moments(first, second, torch.tensor(float(step))), 1e-2, weight_decay)
    state = adamw.state[weights]
    assert torch.equal(values, weights.detach()), CHANGED
    assert torch.equal(first, state["exp_avg"]), CHANGED
    assert torch.equal(second, state["exp_avg_sq"]), CHANGED


def test_what_changes_in_a_scaler_has_these_names():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", growth_interval=2)
    states = [scaler.state_dict()]
    for _ in range(2):
        scaler.scale(parameter.sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        states.append(scaler.state_dict())
    changing = {key for key in states[0] if len({state[key] for state in states}) > 1}
    assert changing == set(SCALER_STATE.values()), CHANGED
