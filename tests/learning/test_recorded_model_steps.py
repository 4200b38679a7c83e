"""Recorded steps of transformers' models, here with the recordings' stand-in on the CPU."""

import pytest
import torch

from core.learning.batching import take_texts, training_batches
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models.recorded_model_steps import RecordedModelSteps
from core.learning.models.transformers_model import HubNetwork
from core.learning.training.step import Stepper
from tests.learning.test_cpu_bert import LABELS, make
from tests.learning.test_gpu_bert import dataset  # noqa: F401 - a fixture

CONFIG = TrainingConfig(batch_size=4, learning_rate=1e-3, epochs=2, gradient_clipping=0.5)
MODERN = {
    "vocab_size": 90,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 48,
    "pad_token_id": 1,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "reference_compile": False,
}


def make_modern(folder):
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    torch.manual_seed(3)
    names = {i: name for name, i in LABELS.items()}
    config = ModernBertConfig(**MODERN, label2id=LABELS, id2label=names)
    ModernBertForSequenceClassification(config).save_pretrained(folder)


@pytest.fixture(params=["roberta", "modernbert"])
def folder(request, tmp_path):
    path = tmp_path / "model"
    make_modern(path) if request.param == "modernbert" else make(path, request.param)
    return path


def make_stepper(folder, dataset, recorded):  # noqa: F811
    torch.manual_seed(3)
    network = HubNetwork(folder, Hardware("cpu", "fp32", "test"), LABELS)
    stepper = Stepper(network, dataset, CONFIG, 12)
    assert stepper.recorded is None
    if recorded:
        stepper.recorded = RecordedModelSteps(network, stepper.class_weights, CONFIG.gradient_clipping)
    return stepper


def test_recorded_steps_are_those_of_forward_backward_and_update(folder, dataset):  # noqa: F811
    batches = [rows for epoch in (0, 1) for rows in training_batches(dataset.lengths, 4, 1, epoch)]
    both = [make_stepper(folder, dataset, way) for way in (True, False)]
    start = {name: value.clone() for name, value in both[0].network._weights().items()}
    for stepper in both:
        assert [stepper.step(rows) for rows in batches] == [None] * 12
    assert both[0].recorded.work.recorded
    expected = both[1].network._weights()
    for name, value in both[0].network._weights().items():
        assert torch.allclose(value, expected[name], atol=5e-5), name
    assert any(not torch.allclose(value, start[name], atol=1e-3) for name, value in expected.items())
    found, right = both[0].read_and_reset(), both[1].read_and_reset()
    assert found[0] == pytest.approx(right[0], rel=1e-5) and found[1] == right[1]


def test_padding_is_the_models_own(folder, dataset):  # noqa: F811
    stepper = make_stepper(folder, dataset, recorded=True)
    rows = training_batches(dataset.lengths, 4, 1, 0)[0]
    seen = []
    learn = stepper.network.learn
    stepper.network.learn = lambda inputs, *rest: (seen.append(inputs), learn(inputs, *rest))
    stepper.step(rows)
    ids, mask = seen[0]["input_ids"], seen[0]["attention_mask"].bool()
    assert (ids[~mask] == 1).all() and ids.shape[1] % 16 == 0
    assert mask.sum(dim=1).tolist() == take_texts(dataset, rows).lengths.tolist()
