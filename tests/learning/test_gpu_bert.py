"""The packed encoder of a GPU, with plain torch on the CPU: against transformers, and its recorded steps."""

import json

import numpy as np
import pytest
import torch

from core.learning.batching import collate, encode, take_texts, training_batches
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models.bert_family.architectures import FAMILIES, read_architecture
from core.learning.models.gpu_bert.classifier import PackedBertNetwork
from core.learning.models.gpu_bert.packing import PackedShape, shape_of
from core.learning.models.recording import NotRecorded
from core.learning.training.step import Stepper
from tests.benchmarks.gpu_checks import gradients
from tests.learning.test_cpu_bert import BATCHES, LABELS, batch, make, of_transformers

FP32, BF16 = Hardware("cpu", "fp32", "test"), Hardware("cpu", "bf16", "test")
CONFIG = TrainingConfig(batch_size=4, learning_rate=1e-3, epochs=2)


def load(folder, hardware=FP32, label2id=None, seed=0):
    config = json.loads((folder / "config.json").read_text())
    return PackedBertNetwork(folder, config, read_architecture(config), hardware, label2id, seed)


@pytest.fixture(params=sorted(FAMILIES))
def pair(request, tmp_path):
    model = make(tmp_path / "model", request.param)
    return model, load(tmp_path / "model")


def learn(network, *batches):
    network.begin(0)
    for texts in batches:
        logits = network.forward(texts)
        network.backward(torch.nn.functional.cross_entropy(logits, texts.labels, reduction="sum"))
    return {name: value.clone() for name, value in gradients(network).items()}


def test_logits_equal_those_of_transformers(pair):
    model, network = pair
    for texts in BATCHES:
        with torch.no_grad():
            expected = of_transformers(model, texts)
        assert torch.allclose(network.logits(texts), expected, atol=1e-5)


def test_gradients_equal_those_of_transformers(pair):
    model, network = pair
    network.prepare_training(TrainingConfig(), 10)
    for texts in BATCHES:
        model.zero_grad()
        torch.nn.functional.cross_entropy(
            of_transformers(model, texts), texts.labels, reduction="sum"
        ).backward()
        found = learn(network, texts)
        expected = dict(model.named_parameters())
        assert found.keys() == expected.keys()
        for name, parameter in expected.items():
            bound = 1e-4 * parameter.grad.abs().max().item() + 1e-6
            assert torch.allclose(found[name], parameter.grad, atol=bound), name


@pytest.mark.parametrize("hardware", [FP32, BF16], ids=["fp32", "bf16"])
def test_the_parts_of_a_batch_have_together_its_gradients(tmp_path, hardware):
    make(tmp_path / "model", "bert")
    network = load(tmp_path / "model", hardware)
    network.prepare_training(TrainingConfig(), 10)
    first, second, whole = batch([9, 4], 1), batch([9, 2], 2), batch([9, 4, 9, 2])
    whole.ids[:2], whole.ids[2:] = first.ids, second.ids
    whole.labels[:2], whole.labels[2:] = first.labels, second.labels
    expected, found = learn(network, whole), learn(network, first, second)
    for name, value in expected.items():
        bound = (1e-5 if hardware is FP32 else 3e-2) * value.abs().max().item() + 1e-6
        assert torch.allclose(found[name].float(), value.float(), atol=bound), name


def test_states_are_those_of_transformers(pair):
    model, network = pair
    texts = BATCHES[0]
    mask = (~texts.padding).long()
    with torch.no_grad():
        given = model.base_model(input_ids=texts.ids, attention_mask=mask, output_hidden_states=True)
    kept = mask[:, :, None]
    expected = [(state * kept).sum(dim=1) / kept.sum(dim=1) for state in given.hidden_states[-2:]]
    found = network.mean_states(texts, 2)
    assert torch.allclose(found, torch.stack(expected, dim=1), atol=1e-5)


class Words:
    """A tokenizer of random texts: numbers in, numbers out."""

    max_length, padding_id = 40, 1

    def encode(self, texts):
        return list(texts), 0


@pytest.fixture
def dataset():
    random = np.random.default_rng(0)
    texts = [random.integers(5, 90, size=size).tolist() for size in random.integers(1, 40, size=22)]
    return encode(texts, random.integers(3, size=22).tolist(), Words())


def make_stepper(folder, dataset, recorded=True, config=CONFIG):
    torch.manual_seed(3)
    network = load(folder, label2id=LABELS, seed=3)
    network._encoder._dropout = network._encoder._attention_dropout = 0.2
    stepper = Stepper(network, dataset, config, 12)
    if not recorded:
        stepper.recorded = None
    return stepper


def run(stepper, dataset, steps):
    batches = [rows for epoch in (0, 1) for rows in training_batches(dataset.lengths, 4, 1, epoch)]
    for rows in batches[stepper.steps : steps]:
        assert stepper.step(rows) is None
    return stepper


def weights(stepper):
    stepper.network._settle_all()
    return {name: value.clone() for name, value in stepper.network._views().items()}


def test_recorded_steps_are_those_of_forward_backward_and_update(tmp_path, dataset):
    make(tmp_path / "model", "bert")
    both = [run(make_stepper(tmp_path / "model", dataset, way), dataset, 12) for way in (True, False)]
    assert both[0].recorded.work.recorded
    expected = weights(both[1])
    for name, value in weights(both[0]).items():
        assert torch.allclose(value, expected[name], atol=5e-5), name
    found, right = both[0].read_and_reset(), both[1].read_and_reset()
    assert found[0] == pytest.approx(right[0], rel=1e-5) and found[1] == right[1]
    assert both[0].read_and_reset() == (0.0, 0.0)


