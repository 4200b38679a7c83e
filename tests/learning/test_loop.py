from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.base.errors import UserError
from core.base.memory import MicroBatch
from core.learning import pretrained
from core.learning.batching import encode
from core.learning.config import TrainingConfig
from core.learning.evaluation.metrics import EvaluationReport
from core.learning.hardware import Hardware
from core.learning.models import interface
from core.learning.models.cpu_bert import classifier as cpu_classifier
from core.learning.models.cpu_bert.dropout import NO_MASKS
from core.learning.models.gpu_bert.classifier import PackedBertNetwork
from core.learning.models.interface import load_for_training
from core.learning.tokenizer import TextTokenizer
from core.learning.training import best_weights
from core.learning.training.best_weights import StoredWeights
from core.learning.training.checkpoints import TrainingCheckpoints, newest
from core.learning.training.hooks import Hooks
from core.learning.training.loop import TrainingData, fit
from core.learning.training.step import Stepper, class_weights, learning_rate_factor
from tests.tiny import TEXTS

CPU = Hardware("cpu", "fp32", "test")
LABELS = {"bad": 0, "good": 1}
SETTINGS = TrainingConfig(epochs=30, batch_size=4, learning_rate=5e-3, max_length=16, evaluations_per_epoch=1)


@pytest.fixture
def data(tiny):
    tokenizer = TextTokenizer(pretrained.resolve(tiny), 16)
    pairs = [(text, i) for i, label in enumerate(sorted(TEXTS)) for text in TEXTS[label]]
    return encode([text for text, _ in pairs], [label for _, label in pairs], tokenizer)


@pytest.fixture(params=["written out", "packed as on a GPU", "of transformers"])
def new_network(tiny, request, monkeypatch):
    """Makes a new network, of each kind in turn."""
    if request.param == "of transformers":
        monkeypatch.setattr(interface, "read_architecture", lambda _: None)
    if request.param == "packed as on a GPU":
        monkeypatch.setattr(cpu_classifier, "BertNetwork", PackedBertNetwork)

    def make(precision="fp32", seed=1):
        folder, hardware = pretrained.resolve(tiny), replace(CPU, precision=precision)
        return load_for_training(folder, {"bad": 0, "good": 1}, hardware, seed)

    return make


@pytest.fixture
def network(new_network):
    return new_network()


def run(network, data, config=SETTINGS, validation=None, should_stop=lambda: False, folder=None, known=None):
    events, kept = [], []
    state, _ = newest(folder) if folder else (None, [])
    result = fit(
        network,
        TrainingData(data, validation),
        config,
        Hooks(events.append, should_stop),
        SimpleNamespace(stored=known, save=lambda network, _: kept.append(weights(network))),
        TrainingCheckpoints(folder, events.append, resume=state),
    )
    return result, events, kept


def tensors(network):
    """Name → weight, whatever the kind of network."""
    if isinstance(network, PackedBertNetwork):
        network._settle_all()
        return network._views()
    return network._weights() if hasattr(network, "_weights") else network._model.state_dict()


def weights(network):
    return torch.cat([value.detach().flatten().clone() for _, value in sorted(tensors(network).items())])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_ten_texts_are_learned_by_heart(new_network, data, precision):
    network = new_network(precision)
    result, events, _ = run(network, data, validation=data)
    assert result.best.accuracy == 1.0
    losses = [event["loss"] for event in events if event["type"] == "step"]
    assert losses[-1] < losses[0] / 4
    assert weights(network).dtype == torch.float32


def test_events_tell_every_evaluation_and_the_last_step(network, data):
    result, events, kept = run(network, data, replace(SETTINGS, epochs=3, evaluations_per_epoch=2), data)
    evaluated = [event for event in events if event["type"] == "evaluated"]
    assert [event["step"] for event in evaluated] == [2, 3, 5, 6, 8, 9]
    assert len(kept) == sum(event["best"] for event in evaluated) >= 1
    last = [event for event in events if event["type"] == "step"][-1]
    assert (last["step"], last["epoch"]) == (9, 3.0)
    assert 0 <= last["seconds_left"] < 60
    assert result.steps == 9


def test_same_seed_gives_the_same_weights(new_network, data):
    ends = []
    for seed in (5, 5, 6):
        network = new_network(seed=seed)
        run(network, data, replace(SETTINGS, epochs=2, seed=seed))
        ends.append(weights(network))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_stop_keeps_the_weights_so_far(network, data):
    asked = iter([False] * 4 + [True] * 100)
    result, _, kept = run(network, data, validation=data, should_stop=lambda: next(asked))
    assert result.stopped
    assert result.steps == 4
    assert result.best_step in (3, 4)
    assert len(kept) >= 1


def test_stop_before_the_first_step_keeps_nothing(network, data):
    result, _, kept = run(network, data, should_stop=lambda: True)
    assert (result.steps, result.best_step, kept) == (0, 0, [])


