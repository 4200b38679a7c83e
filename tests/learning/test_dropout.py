import numpy as np
import pytest
import torch

from core.learning.models.cpu_bert import dropout
from core.learning.models.cpu_bert.dropout import POOL, POOL_STEPS, DropoutMasks


def masks_of(steps, shape=(400, 384), rate=0.1, seed=1, count=13):
    """The masks of some training steps, as a MiniLM takes them: float32 [masks, *shape]."""
    masks = DropoutMasks(rate, torch.float32, seed)
    taken = []
    for step in steps:
        masks.begin(step)
        taken += [masks.take(*shape).clone() for _ in range(count)]
    return torch.stack(taken)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5])
def test_rate_and_scale(rate):
    masks = masks_of(range(0, 3 * POOL_STEPS, POOL_STEPS), rate=rate)
    assert masks.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])
    # Three pools: five standard deviations of a mean of that many draws.
    bound = 5 * (rate * (1 - rate) / (3 * POOL)) ** 0.5
    assert abs((masks == 0).double().mean().item() - rate) < bound
    # In the mean nothing is made larger or smaller.
    assert masks.double().mean().item() == pytest.approx(1, abs=bound / (1 - rate))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_what_is_kept_is_scaled_as_exactly_as_the_format_allows(dtype, rate):
    masks = DropoutMasks(rate, dtype, 1)
    masks.begin(0)
    kept = torch.tensor(1 / (1 - rate), dtype=dtype).item()
    assert masks.take(1000).unique().tolist() == [0.0, kept]


def test_bfloat16_masks_have_the_rate_too():
    masks = DropoutMasks(0.1, torch.bfloat16, 1)
    masks.begin(0)
    mask = masks.take(1000, 1000)
    assert mask.dtype == torch.bfloat16
    assert abs((mask == 0).double().mean().item() - 0.1) < 0.002


def correlation(a, b):
    return np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1]


def test_values_masks_and_steps_are_independent():
    masks = masks_of([0, 1, 2, POOL_STEPS], count=4)
    # Five standard deviations of a correlation of so many independent draws.
    bound = 5 / masks[0].numel() ** 0.5
    for i in range(len(masks)):
        assert abs(correlation(masks[i, :, 1:], masks[i, :, :-1])) < bound
        assert abs(correlation(masks[i, 1:], masks[i, :-1])) < bound
        for j in range(i):
            assert abs(correlation(masks[i], masks[j])) < bound


@pytest.mark.parametrize("size", [100 * 384, POOL // 26])
def test_masks_of_a_step_come_from_different_places_of_the_pool(monkeypatch, size):
    # Where they lie is what is asked here, not what is in them.
    monkeypatch.setattr(DropoutMasks, "_draw", lambda *_: None)
    masks = DropoutMasks(0.1, torch.float32, 1)
    places = []
    for step in range(100):
        masks.begin(step)
        # Thirteen of the larger size are half the pool.
        taken = [masks.take(size) for _ in range(13)]
        ranges = sorted((mask.data_ptr(), mask.data_ptr() + 4 * mask.numel()) for mask in taken)
        assert all(end <= start for (_, end), (start, _) in zip(ranges, ranges[1:], strict=False))
        places.append(ranges[0][0])
    # And every step begins elsewhere.
    assert len(set(places)) > 95


def test_masks_depend_on_seed_and_step_alone():
    late = DropoutMasks(0.1, torch.float32, 1)
    late.begin(21)
    # As a training does that was resumed at step 21, and as one that came there step by step.
    assert torch.equal(late.take(5, 384), masks_of(range(22), (5, 384), count=1)[-1])
    assert not torch.equal(masks_of([21]), masks_of([22]))
    assert not torch.equal(masks_of([21]), masks_of([21], seed=2))


def test_a_mask_may_be_larger_than_the_pool(monkeypatch):
    monkeypatch.setattr(dropout, "POOL", 1 << 12)
    masks = DropoutMasks(0.5, torch.float32, 1)
    masks.begin(0)
    mask = masks.take(100, 100)
    assert mask.shape == (100, 100)
    assert abs((mask == 0).double().mean().item() - 0.5) < 0.05


def test_the_pool_is_used_to_its_end_and_begun_anew():
    masks = DropoutMasks(0.1, torch.float32, 1)
    masks.begin(0)
    assert all(masks.take(POOL // 3).numel() == POOL // 3 for _ in range(9))
