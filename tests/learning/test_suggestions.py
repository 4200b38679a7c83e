import pytest

from core.learning import catalogue
from core.learning.config import check
from core.learning.suggestions import suggest


@pytest.mark.parametrize("texts", [0, 1, 500, 5_000, 1_000_000])
def test_every_suggestion_can_be_used(texts):
    for checkpoint in catalogue.CATALOGUE:
        config = suggest(checkpoint.name, texts, 2)
        check(config)
        assert config.model == checkpoint.name


def test_few_texts_are_seen_more_often_and_in_larger_steps():
    many, few, rare = (
        suggest("bundled", 20_000, 2),
        suggest("bundled", 500, 2),
        suggest("bundled", 10_000, 77),
    )
    assert few.epochs > many.epochs
    assert few.learning_rate == rare.learning_rate > many.learning_rate
    assert rare.epochs == many.epochs


def test_large_models_take_smaller_steps():
    assert suggest("bert-base-uncased", 5_000, 2).learning_rate < suggest("bundled", 5_000, 2).learning_rate