def test_early_stopping_ends_when_the_score_no_longer_rises(network, data):
    config = replace(SETTINGS, learning_rate=1e-7, early_stopping=2)
    # The loss must not fall either, or each evaluation would be a new best.
    flat = replace(data, labels=np.zeros_like(data.labels))
    with torch.no_grad():
        tensors(network)["classifier.weight"].zero_()
        tensors(network)["classifier.bias"].copy_(torch.tensor([-40.0, 40.0]))
    result, events, _ = run(network, data, config, flat)
    assert result.converged
    assert result.steps < 90


def test_best_weights_are_kept_not_the_last(network, data, monkeypatch):
    scores = iter([(0.5, 1.0), (0.9, 0.5), (0.7, 0.4)])

    def evaluate(*_):
        f1, loss = next(scores)
        return EvaluationReport(10, f1, f1, loss, 0.5, [], [])

    monkeypatch.setattr(best_weights, "evaluate", evaluate)
    result, _, kept = run(network, data, replace(SETTINGS, epochs=3), data)
    assert (result.best_step, len(kept)) == (6, 2)


def test_a_loss_that_is_no_number_stops_with_that_reason(network, data):
    with torch.no_grad():
        tensors(network)["classifier.weight"].fill_(float("nan"))
    with pytest.raises(UserError, match="finite number; found a training loss of nan"):
        run(network, data)


def test_class_weights_follow_frequency():
    weighed = class_weights(np.array([0, 0, 0, 1]), 2, replace(SETTINGS, class_weights=True))
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


class Lost(Exception):
    """The process is gone."""


def lose_at(step):
    """A `should_stop` that ends everything before the step after this one."""
    asked = iter(range(10_000))

    def lose():
        if next(asked) == step:
            raise Lost
        return False

    return lose


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_training_ends_with_the_same_weights_to_the_bit(
    new_network, data, tmp_path, monkeypatch, precision
):
    # A snapshot at every step, however long it takes.
    monkeypatch.setattr(TrainingCheckpoints, "due", lambda self: self._root is not None)
    config = replace(SETTINGS, epochs=7, weight_decay=0.1, evaluations_per_epoch=2)
    whole = new_network(precision)
    expected, whole_events, _ = run(whole, data, config, data)
    evaluated = []
    for step in (1, 4, 5, 6):
        network = new_network(precision)
        with pytest.raises(Lost):
            run(network, data, config, data, lose_at(step), tmp_path)
    network = new_network(precision)
    result, events, _ = run(network, data, config, data, folder=tmp_path)
    assert torch.equal(weights(network), weights(whole))
    assert (result.best, result.best_step, result.steps) == (expected.best, expected.best_step, 21)
    scores = [event for event in whole_events if event["type"] == "evaluated"]
    evaluated = [event for event in events if event["type"] == "evaluated"]
    # Sixteen steps were done before: what is left is the last third, and as it would have been.
    assert evaluated == scores[-len(evaluated) :]
    assert 2 <= len(evaluated) <= 4


@pytest.mark.parametrize(("f1", "stored"), [(0.6, 0), (0.95, 1)])
def test_weights_of_steps_that_were_undone_make_way_only_for_better_ones(
    new_network, data, tmp_path, monkeypatch, f1, stored
):
    def scores(f1):
        return EvaluationReport(10, f1, f1, 1 - f1, 0.5, [], [])

    monkeypatch.setattr(TrainingCheckpoints, "due", lambda self: self._root is not None)
    monkeypatch.setattr(best_weights, "evaluate", lambda *_: scores(0.5))
    config = replace(SETTINGS, epochs=9)
    with pytest.raises(Lost):
        run(new_network(), data, config, data, lose_at(4), tmp_path)
    # The process went on to step 9 before it was killed, and kept what stood there.
    undone = StoredWeights(9, scores(0.9))
    monkeypatch.setattr(best_weights, "evaluate", lambda *_: scores(f1))
    asked = iter([False, True])
    network = new_network()
    result, events, kept = run(network, data, config, data, lambda: next(asked), tmp_path, undone)
    # In the course of the training it is the best, as it would have been without the interruption.
    assert [event["best"] for event in events if event["type"] == "evaluated"] == [True]
    assert len(kept) == stored
    best = StoredWeights(5, scores(f1)) if stored else undone
    assert (result.best_step, result.best) == (best.step, best.scores)


def short_of_memory(network, limit, error):
    """Let the network hold at most `limit` texts."""
    if isinstance(network, PackedBertNetwork):
        encode_packed = network._encoder.forward

        def fails_packed(batch, training):
            if batch.shape.texts > limit:
                raise error
            return encode_packed(batch, training)

        network._encoder.forward = fails_packed
        return network
    forward = network.forward

    def fails(batch):
        if len(batch.ids) > limit:
            raise error
        return forward(batch)

    network.forward = fails
    return network


