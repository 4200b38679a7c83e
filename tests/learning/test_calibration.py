import json
import logging

import numpy as np
import pytest

from core.learning.evaluation.calibration import (
    FILE,
    LEAST_TEXTS,
    MOST_POINTS,
    Calibration,
    at_threshold,
    coverage,
    fit_temperature,
    forget_calibration,
    read_calibration,
    reliability,
    set_threshold,
    wilson,
    with_temperature,
    write_calibration,
)
from core.learning.evaluation.metrics import evaluate
from tests.learning.test_intervals import simulated


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_answers_too_sure_is_found(temperature):
    honest, labels = simulated(20_000, np.random.default_rng(1))
    spoilt = with_temperature(honest, 1 / temperature)
    fit = fit_temperature(spoilt, labels)
    assert fit.temperature == pytest.approx(temperature, rel=0.04)
    assert (fit.fitted_on, fit.texts, fit.reason) == ("validation", 20_000, None)
    before, after = (
        evaluate(answers, labels, list("abc"))
        for answers in (spoilt, with_temperature(spoilt, fit.temperature))
    )
    assert after.loss <= before.loss
    assert after.ece < 0.02
    assert after.confusion == before.confusion


def test_a_temperature_divides_the_logits():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 700.0, 1.0]])
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = np.exp(logits / 2.5 - logits.max(axis=1, keepdims=True) / 2.5)
    found = with_temperature(powers / powers.sum(axis=1, keepdims=True), 2.5)
    assert found == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-12)


@pytest.mark.parametrize(
    ("texts", "classes", "reason"),
    [(LEAST_TEXTS - 1, 2, "Too few validation texts: 29"), (100, 1, "all of one class")],
)
def test_too_little_to_fit_on_leaves_the_answers_alone_and_says_so(texts, classes, reason):
    probabilities = np.random.default_rng(2).dirichlet(np.ones(2), texts)
    fit = fit_temperature(probabilities, np.arange(texts) % classes)
    assert (fit.temperature, fit.fitted_on, fit.texts) == (1.0, None, texts)
    assert reason in fit.reason


def test_answers_that_are_always_right_still_have_a_finite_temperature():
    labels = np.arange(60) % 2
    sure = np.eye(2)[labels]
    fit = fit_temperature(sure, labels)
    assert 0.05 <= fit.temperature <= 20
    assert np.isfinite(with_temperature(sure, fit.temperature)).all()


def test_what_was_written_is_read(tmp_path):
    assert read_calibration(tmp_path) == Calibration()
    write_calibration(tmp_path, Calibration(1.7))
    assert set_threshold(tmp_path, 0.8) == read_calibration(tmp_path) == Calibration(1.7, 0.8)
    assert set_threshold(tmp_path, None) == read_calibration(tmp_path) == Calibration(1.7)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    forget_calibration(tmp_path)
    forget_calibration(tmp_path)
    assert read_calibration(tmp_path) == Calibration()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b"null",
        b"1.5",
        b"{}",
        b'{"temperature": NaN}',
        b'{"temperature": Infinity}',
        b'{"temperature": 0}',
        b'{"temperature": -1}',
        b'{"temperature": 1e300}',
        b'{"temperature": 1' + b"0" * 400 + b"}",
        b'{"temperature": 1' + b"0" * 5000 + b"}",
        b'{"temperature": true}',
        b'{"temperature": "2"}',
        b'{"temperature": [1.5]}',
        b"[" * 9000,
        b'{"temperature": 1.5}' + b" " * 20_000,
    ],
)
def test_a_damaged_or_hostile_file_changes_nothing_and_is_logged(tmp_path, caplog, content):
    (tmp_path / FILE).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert read_calibration(tmp_path) == Calibration()
    assert FILE in caplog.text


@pytest.mark.parametrize("threshold", ["0.5", -0.1, 1.1, True, [0.5], float("nan")])
def test_a_threshold_that_makes_no_sense_leaves_the_temperature(tmp_path, caplog, threshold):
    (tmp_path / FILE).write_text(json.dumps({"temperature": 2, "threshold": threshold}))
    assert read_calibration(tmp_path) == Calibration(2.0)
    assert "threshold" in caplog.text


def test_a_folder_in_its_place_changes_nothing(tmp_path):
    (tmp_path / FILE).mkdir()
    assert read_calibration(tmp_path) == Calibration()


ANSWERS = np.array([[0.95, 0.05], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.45, 0.55], [0.9, 0.1]])
LABELS = np.array([0, 0, 1, 0, 1, 1])


def test_reliability_has_a_row_per_bin_with_texts():
    table = reliability(ANSWERS, LABELS, bins=5)
    assert table["from"].tolist() == [0.4, 0.6, 0.8]
    assert table["to"].tolist() == [0.6, 0.8, 1.0]
    assert table["texts"].tolist() == [2, 1, 3]
    assert table["confidence"].tolist() == pytest.approx([0.575, 0.8, 0.9166667])
    assert table["accuracy"].tolist() == pytest.approx([0.5, 1.0, 2 / 3])
    assert (table["low"] < table["accuracy"]).all()
    assert table["high"].tolist()[1] == 1.0


def test_coverage_falls_as_more_confidence_is_asked_for():
    table = coverage(ANSWERS, LABELS)
    assert table["threshold"].tolist() == [0.55, 0.6, 0.8, 0.9, 0.95]
    assert table["texts"].tolist() == [6, 5, 4, 3, 1]
    assert table["coverage"].tolist() == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 1 / 6])
    assert table["accuracy"].tolist() == pytest.approx([4 / 6, 3 / 5, 3 / 4, 2 / 3, 1])
    for row in table.itertuples():
        found = at_threshold(ANSWERS, LABELS, row.threshold)
        assert (found.kept, found.coverage, found.accuracy) == (row.texts, row.coverage, row.accuracy)


def test_coverage_of_many_texts_keeps_both_ends():
    probabilities, labels = simulated(5000, np.random.default_rng(3))
    table = coverage(probabilities, labels)
    assert len(table) == MOST_POINTS
    confidence = probabilities.max(axis=1)
    assert (table["threshold"].iloc[0], table["threshold"].iloc[-1]) == (confidence.min(), confidence.max())
    assert (table["texts"].iloc[0], table["texts"].iloc[-1]) == (5000, 1)
    assert table["threshold"].is_monotonic_increasing
    assert len(coverage(probabilities[:0], labels[:0])) == 0


def test_nothing_is_kept_above_all_confidence():
    found = at_threshold(ANSWERS, LABELS, 0.99)
    assert (found.kept, found.texts, found.coverage, found.accuracy, found.interval) == (
        0,
        6,
        0.0,
        None,
        None,
    )


def test_the_interval_of_a_share_is_that_of_scipy():
    from scipy.stats import binomtest

    for hits, texts in ((0, 5), (3, 5), (5, 5), (881, 1000)):
        expected = binomtest(hits, texts).proportion_ci(method="wilson")
        low, high = wilson(np.array(hits), np.array(texts))
        assert (low, high) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))