def test_recorded_steps_go_on_from_a_checkpoint_to_the_same_weights(tmp_path, dataset):
    make(tmp_path / "model", "bert")
    whole = run(make_stepper(tmp_path / "model", dataset), dataset, 7)
    tensors = {name: value.clone() for name, value in whole.network.training_state().items()}
    values = whole.values()
    run(whole, dataset, 12)
    resumed = make_stepper(tmp_path / "model", dataset)
    resumed.network.load_training_state(tensors)
    resumed.load_values(values)
    run(resumed, dataset, 12)
    expected = weights(whole)
    for name, value in weights(resumed).items():
        assert torch.equal(value, expected[name]), name


def test_a_batch_that_is_too_large_is_computed_in_parts(tmp_path, dataset, monkeypatch):
    make(tmp_path / "model", "bert")
    stepper = run(make_stepper(tmp_path / "model", dataset), dataset, 3)
    expected = run(make_stepper(tmp_path / "model", dataset), dataset, 5)
    forward = stepper.network._encoder.forward

    def scarce(packed, training):
        if packed.shape.texts > 2:
            raise RuntimeError("CUDA out of memory")
        return forward(packed, training)

    monkeypatch.setattr(stepper.network._encoder, "forward", scarce)
    # The recordings of the first steps call the network anew here: none is replayed past the shortage.
    batches = training_batches(dataset.lengths, 4, 1, 0)
    notes = [stepper.step(rows) for rows in batches[3:5]]
    assert "parts of 2" in notes[0] and stepper.recorded is None
    assert stepper.read_and_reset()[0] == pytest.approx(expected.read_and_reset()[0], rel=0.1)


def test_a_step_that_broke_off_is_not_counted(tmp_path, dataset, monkeypatch):
    make(tmp_path / "model", "bert")
    stepper = run(make_stepper(tmp_path / "model", dataset), dataset, 3)
    recorded, before = stepper.recorded, stepper.recorded.totals.clone()
    weights_before = weights(stepper)

    def scarce(*given):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(stepper.network._encoder, "backward", scarce)
    rows = training_batches(dataset.lengths, 4, 1, 0)[3][:3]
    with pytest.raises(RuntimeError):
        recorded.run(take_texts(dataset, rows), 3, 3.0, 1e-3)
    assert torch.equal(recorded.totals, before) and before[0] > 0
    assert all(torch.equal(value, weights_before[name]) for name, value in weights(stepper).items())


def test_a_model_whose_steps_cannot_be_recorded_is_trained_step_by_step(tmp_path, dataset, monkeypatch):
    make(tmp_path / "model", "bert")
    stepper = make_stepper(tmp_path / "model", dataset)

    def refuse(work):
        raise NotRecorded("it waits for the processor")

    monkeypatch.setattr(stepper.recorded.work.recorder, "record", refuse)
    batches = [rows for epoch in (0, 1) for rows in training_batches(dataset.lengths, 4, 1, epoch)]
    notes = [note for rows in batches for note in [stepper.step(rows)] if note]
    assert len(notes) == 1 and "cannot be recorded" in notes[0]
    plain = run(make_stepper(tmp_path / "model", dataset, recorded=False), dataset, 12)
    assert all(
        torch.allclose(value, weights(plain)[name], atol=5e-5) for name, value in weights(stepper).items()
    )


def test_shapes_are_recorded_the_largest_first_and_each_once(tmp_path, dataset, monkeypatch):
    make(tmp_path / "model", "bert")
    stepper = make_stepper(tmp_path / "model", dataset)
    recorded = []
    record = stepper.recorded.work.recorder.record
    monkeypatch.setattr(
        stepper.recorded.work.recorder,
        "record",
        lambda work: (recorded.append(work.args[0].shape), record(work))[1],
    )
    lengths = dataset.lengths
    short, long = np.argsort(lengths)[:4], np.argsort(lengths)[-4:]
    for rows in (short, long, short, long, short):
        stepper.step(rows)
    assert recorded == [shape_of(lengths[long]), shape_of(lengths[short])]
    assert recorded[0].tokens > recorded[1].tokens


def test_what_is_saved_answers_alike_on_the_cpu_and_in_transformers(tmp_path, dataset):
    from transformers import AutoModelForSequenceClassification

    from core.learning.models.interface import load_finetuned

    make(tmp_path / "model", "roberta")
    stepper = run(make_stepper(tmp_path / "model", dataset), dataset, 9)
    (tmp_path / "saved").mkdir()
    stepper.network.save(tmp_path / "saved")
    texts = collate(dataset, np.arange(6))
    expected = stepper.network.logits(texts)
    assert expected.std() > 0.01
    assert torch.allclose(load_finetuned(tmp_path / "saved", FP32).logits(texts), expected, atol=1e-5)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    assert torch.allclose(of_transformers(model, texts), expected, atol=1e-5)


def test_a_shape_has_room_for_its_texts_and_there_are_few():
    random = np.random.default_rng(0)
    shapes = set()
    for _ in range(500):
        lengths = random.integers(3, 128, size=16)
        shape = shape_of(lengths)
        assert shape.texts == 16 and shape.longest >= lengths.max() and shape.longest <= 128
        assert lengths.sum() <= shape.tokens <= 1.15 * lengths.sum() + 64
        shapes.add(shape)
    assert len(shapes) < 20
    assert shape_of(np.array([3, 4]), exact=True) == PackedShape(2, 7, 16)


def test_taken_texts_are_those_of_the_data_set(dataset):
    rows = np.array([5, 0, 21])
    texts = take_texts(dataset, rows)
    assert texts.lengths.tolist() == dataset.lengths[rows].tolist()
    assert texts.ids.tolist() == [token for row in rows for token in dataset.tokens(row)]
    assert texts.labels.tolist() == dataset.labels[rows].tolist()
