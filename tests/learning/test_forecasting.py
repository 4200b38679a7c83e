"""What a training will take: the arithmetic, and the measuring on a real network."""

import json
from dataclasses import asdict, replace

import pytest

from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.learning.forecasting import estimate
from core.learning.forecasting.estimate import PARTS, Measurements

CONFIG = TrainingConfig(epochs=3, batch_size=16, evaluations_per_epoch=2)
COUNTS = {"train": 1000, "validation": 100, "test": 200}
MEASURED = Measurements(
    model="bundled",
    max_length=128,
    batch_size=16,
    precision="auto",
    device="cpu",
    loading=0.5,
    libraries=1.0,
    tokenising=0.001,
    step=0.2,
    step_fixed=0.05,
    tokens=400.0,
    new_width=0.1,
    widths=8,
    scoring=0.01,
    evaluation=0.5,
    exact_scoring=0.02,
    saving=0.25,
    snapshot=1.0,
    snapshot_every=25.0,
    resting_bytes=300_000_000,
    model_bytes=300_000_000,
    peak_bytes=1_000_000_000,
    share_of_cores=0.9,
    measured=1e9,
)


def parts(measured=MEASURED, counts=COUNTS, **changes):
    return estimate.forecast(measured, replace(CONFIG, **changes), counts).parts


def test_a_training_is_the_sum_of_what_it_consists_of():
    found = estimate.forecast(MEASURED, CONFIG, COUNTS)
    assert set(found.parts) == set(PARTS)
    assert found.parts == pytest.approx(
        {
            # Training, validation and test texts, and the held-out ones once more at the end.
            "loading": 0.5 + (1000 + 2 * 100 + 200) * 0.001,
            # 63 steps an epoch; a kernel for each of eight widths.
            "steps": 3 * 63 * 0.2 + 8 * 0.1,
            "evaluations": 6 * (0.5 + 100 * 0.01),
            # Four of six evaluations find better weights.
            "keeping": 4 * 0.25,
            # 38.6 + 9 + 1 seconds, one snapshot at once and one after each 24.
            "snapshots": 3 * 1.0,
            "judging": 1.0 + 0.5 + 300 * 0.02,
        }
    )
    assert found.seconds == pytest.approx(sum(found.parts.values()))
    assert (found.memory_bytes, found.quiet, found.estimated) == (1_000_000_000, True, False)


def test_epochs_evaluations_and_texts_count():
    assert parts(epochs=6)["steps"] - parts()["steps"] == pytest.approx(3 * 63 * 0.2)
    assert parts(evaluations_per_epoch=4)["evaluations"] == pytest.approx(2 * parts()["evaluations"])
    # Not more evaluations than steps.
    few = parts(counts={"train": 20, "validation": 5, "test": 0}, evaluations_per_epoch=20)
    assert few["evaluations"] == pytest.approx(3 * 2 * (0.5 + 5 * 0.01))
    # Without validation texts nothing is scored, and the weights are kept each time.
    bare = parts(counts={"train": 1000, "validation": 0, "test": 0})
    assert (bare["evaluations"], bare["keeping"]) == (0, pytest.approx(6 * 0.25))


def test_a_measuring_that_got_few_of_the_cores_is_said_to_be_of_a_busy_machine():
    assert not estimate.forecast(replace(MEASURED, share_of_cores=0.5), CONFIG, COUNTS).quiet
    assert estimate.forecast(replace(MEASURED, share_of_cores=0.1, device="cuda"), CONFIG, COUNTS).quiet


def test_other_batches_of_the_same_model_scale_what_depends_on_the_texts():
    model = pretrained.find("bundled")
    config = replace(CONFIG, batch_size=32)
    found = estimate.estimate(MEASURED, config, COUNTS, model)
    assert found.estimated
    assert found.parts["steps"] == pytest.approx(3 * 32 * (0.05 + 2 * 0.15) + 8 * 0.1)
    assert found.memory_bytes == 300_000_000 + 300_000_000 + 2 * 400_000_000
    assert found.parts["evaluations"] == parts()["evaluations"]


def test_a_larger_model_takes_more_of_everything_in_proportion_to_its_weights():
    base, small = pretrained.find("bert-base-uncased"), parts()
    found = estimate.estimate(MEASURED, replace(CONFIG, model=base.name), COUNTS, base)
    assert found.parts["keeping"] / small["keeping"] == pytest.approx(109_482_240 / 22_713_216)
    met = (109_482_240 - 30_522 * 768) / (22_713_216 - 30_522 * 384)
    expected = 0.05 * met + 0.15 * met**0.9
    assert found.parts["steps"] == pytest.approx(3 * 63 * expected + 8 * 0.1)
    sizes = {
        one.name: estimate.estimate(MEASURED, replace(CONFIG, model=one.name), COUNTS, one)
        for one in pretrained.CATALOGUE
    }
    assert sizes["bundled"].seconds < sizes["minilm-l12"].seconds < sizes["distilbert-base-uncased"].seconds
    assert max(sizes.values(), key=lambda found: found.memory_bytes) is sizes["xlm-roberta-base"]


