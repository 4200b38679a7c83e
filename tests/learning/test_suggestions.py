import pytest

from core.learning import pretrained
from core.learning.config import check
from core.learning.suggestions import suggest


@pytest.mark.parametrize("texts", [0, 1, 500, 5_000, 1_000_000])
def test_every_suggestion_can_be_used(texts):
    for checkpoint in pretrained.CATALOGUE:
        config = suggest(checkpoint.name, texts, 2)
        check(config)
        assert config.model == checkpoint.name


def test_few_texts_are_seen_more_often():
    assert suggest("bundled", 500, 2).epochs > suggest("bundled", 20_000, 2).epochs == 3


def test_few_texts_of_each_class_are_seen_more_often():
    assert suggest("bundled", 3_000, 77).epochs > suggest("bundled", 3_000, 2).epochs


def test_many_classes_and_very_few_texts_take_larger_steps():
    usual = suggest("bundled", 3_000, 6).learning_rate
    assert usual == suggest("bundled", 500, 6).learning_rate
    assert suggest("bundled", 10_000, 77).learning_rate == suggest("bundled", 200, 2).learning_rate > usual


def test_large_models_take_smaller_steps():
    assert suggest("bert-base-uncased", 5_000, 2).learning_rate < suggest("bundled", 5_000, 2).learning_rate
