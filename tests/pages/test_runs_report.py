"""One run's report on the Runs page: intervals, texts behind cells and bins, confidence, the HTML file."""

import json

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.base.formatting import percent
from core.learning.evaluation.calibration import at_threshold, read_calibration, write_calibration
from core.runs.results import outputs
from core.runs.results.evaluated_texts import AFTER, BEFORE, answers_of
from core.runs.results.report_file import report_of_run
from core.runs.tasks.data_checks import BASELINES
from core.runs.training import engines
from tests.pages.data_checks import make_check
from tests.pages.seeding import LABELS, TEMPERATURE, make_dataset, make_predictions, make_run, make_scores
from tests.pages.test_pages import ATTACKS, PROJECT, RUNS, button, clean, labels, open_page, words


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)


@pytest.fixture
def run(held):
    return make_run("finished", make_dataset(), held)


def view(run, name: str):
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = name
    app.run()
    clean(app)
    return app


def texts(app):
    """The table of texts that is shown last."""
    return [table.value for table in app.dataframe if "text" in table.value][-1]


def metric(app, label: str):
    return next(metric for metric in app.metric if metric.label == label)


# Scores


def test_a_score_has_its_interval_below_it(run):
    app = open_page(RUNS, run=run.id)
    low, high = outputs.report_of(run)["test"]["intervals"]["macro_f1"]
    assert metric(app, "Macro F1").delta == f"{100 * low:.1f} to {100 * high:.1f}%"


def test_more_scores_are_those_of_the_report(run):
    app = open_page(RUNS, run=run.id)
    scores = outputs.report_of(run)["test"]
    (table,) = [table.value for table in app.dataframe if "meaning" in table.value]
    shown = table.set_index("name")
    assert shown.loc["Matthews correlation", "value"] == f"{scores['mcc']:.3f}"
    assert shown.loc["Brier score", "after"] == f"{scores['calibrated']['brier']:.3f}"
    assert len(shown) == 11


def test_the_baseline_stands_beside_when_it_is_known(run, held):
    assert "Baseline" not in {metric.label for metric in open_page(RUNS, run=run.id).metric}
    data = make_dataset()
    make_check(data, BASELINES, "finished", held)
    app = open_page(RUNS, run=make_run("finished", data, held).id)
    app.segmented_control(key="judged").set_value("validation").run()
    assert metric(app, "Baseline").value == "88.0%"
    assert metric(app, "Most common class").value == "33.3%"


def test_a_collapsed_run_is_said_with_what_to_try(held):
    run = make_run("finished", make_dataset(), held, form="collapsed")
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert "100.0% of the test texts the same label, **complaint**" in app.error[0].value
    assert "lower learning rate" in app.error[0].value


@pytest.mark.parametrize("missing", ["collapsed", "confusion"])
def test_what_to_try_is_said_of_the_texts_that_are_shown(missing, held):
    run = make_run("finished", make_dataset(), held, form="collapsed")
    report = json.loads((run.folder / "report.json").read_text())
    sound = make_scores(make_predictions(LABELS, 30).query("split == 'validation'"), LABELS)
    del (report if missing == "collapsed" else report["test"])[missing]
    (run.folder / "report.json").write_text(json.dumps(report | {"validation": sound}))
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert "100.0% of the test texts the same label" in app.error[0].value
    assert "lower learning rate" in app.error[0].value
    app.segmented_control(key="judged").set_value("validation").run()
    clean(app)
    assert not app.error


def test_an_older_report_shows_what_it_has_and_says_what_is_missing(held):
    run = make_run("finished", make_dataset(), held, form="old")
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert not metric(app, "Accuracy").delta
    assert "Training again gives them" in words(app)
    assert "probabilities of this run were not kept" in words(view(run, "Confidence"))
    assert "true_probability" not in texts(view(run, "Mistakes"))


# Texts


def test_the_texts_of_a_cell_are_chosen_by_two_boxes(run):
    app = open_page(RUNS, run=run.id)
    app.selectbox(key="cell_true").set_value("praise")
    app.selectbox(key="cell_taken").set_value("question").run()
    clean(app)
    scores = outputs.report_of(run)["test"]
    shown = texts(app)
    assert len(shown) == scores["confusion"][LABELS.index("praise")][LABELS.index("question")] > 0
    assert set(shown["label"]) == {"praise"} and set(shown["predicted"]) == {"question"}


def test_a_label_may_be_called_all(held):
    names = ("All", "praise")
    run = make_run("finished", make_dataset(labels=names), held, labels=names)
    app = open_page(RUNS, run=run.id)
    app.selectbox(key="cell_true").set_value("All").run()
    clean(app)
    assert set(texts(app)["label"]) == {"All"}


def test_another_run_begins_with_all_of_its_texts(run, held):
    other = make_run("finished", make_dataset(labels=("x", "y")), held, labels=("x", "y"))
    app = AppTest.from_file(str(PROJECT / RUNS), default_timeout=60)
    app.query_params["run"] = other.id
    app.session_state["cell_true"] = app.session_state["cell_taken"] = "praise"
    app.run()
    clean(app)
    assert len(texts(app)) == 60


def test_answers_are_read_again_only_when_they_are_others(run, monkeypatch):
    read, original = [], outputs.predictions_of
    monkeypatch.setattr(outputs, "predictions_of", lambda run: read.append(run) or original(run))
    app = view(run, "Confidence")
    app.run()
    assert len(read) == 1
    write_calibration(outputs.model_folder(run), read_calibration(outputs.model_folder(run)).__class__(2.0))
    app.run()
    clean(app)
    assert len(read) == 2
    assert "Temperature 2.00" in words(app)


