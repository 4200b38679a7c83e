from dataclasses import replace

import pytest

from core.learning import pretrained
from core.learning.config import check
from core.learning.suggestions import has_rare_classes, in_words, sizes_in_words, suggest


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


@pytest.mark.parametrize("advice", [None, {}, {"class_weights": False}, {"class_weights": "yes"}, 3])
def test_only_plain_advice_switches_class_weights_on(advice, dataset):
    assert not has_rare_classes(replace(dataset, source={"advice": advice}))
    assert has_rare_classes(replace(dataset, source={"advice": {"class_weights": True}}))
    uneven = replace(dataset, class_counts={"train": {"bad": 1200, "good": 5}})
    assert sizes_in_words(uneven) == "the largest class has 1,200 training texts and the smallest 5"


def test_what_is_suggested_is_said_where_something_else_was_chosen(dataset):
    found = suggest("bundled", 6, 2)
    chosen = {name: getattr(found, name) for name in ("epochs", "batch_size", "learning_rate")}
    assert in_words(found, chosen, dataset) == "Suggested for 6 texts in 2 classes and this model."
    assert in_words(found, chosen | {"epochs": 4}, dataset).endswith(
        "and this model: 10 epochs, batches of 16, learning rate 0.0002."
    )
