from dataclasses import replace

import numpy as np
import pytest

from core.base.errors import UserError
from core.data.labels import LabeledTexts
from core.data.splits import Splits
from core.data.storage.datasets import save_dataset
from core.serving import similar_texts
from core.serving.classifier import Classifier
from core.serving.similar_texts import find_neighbours
from tests.tiny import LABEL2ID, TEXTS, tiny_splits


@pytest.fixture
def classifier(tiny_model):
    return Classifier.load(tiny_model)


@pytest.fixture
def find(classifier, tiny_model, dataset, tmp_path, monkeypatch):
    """Finds the neighbours, and tells how often vectors were made."""
    made = []
    vectors = similar_texts._vectors
    monkeypatch.setattr(
        similar_texts, "_vectors", lambda *given: (made.append(len(given[1])), vectors(*given))[1]
    )

    def find(model=tiny_model, folder=dataset.folder):
        made.clear()
        return find_neighbours(classifier, model, folder, tmp_path / "neighbours.npz"), list(made)

    return find


def test_a_training_text_is_its_own_nearest_neighbour(find, classifier):
    found, _ = find()
    assert len(found) == found.total == 6
    for label, texts in TEXTS.items():
        for text in texts[:3]:
            nearest = found.nearest(classifier, text)
            assert len(nearest) == 5
            assert (nearest[0].text, nearest[0].label) == (text, label)
            assert nearest[0].similarity == pytest.approx(1, abs=1e-3)
            similar = [neighbour.similarity for neighbour in nearest]
            assert similar == sorted(similar, reverse=True)


def test_held_out_texts_are_no_neighbours(find, classifier):
    found, _ = find()
    assert set(found.texts) == set(tiny_splits().train.texts)


def test_they_are_kept_until_weights_or_texts_are_others(find, tiny_model, tmp_path, splits):
    assert find()[1] == [6]
    first = find()
    assert first[1] == []
    other = tmp_path / "model"
    other.mkdir()
    (other / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes() + b" ")
    assert find(other)[1] == [6]
    train = LabeledTexts(["a day", "bad work"], [1, 0], LABEL2ID)
    fewer = save_dataset("fewer", Splits(train, splits.validation, splits.test, how="by hand"), [], {})
    assert find(tiny_model, fewer.folder)[1] == [2]
    assert find()[1] == [6]
    assert find(tiny_model, save_others(splits))[1] == [6]


def save_others(splits):
    """As many training texts as before, but other ones."""
    train = replace(splits.train, texts=[f"{text} day" for text in splits.train.texts])
    return save_dataset("others", replace(splits, train=train), [], {}).folder


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x04."])
def test_a_damaged_file_is_made_anew(find, tmp_path, content):
    find()
    (tmp_path / "neighbours.npz").write_bytes(content)
    assert find()[1] == [6]
    assert find()[1] == []


def test_no_pickle_is_read(find, tmp_path):
    np.savez(tmp_path / "neighbours.npz", key=np.array({"a": 1}, dtype=object), vectors=np.zeros((6, 32)))
    assert find()[1] == [6]


def test_of_many_texts_a_sample_is_taken_that_is_always_the_same(find, monkeypatch):
    monkeypatch.setattr(similar_texts, "MOST_TEXTS", 4)
    found, made = find()
    assert (len(found), found.total, made) == (4, 6, [4])
    assert find()[0].texts == found.texts


def test_a_damaged_data_set_is_said(find, dataset):
    (dataset.folder / "splits.parquet").write_bytes(b"torn")
    with pytest.raises(UserError):
        find()


def test_progress_is_told(classifier, tiny_model, dataset, tmp_path):
    told = []
    find_neighbours(classifier, tiny_model, dataset.folder, tmp_path / "n.npz", told.append)
    assert told[-1] == 1.0