def test_a_model_of_unknown_size_is_not_estimated(tiny):
    assert not estimate.can_estimate(MEASURED, pretrained.find(tiny))
    assert estimate.can_estimate(replace(MEASURED, model=tiny), pretrained.find(tiny))
    assert not estimate.can_estimate(replace(MEASURED, model="local/gone"), pretrained.find("bundled"))


def test_what_is_kept_is_read_again_and_nothing_else():
    values = json.loads(json.dumps(estimate.to_dict(MEASURED)))
    assert estimate.from_dict(values) == MEASURED
    found = estimate.forecast(MEASURED, CONFIG, COUNTS)
    assert estimate.read(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"step": "fast"}, {"step": float("nan")}, {"step": True}, {"more": 1}, {"model": 3}],
)
def test_measurements_that_are_none_are_refused(change):
    with pytest.raises(ValueError):
        estimate.from_dict(estimate.to_dict(MEASURED) | change)
    with pytest.raises(ValueError):
        estimate.from_dict([change])


@pytest.mark.parametrize(
    "change", [{"parts": {}}, {"parts": dict.fromkeys(PARTS, -1)}, {"quiet": 1}, {"memory_bytes": None}]
)
def test_a_forecast_that_is_none_is_refused(change):
    with pytest.raises(ValueError):
        estimate.read(asdict(estimate.forecast(MEASURED, CONFIG, COUNTS)) | change)


def test_a_few_steps_are_measured_and_nothing_is_left_on_the_disk(tiny, splits, tmp_path):
    from core.learning.forecasting.measurement import measure

    config = TrainingConfig(model=tiny, batch_size=2, max_length=16, precision="fp32")
    found = measure(splits, config, tmp_path, lambda: False)
    assert estimate.from_dict(json.loads(json.dumps(estimate.to_dict(found)))) == found
    assert 0 < found.step_fixed <= found.step
    assert found.scoring == found.exact_scoring > 0
    # Two texts of at most eight tokens.
    assert 2 * 4 <= found.tokens <= 2 * 8
    assert found.resting_bytes <= found.peak_bytes
    assert list(tmp_path.iterdir()) == []


def test_the_measuring_gives_way(tiny, splits, tmp_path):
    from core.learning.forecasting.measurement import Disturbed, measure

    asked = []
    config = TrainingConfig(model=tiny, batch_size=2, max_length=16)
    with pytest.raises(Disturbed):
        measure(splits, config, tmp_path, lambda: asked.append(1) or len(asked) > 5)
    assert list(tmp_path.iterdir()) == []


def test_of_many_texts_a_sample_is_measured_and_the_memory_of_all_is_forecast(
    tiny, splits, tmp_path, monkeypatch
):
    from core.learning.forecasting import measurement

    config = TrainingConfig(model=tiny, batch_size=2, max_length=16, precision="fp32")
    many = replace(splits, train=splits.train.take(list(range(6)) * 20_000))
    monkeypatch.setattr(measurement, "SAMPLE", 50)
    encoded = []
    encode = measurement.TrainingSetup.encode
    monkeypatch.setattr(
        measurement.TrainingSetup,
        "encode",
        lambda self, texts: encoded.append(len(texts)) or encode(self, texts),
    )
    forecast, far_more = [], 10**12
    bytes_of_texts = measurement._bytes_of_texts

    def more_than_any_machine(number, like):
        forecast.append((number, bytes_of_texts(number, like)))
        return far_more

    # What a process really takes depends on what other tests left in it.
    monkeypatch.setattr(measurement, "_bytes_of_texts", more_than_any_machine)
    measured = measurement.measure(many, config, tmp_path, lambda: False)
    assert max(encoded) == 50
    ((number, needed),) = forecast
    assert number == 120_000 - 50
    # Texts of some six tokens of four bytes, twice, and what holds them.
    assert number * (160 + 2 * 4 * 4) < needed < number * (160 + 2 * 4 * 8)
    assert measured.peak_bytes > far_more


def test_batches_that_stand_for_all_are_spread_over_them():
    from core.learning.forecasting.measurement import _middles

    assert _middles(list(range(100)), 4) == [12, 37, 62, 87]
    assert _middles([1, 2], 8) == [1, 2]
