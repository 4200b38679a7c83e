import math
from dataclasses import fields, replace

import pytest

from core.base.errors import UserError
from core.learning.config import SETTINGS, TUTORIAL, TrainingConfig, check, from_dict, to_dict

BOUNDED = [name for name, setting in SETTINGS.items() if setting.low > -math.inf]


def test_every_setting_is_bounded_or_chosen_or_a_name():
    chosen = {name for name, setting in SETTINGS.items() if setting.choices}
    assert {field.name for field in fields(TrainingConfig)} == {*BOUNDED, *chosen, "model", "class_weights"}
    assert all(setting.label and setting.help for setting in SETTINGS.values())


def test_defaults_and_tutorial_are_in_range():
    check(TrainingConfig())
    check(TUTORIAL)
    recipe = (TUTORIAL.learning_rate, TUTORIAL.batch_size, TUTORIAL.epochs, TUTORIAL.max_length)
    assert recipe == (2e-5, 2, 5, 128)


def test_all_problems_are_named_at_once():
    config = TrainingConfig(epochs=0, batch_size=1000, learning_rate=float("nan"), precision="int8")
    with pytest.raises(UserError) as error:
        check(config)
    for name in ("epochs", "batch_size", "learning_rate", "precision"):
        assert name in error.value.found


@pytest.mark.parametrize("name", BOUNDED)
def test_bounds_are_part_of_the_range(name):
    low, high = SETTINGS[name].low, SETTINGS[name].high
    whole = isinstance(getattr(TrainingConfig, name), int)
    for value in (low, high):
        check(replace(TrainingConfig(), **{name: int(value) if whole else float(value)}))
    for value in (low - 1, high + 1):
        with pytest.raises(UserError):
            check(replace(TrainingConfig(), **{name: int(value) if whole else float(value)}))


@pytest.mark.parametrize("values", [{"epochs": 2.5}, {"epochs": True}, {"epochs": "3"}, {"class_weights": 1}])
def test_wrong_types_are_refused(values):
    with pytest.raises(UserError):
        from_dict(values)


def test_round_trip_and_unknown_names():
    assert from_dict(to_dict(TUTORIAL)) == TUTORIAL
    with pytest.raises(UserError, match="epoch_count"):
        from_dict({"epoch_count": 3})
