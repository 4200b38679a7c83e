import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import torch

from core.base.errors import UserError
from core.learning.batching import EncodedDataset, encode
from core.learning.evaluation.calibration import Calibration, with_temperature, write_calibration
from core.learning.evaluation.inference import predict_probabilities, predict_swiftly
from core.learning.hardware import Hardware
from core.learning.models.interface import load_finetuned
from core.learning.tokenizer import TextTokenizer
from core.serving import classifier as module
from core.serving.classifier import Classifier
from tests.tiny import TEXTS

WORDS = sorted({word for texts in TEXTS.values() for text in texts for word in text.split()})
MANY = [" ".join(words) for words in product(WORDS, repeat=2)]


@pytest.fixture
def short(tiny_model) -> Classifier:
    """In bfloat16, whether this processor has it or not."""
    return Classifier(load_finetuned(tiny_model, Hardware("cpu", "bf16", "test")), TextTokenizer(tiny_model))


def encoded(classifier: Classifier, texts: list[str]):
    return encode(texts, [0] * len(texts), classifier.tokenizer)


def test_float32_is_computed_with_the_same_weights_and_leaves_the_short_format(short, tiny_model):
    dataset = encoded(short, MANY)
    before = predict_probabilities(short.network, dataset)
    exact = predict_probabilities(short.network.exact(), dataset)
    alone = load_finetuned(tiny_model, Hardware("cpu", "fp32", "test"))
    assert np.array_equal(exact, predict_probabilities(alone, dataset))
    assert not np.array_equal(exact, before)
    assert np.array_equal(before, predict_probabilities(short.network, dataset))
    assert alone.exact() is alone


class Rounding:
    """A network whose short format moves a third of the gaps across zero."""

    names, part_tokens, device = ["a", "b", "c"], None, "cpu"

    def __init__(self, precision: str, asked: list[int]) -> None:
        self.precision = precision
        self.asked = asked

    def exact(self) -> "Rounding":
        return Rounding("fp32", self.asked)

    def logits(self, batch) -> torch.Tensor:
        gap = (batch.ids[:, 0] - 500) / 1000 + 0.0005
        if self.precision == "fp32":
            self.asked += batch.ids[:, 0].tolist()
        else:
            gap = gap + 0.05 * (-1.0) ** batch.ids[:, 0]
        return torch.stack([gap, torch.zeros_like(gap), torch.full_like(gap, -9.0)], dim=1)


def test_labels_that_rounding_may_change_are_those_of_float32():
    ones = np.ones(1000, dtype=np.int64)
    dataset = EncodedDataset(np.arange(1000), ones, np.arange(1000), ones, 8, 0, 0)
    asked: list[int] = []
    answers = predict_swiftly(Rounding("bf16", asked), dataset)
    exact = predict_probabilities(Rounding("fp32", []), dataset)
    assert np.array_equal(answers.argmax(axis=1), exact.argmax(axis=1))
    assert np.abs(answers - exact).max() < 0.02
    # Far fewer than all were computed again, and none of them twice.
    assert 100 < len(asked) < 200
    assert len(set(asked)) == len(asked)


def test_many_texts_get_the_labels_and_nearly_the_probabilities_of_float32(short, monkeypatch):
    monkeypatch.setattr(module, "FEW_TOKENS", 0)
    exact = predict_probabilities(short.network.exact(), encoded(short, MANY))
    answers = short.predict(MANY)
    assert answers.labels == [short.names[i] for i in exact.argmax(axis=1)]
    assert np.abs(answers.probabilities - exact).max() < 0.02
    assert not np.array_equal(answers.probabilities, exact)


def test_few_texts_are_those_of_float32_to_the_bit(short):
    exact = predict_probabilities(short.network.exact(), encoded(short, MANY[:5]))
    assert np.array_equal(short.predict(MANY[:5]).probabilities, exact)