def without_dropout(network):
    """Dropout draws other numbers for other parts; without it two ways to compute a batch must agree."""
    if hasattr(network, "_model"):
        for module in network._model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for layer in network._model.bert.encoder.layer:
            layer.attention.self.dropout.p = 0.0
    elif isinstance(network, PackedBertNetwork):
        network._encoder._dropout = network._encoder._attention_dropout = 0.0
        network._head._architecture = replace(network._head._architecture, head_dropout=0.0)
    else:
        network._masks = NO_MASKS
        network._head[2].p = 0.0
    return network


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("gpu"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory_halves_the_batch_and_keeps_the_result(new_network, data, error):
    ends = []
    for limit in (100, 3):
        network = short_of_memory(without_dropout(new_network()), limit, error)
        _, events, _ = run(network, data, replace(SETTINGS, epochs=2, batch_size=10))
        notes = [event["message"] for event in events if event["type"] == "note"]
        assert bool(notes) == (limit == 3)
        ends.append(weights(network))
    assert "parts of 2" in notes[0]
    assert len(notes) == 1
    assert torch.allclose(ends[0], ends[1], atol=1e-4)


def test_large_batches_are_computed_in_parts_with_the_same_result(new_network, data):
    ends = []
    for part_tokens in (None, 16):
        network = without_dropout(new_network())
        network.part_tokens = part_tokens
        _, events, _ = run(network, data, replace(SETTINGS, epochs=3, batch_size=10))
        assert not [event for event in events if event["type"] == "note"]
        ends.append(weights(network))
    assert torch.allclose(ends[0], ends[1], atol=1e-4)


@pytest.mark.parametrize("clipping", [0.0, 0.5, 100.0])
def test_both_kinds_of_network_learn_the_same(tiny, data, monkeypatch, clipping):
    generator, begun, ends = torch.Generator().manual_seed(0), {}, []
    for read in (interface.read_architecture, lambda _: None):
        monkeypatch.setattr(interface, "read_architecture", read)
        network = load_for_training(pretrained.resolve(tiny), {"bad": 0, "good": 1}, CPU, 1)
        with torch.no_grad():
            for name, value in tensors(network).items():
                if name not in begun:
                    # Larger than new weights: Adam turns the rounding of a gradient near zero into a step.
                    begun[name] = value + 0.2 * torch.randn(value.shape, generator=generator)
                value.copy_(begun[name])
        config = replace(SETTINGS, epochs=4, learning_rate=1e-3, weight_decay=0.1, gradient_clipping=clipping)
        run(without_dropout(network), data, config)
        ends.append({name: value.detach() for name, value in tensors(network).items()})
    assert ends[0].keys() == ends[1].keys() == begun.keys()
    for name, value in begun.items():
        difference = (ends[0][name] - ends[1][name]).abs().flatten()
        # A key's bias adds the same to all scores of a query: its gradient is nothing but rounding, which
        # Adam turns into twelve steps of up to 1e-3 to either side.
        if name.endswith("key.bias"):
            assert difference.max() < 2 * 12 * 1e-3, name
            continue
        assert difference.quantile(0.99) < 5e-5, name
        assert difference.max() < 1e-3, name
        assert (ends[0][name] - value).abs().max() > 1e-3, name
    unused = torch.from_numpy(np.setdiff1d(np.arange(len(begun[WORDS])), data.ids))
    assert len(unused)
    assert torch.equal(ends[0][WORDS][unused], begun[WORDS][unused])


WORDS = "bert.embeddings.word_embeddings.weight"


def test_a_word_that_missed_steps_is_read_as_its_momentum_moved_it_meanwhile(tiny, data, monkeypatch):
    start, found = {}, []
    for read in (interface.read_architecture, lambda _: None):
        monkeypatch.setattr(interface, "read_architecture", read)
        network = without_dropout(load_for_training(pretrained.resolve(tiny), {"bad": 0, "good": 1}, CPU, 1))
        start = start or {name: value.detach().clone() for name, value in tensors(network).items()}
        with torch.no_grad():
            for name, value in tensors(network).items():
                value.copy_(start[name])
        # One text at a time: most words wait several steps until they come again.
        stepper = Stepper(network, data, replace(SETTINGS, batch_size=1), 20)
        losses = []
        for step in range(20):
            stepper.step(np.array([step % len(data)]))
            losses.append(stepper.read_and_reset()[0])
        found.append(losses)
    assert found[0] == pytest.approx(found[1], rel=5e-5)


def test_no_memory_for_one_text_is_said(network, data):
    with pytest.raises(UserError, match="one text at a time"):
        run(short_of_memory(network, 0, torch.OutOfMemoryError()), data)


def test_a_snapshot_of_another_kind_of_device_is_refused_with_a_remedy(tiny, data, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingCheckpoints, "due", lambda self: self._root is not None)
    folder = pretrained.resolve(tiny)
    with pytest.raises(Lost):
        run(load_for_training(folder, LABELS, CPU, 1), data, SETTINGS, data, lose_at(3), tmp_path)
    monkeypatch.setattr(cpu_classifier, "BertNetwork", PackedBertNetwork)
    with pytest.raises(UserError, match="Resume the run where it was begun"):
        run(load_for_training(folder, LABELS, CPU, 1), data, SETTINGS, data, folder=tmp_path)


def test_other_errors_are_not_taken_for_lack_of_memory():
    def work(_):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        MicroBatch(4).run(np.arange(4), work)