def test_mistakes_have_the_true_labels_probability(run):
    shown = texts(view(run, "Mistakes"))
    answers = answers_of(run, "test")
    wrong = answers.probabilities.argmax(axis=1) != answers.labels
    expected = answers.calibrated[np.arange(90), answers.labels][wrong]
    assert sorted(shown["true_probability"]) == pytest.approx(sorted(expected))
    assert (shown["true_probability"] < shown["confidence"]).all()


def test_a_bin_of_confidence_opens_its_texts_before_and_after_the_temperature(run):
    app = view(run, "Confidence")
    assert f"Temperature {TEMPERATURE:.2f}" in words(app)
    bins = answers_of(run, "test").reliability()
    for when in (AFTER, BEFORE):
        app.selectbox(key="bin_when").set_value(when).run()
        start = app.selectbox(key="bin_start").options[0]
        shown, last = texts(app), bins[bins["when"] == when].iloc[-1]
        assert len(shown) == last["texts"], start
        assert shown["confidence"].between(last["from"], last["to"]).all()


def test_all_bins_hold_all_texts(run):
    answers = answers_of(run, "test")
    for when in (BEFORE, AFTER):
        starts = answers.reliability().query("when == @when")["from"]
        assert sum(len(answers.in_bin(start, when)) for start in starts) == 90


def test_a_temperature_of_one_has_nothing_after_it(run):
    folder = outputs.model_folder(run)
    write_calibration(folder, read_calibration(folder).__class__(1.0))
    app = view(run, "Confidence")
    assert len(app.selectbox(key="bin_when").options) == 1


# The threshold


def test_the_slider_says_what_a_threshold_leaves_and_buys(run):
    app = view(run, "Confidence")
    assert metric(app, "Answered").value == "100.0%"
    app.slider[0].set_value(70.0).run()
    clean(app)
    answers = answers_of(run, "test")
    found = at_threshold(answers.calibrated, answers.labels, 0.7)
    assert metric(app, "Answered").value == percent(found.coverage)
    assert metric(app, "Accuracy").value == percent(found.accuracy)
    assert metric(app, "Left to people").value == f"{90 - found.kept} texts"


def test_a_threshold_is_kept_with_the_model_and_can_be_removed(run):
    app = view(run, "Confidence")
    assert button(app, "Keep this threshold").disabled
    app.slider[0].set_value(70.0).run()
    button(app, "Keep this threshold").click().run()
    clean(app)
    folder = outputs.model_folder(run)
    assert read_calibration(folder).threshold == 0.7
    assert read_calibration(folder).temperature == TEMPERATURE
    assert "Kept with the model: 70.0%" in words(app)
    assert view(run, "Confidence").slider[0].value == 70.0
    button(app, "Remove it").click().run()
    clean(app)
    assert read_calibration(folder).threshold is None
    assert app.slider[0].value == 0.0


def test_a_threshold_above_all_answers_leaves_every_text(run):
    app = view(run, "Confidence")
    app.slider[0].set_value(100.0).run()
    clean(app)
    assert metric(app, "Left to people").value == "90 texts"


def test_a_threshold_that_cannot_be_written_is_said(run, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    app = view(run, "Confidence")
    app.slider[0].set_value(70.0).run()
    monkeypatch.setattr("pathlib.Path.replace", refuse)
    monkeypatch.setattr("os.replace", lambda *_: refuse(None, None))
    button(app, "Keep this threshold").click().run()
    clean(app)
    assert "could not be kept" in app.error[0].value


# Whatever is in the files


@pytest.mark.parametrize("name", ["Report", "Confidence", "Mistakes"])
def test_user_text_is_never_markdown(name, held):
    data = make_dataset("x", ATTACKS, per_class=12)
    run = make_run("finished", data, held, labels=ATTACKS, form="collapsed" if name == "Report" else "whole")
    shown = words(view(run, name))
    for attack in ATTACKS[:5]:
        assert attack not in shown


@pytest.mark.parametrize("name", ["Report", "Confidence", "Mistakes"])
def test_labels_that_the_data_set_does_not_know_are_no_fault(name, held):
    run = make_run("finished", make_dataset(labels=("a", "b", "c")), held)
    view(run, name)


@pytest.mark.parametrize("name", ["Report", "Mistakes"])
@pytest.mark.parametrize("column", ["text", "label", "predicted", "confidence"])
def test_answers_with_gaps_are_said_to_be_damaged(column, name, run):
    file = run.folder / "predictions.parquet"
    table = pd.read_parquet(file)
    table.loc[::7, column] = None
    table.to_parquet(file, index=False)
    assert "predictions.parquet of this run is missing, damaged" in words(view(run, name)).replace("\\", "")
    assert "Where it goes wrong" not in report_of_run(run)


@pytest.mark.parametrize("name", ["Report", "Confidence"])
def test_damaged_parts_of_a_report_are_left_out(name, run):
    report = json.loads((run.folder / "report.json").read_text())
    report |= {"calibration": "x", "collapsed": [1]}
    report["test"] |= {"intervals": {"accuracy": "x"}, "calibrated": 3, "mcc": "y"}
    (run.folder / "report.json").write_text(json.dumps(report))
    view(run, name)


def test_the_file_is_made_when_it_is_asked_for(run, monkeypatch):
    made = []
    monkeypatch.setattr(
        "core.runs.results.report_file.report_html", lambda content: made.append(content) or ""
    )
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert not made
    assert "Report as one file (HTML)" in [b.label for b in app.get("download_button")] + labels(app)
