"""What another version or a bad disk left in a report or beside it: bad parts are dropped, and no others."""

import copy
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from core.learning.config import TrainingConfig
from core.learning.evaluation.full_report import judge
from core.runs.results import outputs
from core.runs.results.report_json import sound_report
from core.runs.training import store

NAMES = ["bad", "good"]


@pytest.fixture
def report():
    random = np.random.default_rng(1)
    scores = judge(random.dirichlet(np.ones(2), 40), random.integers(0, 2, 40), NAMES, 1.5)
    return {
        "validation": None,
        "test": scores,
        "calibration": {"temperature": 1.5, "fitted_on": "validation", "texts": 40, "reason": None},
        "collapsed": {"label": "bad", "share": 1.0},
        "device": "cpu",
    }


def test_a_sound_report_stays_as_it_is(report):
    assert sound_report(report) == report
    report |= {"calibration": None, "collapsed": None}
    report["test"] |= {"auroc": None}
    del report["test"]["intervals"]["auroc"]
    assert sound_report(report) == report


def test_a_report_of_an_earlier_version_has_what_it_had(report):
    old = ("texts", "accuracy", "macro_f1", "loss", "majority_accuracy", "per_class", "confusion")
    report = {"validation": None, "test": {name: report["test"][name] for name in old}, "device": "cpu"}
    assert sound_report(report) == report


HOSTILE = [math.nan, math.inf, -2, 10**400, "0.5", [0.5], {}, True]
SCORES = (
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "weighted_f1",
    "mcc",
    "brier",
    "ece",
    "auroc",
)


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:9])
@pytest.mark.parametrize("name", SCORES)
def test_a_bad_score_is_dropped_alone(report, name, value):
    expected = copy.deepcopy(report)
    del expected["test"][name]
    report["test"][name] = value
    assert sound_report(report) == expected


@pytest.mark.parametrize(
    "value", [None, 3, [], [0.5], [0.5, math.nan], [0.6, 0.5], [0.1, 0.2, 0.3], ["0", "1"]]
)
@pytest.mark.parametrize("name", ["accuracy", "mcc", "auroc"])
def test_a_bad_interval_is_dropped_alone(report, name, value):
    expected = copy.deepcopy(report)
    del expected["test"]["intervals"][name]
    report["test"]["intervals"][name] = value
    assert sound_report(report) == expected


@pytest.mark.parametrize("value", [None, [], "x", {}, {"unknown": [0, 1]}, {"accuracy": None}])
@pytest.mark.parametrize("name", ["intervals", "calibrated"])
def test_a_part_without_anything_sound_is_not_there(report, name, value):
    expected = copy.deepcopy(report)
    del expected["test"][name]
    report["test"][name] = value
    assert sound_report(report) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calibration", [1.5]),
        ("calibration", {"temperature": 0, "fitted_on": None, "texts": 1}),
        ("calibration", {"temperature": 1.5, "fitted_on": 3, "texts": 1}),
        ("calibration", {"temperature": 1.5, "fitted_on": None, "texts": "1"}),
        ("calibration", {"temperature": 1.5, "fitted_on": None, "texts": 1, "reason": ["x"]}),
        ("collapsed", "bad"),
        ("collapsed", {"label": 1, "share": 1.0}),
        ("collapsed", {"label": "bad", "share": 7}),
    ],
)
def test_a_bad_fact_is_dropped_alone(report, name, value):
    expected = copy.deepcopy(report)
    del expected[name]
    assert sound_report(report | {name: value}) == expected


# The answers beside it


@pytest.fixture
def run(dataset):
    run = store.create_run(TrainingConfig(), dataset)
    assert outputs.classes_of(run) == NAMES
    return run


def write(run, probabilities, kind=None):
    table = pd.DataFrame(
        {"split": "test", "text": ["a", "b"], "label": "bad", "predicted": "good", "confidence": [0.6, 0.7]}
    )
    content = pa.Table.from_pandas(table, preserve_index=False)
    if probabilities is not None:
        content = content.append_column(
            "probabilities", pa.array(probabilities, kind or pa.list_(pa.float32()))
        )
    parquet.write_table(content, run.folder / "predictions.parquet")


def test_probabilities_are_read_where_there_are_any(run):
    write(run, [[0.4, 0.6], [0.3, 0.7]])
    found = np.stack(outputs.predictions_of(run)["probabilities"])
    assert (found.dtype, found.tolist()) == (np.float32, np.float32([[0.4, 0.6], [0.3, 0.7]]).tolist())
    write(run, None)
    assert list(outputs.predictions_of(run)) == ["split", "text", "label", "predicted", "confidence"]


@pytest.mark.parametrize(
    ("probabilities", "kind"),
    [
        ([[0.4, 0.6], None], None),
        ([[0.4, 0.6], [0.3]], None),
        ([[0.4, 0.6], [0.3, None]], None),
        ([[0.4], [0.3, 0.2, 0.5]], None),
        ([[0.4, 0.6, 0.0], [0.3, 0.7, 0.0]], None),
        ([[0.4, math.nan], [0.3, 0.7]], None),
        ([[0.4, math.inf], [0.3, 0.7]], None),
        ([[-0.4, 0.6], [0.3, 0.7]], None),
        ([["0.4", "x"], ["0.3", "0.7"]], pa.list_(pa.string())),
        ([[[0.4], [0.6]], [[0.3], [0.7]]], pa.list_(pa.list_(pa.float32()))),
        ([0.4, 0.6], pa.float32()),
        (["a", "b"], pa.string()),
        ([{"x": 1}, {"x": 2}], pa.struct([("x", pa.int32())])),
    ],
)
def test_damaged_probabilities_are_passed_over_alone(run, probabilities, kind):
    write(run, probabilities, kind)
    found = outputs.predictions_of(run)
    assert list(found) == ["split", "text", "label", "predicted", "confidence"]
    assert len(found) == 2


def test_without_the_classes_nobody_knows_whose_probabilities_they_are(run):
    write(run, [[0.4, 0.6], [0.3, 0.7]])
    (run.folder / "dataset" / "dataset.json").write_text(json.dumps({}))
    assert "probabilities" not in outputs.predictions_of(run)
