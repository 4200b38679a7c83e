import errno
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from core.base.disk import NoSpace
from core.base.errors import UserError
from core.learning.config import TrainingConfig
from core.learning.pretrained import resolve
from core.serving.export import onnx_export, onnx_process
from core.serving.export.onnx_export import Sample, export_onnx
from tests.tiny import TEXTS, write_tiny_model

ALL_TEXTS = [text for texts in TEXTS.values() for text in texts]
CONFIG = TrainingConfig(epochs=10, batch_size=4, learning_rate=5e-3, max_length=16, precision="fp32")


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture(scope="module")
def graph(tiny_model, tmp_path_factory) -> Path:
    """The tiny classifier as an ONNX file. Not to be changed by a test."""
    file = tmp_path_factory.mktemp("exported") / "graph.onnx"
    onnx_process.write_graph(tiny_model, file)
    return file


def classifier_of(config, folder: Path) -> Path:
    """A random classifier of an architecture that this project does not compute itself."""
    from transformers import AutoModelForSequenceClassification

    write_tiny_model(folder)
    torch.manual_seed(0)
    config.id2label, config.label2id = {0: "no", 1: "yes"}, {"no": 0, "yes": 1}
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_process_writes_both_precisions_and_says_each_step(folder, tmp_path):
    steps, labels = [], [1] * 5 + [0] * 5
    out, small = tmp_path / "model.onnx", tmp_path / "small.onnx"
    parity = export_onnx(folder, out, "fp32", Sample(ALL_TEXTS, labels), steps.append)
    assert parity.labels_equal == parity.texts > len(ALL_TEXTS)
    assert parity.largest_difference < 1e-5
    assert parity.accuracy_onnx is None
    assert len(steps) == 2
    assert not list(tmp_path.glob(".*"))
    lesser = export_onnx(folder, small, "int8", Sample(ALL_TEXTS, labels), graph=out)
    assert 0 < lesser.largest_difference < 0.2
    assert 0 <= lesser.accuracy_onnx <= 1
    assert 0.5 < lesser.accuracy_torch <= 1
    for file in (out, small):
        check_portable(file, folder)


def check_portable(file: Path, folder: Path) -> None:
    """Standard operators, no path of this machine, classes and lengths inside."""
    content = file.read_bytes()
    for path in (str(folder), "site-packages", str(Path.home()), "/work", 'File "'):
        assert path.encode() not in content
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions
    assert [part.name for part in model.graph.input] == ["input_ids", "attention_mask"]
    about = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(about["labels"]) == ["bad", "good"]
    assert (about["max_length"], about["padding_id"]) == ("16", "0")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["distilbert", "roberta", "modernbert"])
def test_other_architectures(kind, tmp_path):
    from transformers import DistilBertConfig, ModernBertConfig, RobertaConfig

    sizes = {"vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 70, "pad_token_id": 0}
    config = {
        "distilbert": lambda: DistilBertConfig(
            vocab_size=20, max_position_embeddings=70, n_layers=2, n_heads=2, dim=32, hidden_dim=64
        ),
        "roberta": lambda: RobertaConfig(**sizes),
        "modernbert": lambda: ModernBertConfig(**sizes, cls_token_id=2, sep_token_id=3, local_attention=8),
    }[kind]()
    folder = classifier_of(config, tmp_path / "model")
    onnx_process.write_graph(folder, tmp_path / "out.onnx")
    parity = onnx_process.compare(folder, tmp_path / "out.onnx", "fp32", ALL_TEXTS, None)
    assert parity.labels_equal == parity.texts


@pytest.mark.slow
def test_the_embedded_model(splits, tmp_path):
    from core.learning.hardware import Hardware
    from core.learning.models.interface import load_for_training
    from core.learning.tokenizer import TextTokenizer

    source, folder = resolve("bundled"), tmp_path / "model"
    folder.mkdir()
    load_for_training(source, splits.train.label2id, Hardware("cpu", "fp32", ""), 0).save(folder)
    TextTokenizer(source, 64).save(folder)
    parity = export_onnx(folder, tmp_path / "small.onnx", "int8", Sample(ALL_TEXTS))
    assert parity.largest_difference < 0.05
    assert (tmp_path / "small.onnx").stat().st_size < 25e6


def test_wrong_answers_leave_no_file(tiny_model, graph, tmp_path):
    model, folder = onnx.load(graph), shutil.copytree(tiny_model, tmp_path / "model")
    bias = next(part for part in model.graph.initializer if part.name.endswith("classifier.bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(np.float32([0.01, 0]), bias.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(UserError, match="within 0.0001 of torch's"):
        onnx_process.compare(folder, tmp_path / "wrong.onnx", "fp32", ALL_TEXTS, None)
    # The same, told by the process.
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="comes to its end"):
        export_onnx(folder, tmp_path / "out.onnx", "fp32", Sample(ALL_TEXTS))
    assert not (tmp_path / "out.onnx").exists()
    assert not list(tmp_path.glob(".*"))


def test_an_export_that_is_broken_off_leaves_nothing(folder, tmp_path):
    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_onnx(folder, tmp_path / "out.onnx", "fp32", Sample(ALL_TEXTS), progress=stop)
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "model"}


@pytest.mark.slow
def test_a_full_disk_is_said(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(onnx, "save", full)
    request = {"folder": folder, "out": tmp_path / "out.onnx", "scratch": tmp_path, "room": 10**6}
    request |= {"precision": "fp32", "graph": None, "texts": [], "labels": None}
    with pytest.raises(NoSpace, match="room for the ONNX file"):
        onnx_process.make(request, lambda _: None)


def test_batches_of_any_shape(graph):
    session = onnxruntime.InferenceSession(graph)
    ids, alone = np.full((3, 5), 4, dtype=np.int64), np.full((1, 2), 4, dtype=np.int64)
    mask = np.ones_like(ids)
    mask[1, 2:] = 0
    together = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    single = session.run(None, {"input_ids": alone, "attention_mask": np.ones_like(alone)})[0]
    assert np.abs(together[1] - single[0]).max() < 1e-5


def test_what_cannot_be_exported_is_said(folder, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no config.json"):
        export_onnx(tmp_path, tmp_path / "out.onnx", "fp32", Sample([]))
    monkeypatch.setattr(onnx_export, "LARGEST_WEIGHTS", 1000)
    with pytest.raises(UserError, match="at most"):
        export_onnx(folder, tmp_path / "out.onnx", "fp32", Sample([]))


def test_a_sample_reaches_from_the_shortest_to_the_longest_text():
    texts = ["x" * i for i in range(1000, 0, -1)]
    chosen = [len(texts[i]) for i in onnx_process._sample(texts, 10)]
    assert chosen[0] == 1
    assert chosen[-1] == 1000
    assert len(set(chosen)) == 10


def test_an_architecture_that_the_exporter_does_not_follow_is_said(folder, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise torch.onnx.OnnxExporterError("many lines") from ValueError("a loop over data")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(UserError, match="bert, which torch's exporter does not follow .*a loop over data"):
        onnx_process.write_graph(folder, tmp_path / "out.onnx")