def test_equal_texts_are_computed_once_and_slices_keep_the_order(short, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 30)
    monkeypatch.setattr(module, "FEW_TOKENS", 0)
    computed = []
    swiftly = module.predict_swiftly
    monkeypatch.setattr(
        module, "predict_swiftly", lambda *given: computed.append(len(given[1])) or swiftly(*given)
    )
    texts = MANY[:10] * 7 + MANY[:3]
    told = []
    answers = short.predict(texts, lambda done, total: told.append((done, total)))
    assert computed == [10, 10, 10]
    assert answers.labels == answers.labels[:10] * 7 + answers.labels[:3]
    assert told == sorted(told)
    assert [told[-1], told[0][1]] == [(73, 73), 73]
    assert short.predict([]).labels == []


def test_answers_are_calibrated_unless_told_otherwise(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    write_calibration(folder, Calibration(2.5, 0.7))
    raw = Classifier.load(folder, calibrated=False)
    honest = Classifier.load(folder)
    assert (raw.calibration, honest.calibration) == (Calibration(), Calibration(2.5, 0.7))
    plain, answers = raw.predict(MANY[:9]), honest.predict(MANY[:9])
    assert answers.labels == plain.labels
    assert np.allclose(answers.probabilities, with_temperature(plain.probabilities, 2.5))
    again = raw.calibrated_by(honest.calibration)
    assert np.array_equal(again.predict(MANY[:9]).probabilities, answers.probabilities)
    assert raw.calibration == Calibration()


class Overflowing(Rounding):
    """A network whose short format has no number for every tenth text."""

    def exact(self) -> "Overflowing":
        return Overflowing("fp32", self.asked)

    def logits(self, batch) -> torch.Tensor:
        found = super().logits(batch)
        if self.precision != "fp32":
            found[batch.ids[:, 0] % 20 == 0] = torch.nan
            found[batch.ids[:, 0] % 20 == 10] = torch.inf
        return found


def test_what_overflows_is_computed_in_float32():
    ones = np.ones(1000, dtype=np.int64)
    dataset = EncodedDataset(np.arange(1000), ones, np.arange(1000), ones, 8, 0, 0)
    answers = predict_swiftly(Overflowing("fp16", []), dataset)
    exact = predict_probabilities(Overflowing("fp32", []), dataset)
    assert np.array_equal(answers.argmax(axis=1), exact.argmax(axis=1))
    assert np.abs(answers - exact).max() < 0.02


def test_progress_ends_at_one_though_a_part_is_tried_again():
    class Tight(Rounding):
        def logits(self, batch) -> torch.Tensor:
            if len(batch.ids) > 16:
                raise MemoryError
            return super().logits(batch)

    ones = np.ones(100, dtype=np.int64)
    told: list[float] = []
    predict_swiftly(
        Tight("fp32", []), EncodedDataset(np.arange(100), ones, np.arange(100), ones, 8, 0, 0), told.append
    )
    assert max(told) <= 1


def test_half_a_pair_is_a_replacement_character(short):
    texts = ["good \ud800 day", "good day"]
    answers = short.predict(texts).probabilities
    assert np.array_equal(answers, short.predict(["good \ufffd day", "good day"]).probabilities)
    assert len(short.tokenizer.spans(texts[0])[0]) == len(short.tokenizer.blank(texts[0])) == 5


def test_a_lack_of_memory_is_no_damage(tiny_model, monkeypatch):
    def load(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(module, "load_finetuned", load)
    with pytest.raises(UserError, match="enough memory for loading the model"):
        Classifier.load(tiny_model)


def test_threads_that_answer_at_once_do_not_mix(short):
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(short.predict, [MANY[:50], MANY[50:90]] * 4))
    for texts, answers in zip([MANY[:50], MANY[50:90]] * 4, found, strict=True):
        assert np.allclose(answers.probabilities, short.predict(texts).probabilities, atol=1e-3)
