from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.learning import catalogue
from core.learning import fit as fit_module
from core.learning.batching import encode
from core.learning.checkpoints import Hardware, load_for_training, load_tokenizer
from core.learning.config import TrainingConfig
from core.learning.fit import fit, learning_rate_factor
from core.learning.memory import MicroBatch
from tests.conftest import TEXTS

CPU = Hardware("cpu", "fp32", "test")
SETTINGS = TrainingConfig(epochs=30, batch_size=4, learning_rate=5e-3, max_length=16, evaluations_per_epoch=1)


@pytest.fixture
def data(tiny):
    tokenizer = load_tokenizer(catalogue.resolve(tiny))
    pairs = [(text, i) for i, label in enumerate(sorted(TEXTS)) for text in TEXTS[label]]
    return encode([text for text, _ in pairs], [label for _, label in pairs], tokenizer, 16)


@pytest.fixture
def model(tiny):
    torch.manual_seed(1)
    return load_for_training(catalogue.resolve(tiny), {"bad": 0, "good": 1})


def run(model, data, config=SETTINGS, validation=None, should_stop=lambda: False, hardware=CPU):
    events, kept = [], []

    def keep(model):
        kept.append({name: value.clone() for name, value in model.state_dict().items()})

    result = fit(model, data, validation, config, hardware, events.append, should_stop, keep)
    return result, events, kept


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_ten_texts_are_learned_by_heart(model, data, precision):
    result, events, _ = run(model, data, validation=data, hardware=replace(CPU, precision=precision))
    assert result.best.accuracy == 1.0
    losses = [event["loss"] for event in events if event["type"] == "step"]
    assert losses[-1] < losses[0] / 4
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_events_tell_every_evaluation_and_the_last_step(model, data):
    result, events, kept = run(model, data, replace(SETTINGS, epochs=3, evaluations_per_epoch=2), data)
    evaluated = [event for event in events if event["type"] == "evaluated"]
    assert [event["step"] for event in evaluated] == [2, 3, 5, 6, 8, 9]
    assert len(kept) == sum(event["best"] for event in evaluated) >= 1
    last = [event for event in events if event["type"] == "step"][-1]
    assert (last["step"], last["epoch"]) == (9, 3.0)
    assert 0 <= last["seconds_left"] < 60
    assert result.steps == 9


def test_same_seed_gives_the_same_weights(tiny, data):
    ends = []
    for seed in (5, 5, 6):
        torch.manual_seed(1)
        model = load_for_training(catalogue.resolve(tiny), {"bad": 0, "good": 1})
        run(model, data, replace(SETTINGS, epochs=2, seed=seed))
        ends.append(weights(model))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_stop_keeps_the_weights_so_far(model, data):
    asked = iter([False] * 4 + [True] * 100)
    result, _, kept = run(model, data, validation=data, should_stop=lambda: next(asked))
    assert result.stopped
    assert result.steps == 4
    assert result.best_step in (3, 4)
    assert len(kept) >= 1


def test_stop_before_the_first_step_keeps_nothing(model, data):
    result, _, kept = run(model, data, should_stop=lambda: True)
    assert (result.steps, result.best_step, kept) == (0, 0, [])


def test_early_stopping_ends_when_the_score_no_longer_rises(model, data):
    config = replace(SETTINGS, learning_rate=1e-7, early_stopping=2)
    # The loss must not fall either, or each evaluation would be a new best.
    flat = replace(data, labels=np.zeros_like(data.labels))
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([-40.0, 40.0]))
    result, events, _ = run(model, data, config, flat)
    assert result.converged
    assert result.steps < 90


def test_best_weights_are_kept_not_the_last(model, data, monkeypatch):
    scores = iter([(0.5, 1.0), (0.9, 0.5), (0.7, 0.4)])

    def evaluate(*_):
        f1, loss = next(scores)
        return fit_module.EvaluationReport(10, f1, f1, loss, 0.5, [], [])

    monkeypatch.setattr(fit_module, "evaluate", evaluate)
    result, _, kept = run(model, data, replace(SETTINGS, epochs=3), data)
    assert (result.best_step, len(kept)) == (6, 2)


def test_a_loss_that_is_no_number_stops_with_that_reason(model, data):
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="finite number; found a training loss of nan"):
        run(model, data)


def test_weight_decay_spares_vectors_and_class_weights_follow_frequency(model, data):
    groups = fit_module._optimizer(model, SETTINGS).param_groups
    assert {p.ndim for p in groups[0]["params"]} == {2}
    assert {p.ndim for p in groups[1]["params"]} == {1}
    assert [group["weight_decay"] for group in groups] == [SETTINGS.weight_decay, 0.0]
    weighed = fit_module._class_weights(np.array([0, 0, 0, 1]), 2, replace(SETTINGS, class_weights=True))
    assert weighed.tolist() == pytest.approx([4 / 6, 2.0])


def test_learning_rate_rises_and_falls():
    config = TrainingConfig(warmup=0.2)
    course = [learning_rate_factor(step, 10, config) for step in range(11)]
    assert course[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert course[10] == 0
    assert all(a > b for a, b in zip(course[2:], course[3:], strict=False))
    constant = replace(config, warmup=0.0, schedule="constant")
    assert {learning_rate_factor(step, 10, constant) for step in range(10)} == {1.0}
    assert learning_rate_factor(5, 10, replace(config, warmup=0.0, schedule="cosine")) == pytest.approx(0.5)


class ShortOfMemory(torch.nn.Module):
    """A model on a device that holds at most `limit` texts."""

    def __init__(self, model, limit, error):
        super().__init__()
        self.model, self.limit, self.error, self.config = model, limit, error, model.config

    def forward(self, input_ids, **rest):
        if len(input_ids) > self.limit:
            raise self.error
        return self.model(input_ids, **rest)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("gpu"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory_halves_the_batch_and_keeps_the_result(tiny, data, error):
    ends = []
    for limit in (100, 3):
        torch.manual_seed(1)
        model = load_for_training(catalogue.resolve(tiny), {"bad": 0, "good": 1})
        # Dropout draws other numbers for other parts; without it the two ways must agree.
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        _, events, _ = run(
            ShortOfMemory(model, limit, error), data, replace(SETTINGS, epochs=2, batch_size=10)
        )
        notes = [event["message"] for event in events if event["type"] == "note"]
        assert bool(notes) == (limit == 3)
        ends.append(weights(model))
    assert "parts of 2" in notes[0]
    assert len(notes) == 1
    assert torch.allclose(ends[0], ends[1], atol=1e-4)


def test_no_memory_for_one_text_is_said(model, data):
    with pytest.raises(UserError, match="one text at a time"):
        run(ShortOfMemory(model, 0, torch.OutOfMemoryError()), data)


def test_other_errors_are_not_taken_for_lack_of_memory():
    def work(_):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        MicroBatch(4).run(np.arange(4), work)
