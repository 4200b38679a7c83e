import torch

from core.learning.models.bert_family.flat_parameters import FlatParameters

# Sizes that are multiples of 32 and sizes that are not.
SHAPES = {"query": (4, 32), "key": (2, 32), "value": (6, 32), "bias": (5,), "odd": (3, 7), "norm": (32,)}


def test_weights_do_not_overlap_and_begin_on_cache_lines():
    parameters = FlatParameters(SHAPES, torch.float32)
    for i, name in enumerate(SHAPES):
        parameters.view(parameters.values, name).fill_(i + 1)
    for i, (name, shape) in enumerate(SHAPES.items()):
        view = parameters.view(parameters.values, name)
        assert view.shape == shape
        assert (view == i + 1).all(), name
        assert view.storage_offset() % 32 == 0


def test_neighbours_are_one_tensor_in_their_order():
    parameters = FlatParameters(SHAPES, torch.float32)
    together = parameters.view(parameters.values, "query", "key", "value")
    together.copy_(torch.randn(12, 32))
    parts = [parameters.view(parameters.values, name) for name in ("query", "key", "value")]
    assert torch.equal(torch.cat(parts), together)


def test_the_working_copy_follows_when_it_is_refreshed():
    exact = FlatParameters(SHAPES, torch.float32)
    assert exact.working is exact.values
    parameters = FlatParameters(SHAPES, torch.bfloat16)
    parameters.values.normal_()
    assert not parameters.working.any()
    parameters.refresh()
    assert torch.equal(parameters.working, parameters.values.to(torch.bfloat16))


def test_gradients_are_laid_out_as_the_values():
    parameters = FlatParameters(SHAPES, torch.bfloat16)
    assert parameters.gradients.numel() == 0
    parameters.allocate_gradients(torch.bfloat16)
    assert parameters.gradients.dtype == torch.bfloat16
    assert parameters.view(parameters.gradients, "odd").shape == (3, 7)
    assert parameters.gradients.shape == parameters.values.shape
    assert not parameters.gradients.any()
