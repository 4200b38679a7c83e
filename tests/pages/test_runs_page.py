"""The Runs page: the table, a run's report, its answers, its threshold, and what can be done with it."""

import json
import time

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.base.formatting import percent
from core.data.quality.fixes import AppliedFix
from core.data.reading.text.records import RejectedRow
from core.data.storage.datasets import save_dataset
from core.learning.config import TrainingConfig
from core.learning.evaluation.calibration import (
    Calibration,
    at_threshold,
    read_calibration,
    write_calibration,
)
from core.runs.results import cleaning, outputs
from core.runs.results.evaluated_texts import AFTER, BEFORE, answers_of
from core.runs.results.report_file import report_of_run
from core.runs.tasks.data_checks import BASELINES
from core.runs.training import queue, states, store
from tests.pages.data_checks import make_check
from tests.pages.opening import (
    PROJECT,
    RUNS,
    button,
    button_like,
    clean,
    clean_up,
    confirm_deletion,
    labels,
    open_page,
    table_with,
    view,
    words,
)
from tests.pages.seeding import LABELS, TEMPERATURE, make_dataset, make_predictions, make_run, make_scores
from tests.tiny import tiny_splits


@pytest.fixture
def run(held):
    return make_run("finished", make_dataset(), held)


def texts(app):
    """The table of texts that is shown last."""
    return [table.value for table in app.dataframe if "text" in table.value][-1]


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def change_report(run, change):
    path = run.folder / "report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))


# What a run offers


@pytest.mark.parametrize(
    ("status", "offers"),
    [
        ("finished", ["Try it", "Take it away", "Train again", "Check its labels", "Delete"]),
        ("failed", ["Train again", "Check its labels", "Delete"]),
        ("running", ["Watch it"]),
        ("interrupted", ["Resume on Train", "Train again", "Check its labels", "Delete"]),
        ("damaged", ["Delete"]),
    ],
)
def test_a_run_offers_what_fits_its_state(status, offers, held):
    run = make_run(status, make_dataset(), held)
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert labels(app)[1:] == offers
    assert list(app.dataframe[0].value["Status"]) == [status]
    if "Train again" in offers:
        (store.find_run(run.id).folder.parents[1] / "datasets" / run.dataset_id / "dataset.json").unlink()
        assert not {"Check its labels", "Train again"} & set(labels(open_page(RUNS, run=run.id)))


@pytest.mark.parametrize(
    ("status", "offer", "title"),
    [
        ("interrupted", "Resume on Train", "Train"),
        ("finished", "Train again", "Train"),
        ("finished", "Check its labels", "Check"),
        ("finished", "Take it away", "Export"),
    ],
)
def test_a_run_leads_on(status, offer, title, held):
    run = make_run(status, make_dataset(), held, TrainingConfig(epochs=9))
    app = open_page("streamlit_app.py", page="Runs", run=run.id)
    button(app, offer).click().run()
    clean(app)
    assert app.title[0].value == title
    if offer == "Train again":
        assert app.number_input(key="setting_epochs").value == 9


def test_a_run_is_deleted_after_a_question_and_what_was_freed_is_said(run):
    app = open_page(RUNS, run=run.id)
    button(app, "Delete").click().run()
    assert run.folder.is_dir()
    confirm_deletion(app)
    clean(app)
    assert not run.folder.exists()
    assert "freed" in app.success[0].value


def test_runs_are_cleaned_up_by_age_after_a_look_at_what_would_go(held):
    data = make_dataset()
    gone = [make_run(status, data, held) for status in ("finished", "damaged")]
    kept = make_run("queued", data, held)
    app = clean_up(open_page(RUNS), 1)
    assert "No run ended more than 1 day ago" in words(app)
    app = clean_up(app, 0)
    assert sorted(table_with(app, "Size")["Status"]) == ["damaged", "finished"]
    label = button_like(app, "Delete 2 runs and free").label
    assert all(run.folder.is_dir() for run in gone)
    app = clean_up(app, 0, delete=True)
    assert [run.folder.exists() for run in (*gone, kept)] == [False, False, True]
    assert app.success[0].value == label.replace("Delete 2 runs and free", "2 runs deleted;") + " freed."


def test_a_run_that_has_been_resumed_meanwhile_is_not_deleted(held, monkeypatch):
    run = make_run("interrupted", make_dataset(), held)
    app = open_page(RUNS, run=run.id)
    button(app, "Delete").click().run()
    bytes_of = cleaning.bytes_of

    def resume_meanwhile(run):
        if states.state(run).status == "interrupted":
            queue.resume(run)
        return bytes_of(run)

    monkeypatch.setattr(cleaning, "bytes_of", resume_meanwhile)
    confirm_deletion(app)
    clean(app)
    assert "Take it out of the line" in app.error[0].value
    assert states.state(run).status == "queued"


def test_several_runs_are_chosen_in_the_table(run, held):
    make_run("finished", make_dataset(), held)
    app = open_page(RUNS)
    app.toggle(key="several").set_value(True).run()
    clean(app)
    assert button(app, "Select 2 to 8 runs").disabled


# The report


def test_a_report_shows_the_scores_of_its_file_with_intervals_and_what_to_beat(held):
    data = make_dataset()
    run = make_run("finished", data, held)
    scores = outputs.report_of(run)["test"]
    app = open_page(RUNS, run=run.id)
    shown = metrics(app)
    assert shown["Accuracy"] == f"{100 * scores['accuracy']:.1f}%"
    assert shown["Macro F1"] == f"{100 * scores['macro_f1']:.1f}%"
    assert shown["Texts"] == "90"
    assert "Baseline" not in shown
    low, high = scores["intervals"]["accuracy"]
    assert app.metric[0].delta == f"{100 * low:.1f} to {100 * high:.1f}%"
    more = table_with(app, "meaning").set_index("name")
    assert more.loc["Matthews correlation", "value"] == f"{scores['mcc']:.3f}"
    assert more.loc["Brier score", "after"] == f"{scores['calibrated']['brier']:.3f}"
    assert len(more) == 11
    make_check(data, BASELINES, "finished", held)
    app.segmented_control(key="judged").set_value("validation").run()
    shown = metrics(app)
    assert shown["Accuracy"] == f"{100 * outputs.report_of(run)['validation']['accuracy']:.1f}%"
    assert (shown["Baseline"], shown["Most common class"]) == ("88.0%", "33.3%")
    assert "the average of two simple classifiers 88.0%." in words(view(run, "Curves"))


@pytest.mark.parametrize("missing", ["collapsed", "confusion"])
def test_what_to_try_is_said_of_the_texts_that_are_shown(missing, held):
    run = make_run("finished", make_dataset(), held, form="collapsed")
    sound = make_scores(make_predictions(LABELS, 30).query("split == 'validation'"), LABELS)

    def change(report):
        report["validation"] = sound
        del (report if missing == "collapsed" else report["test"])[missing]

    change_report(run, change)
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert "100.0% of the test texts the same label, **complaint**" in app.error[0].value
    assert "lower learning rate" in app.error[0].value
    app.segmented_control(key="judged").set_value("validation").run()
    clean(app)
    assert not app.error


def test_an_older_report_shows_what_it_has_and_says_what_is_missing(held):
    run = make_run("finished", make_dataset(), held, form="old")
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert not app.metric[0].delta
    assert "Training again gives them" in words(app)
    assert "probabilities of this run were not kept" in words(view(run, "Confidence"))
    assert "true_probability" not in texts(view(run, "Mistakes"))
    report = {"test": {"accuracy": 0.75, "macro_f1": 0.5}, "validation": None, "device": "cpu"}
    (run.folder / "report.json").write_text(json.dumps(report))
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert metrics(app) == {"Accuracy": "75.0%", "Macro F1": "50.0%"}
    assert "The scores by class are damaged" in words(app)


def test_damaged_parts_of_a_report_are_left_out(run):
    def change(report):
        report |= {"calibration": "x", "collapsed": [1]}
        report["test"] |= {"intervals": {"accuracy": "x"}, "calibrated": 3, "mcc": "y"}

    change_report(run, change)
    for name in ("Report", "Confidence"):
        view(run, name)


def test_a_report_of_77_classes_is_drawn(held):
    many = tuple(f"class {i}" for i in range(77))
    run = make_run("finished", make_dataset(labels=many, per_class=4), held, labels=many)
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert len(app.dataframe[-1].value) == 77


def test_a_run_of_another_version_keeps_its_report_and_says_so(run):
    content = json.loads((run.folder / "config.json").read_text())
    content["settings"]["quantum"] = True
    (run.folder / "config.json").write_text(json.dumps(content))
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert "settings that this one lacks: quantum" in words(app)
    assert app.metric
    assert "Try it" in labels(app)


def test_the_file_is_made_when_it_is_asked_for(run, monkeypatch):
    made = []
    monkeypatch.setattr(
        "core.runs.results.report_file.report_html", lambda content: made.append(content) or ""
    )
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert not made
    assert "Report as one file (HTML)" in [b.label for b in app.get("download_button")] + labels(app)


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


def test_a_label_may_be_called_all_and_a_choice_of_another_run_is_forgotten(held):
    names = ("All", "praise")
    run = make_run("finished", make_dataset(labels=names), held, labels=names)
    app = AppTest.from_file(str(PROJECT / RUNS), default_timeout=60)
    app.query_params["run"] = run.id
    app.session_state["cell_true"] = app.session_state["cell_taken"] = "question"
    app.run()
    clean(app)
    assert len(texts(app)) == 60
    app.selectbox(key="cell_true").set_value("All").run()
    clean(app)
    assert set(texts(app)["label"]) == {"All"}


def test_mistakes_are_filtered_and_the_surest_comes_first(run):
    app = view(run, "Mistakes")
    shown = texts(app)
    assert len(shown) == len(answers_of(run, "test").mistakes())
    assert shown["confidence"].is_monotonic_decreasing
    assert (shown["true_probability"] < shown["confidence"]).all()
    app.multiselect(key="true").set_value(["praise"]).run()
    assert set(texts(app)["label"]) == {"praise"}


def test_a_bin_of_confidence_opens_its_texts_before_and_after_the_temperature(run):
    app = view(run, "Confidence")
    assert f"Temperature {TEMPERATURE:.2f}" in words(app)
    bins = answers_of(run, "test").reliability()
    for when in (AFTER, BEFORE):
        app.selectbox(key="bin_when").set_value(when).run()
        shown, last = texts(app), bins[bins["when"] == when].iloc[-1]
        assert len(shown) == last["texts"]
        assert shown["confidence"].between(last["from"], last["to"]).all()
    write_calibration(outputs.model_folder(run), Calibration(1.0))
    assert len(view(run, "Confidence").selectbox(key="bin_when").options) == 1


@pytest.mark.parametrize("name", ["Report", "Confidence", "Mistakes"])
def test_labels_that_the_data_set_does_not_know_are_no_fault(name, held):
    view(make_run("finished", make_dataset(labels=("a", "b", "c")), held), name)


@pytest.mark.parametrize("name", ["Report", "Mistakes"])
def test_answers_with_gaps_are_said_to_be_damaged(name, run):
    file = run.folder / "predictions.parquet"
    table = pd.read_parquet(file)
    table.loc[::7, "label"] = None
    table.to_parquet(file, index=False)
    assert "predictions.parquet of this run is missing, damaged" in words(view(run, name)).replace("\\", "")
    assert "Where it goes wrong" not in report_of_run(run)


# The threshold


def test_a_threshold_says_what_it_leaves_is_kept_with_the_model_and_can_be_removed(run):
    app = view(run, "Confidence")
    assert metrics(app)["Answered"] == "100.0%"
    assert button(app, "Keep this threshold").disabled
    app.slider[0].set_value(70.0).run()
    answers = answers_of(run, "test")
    found = at_threshold(answers.calibrated, answers.labels, 0.7)
    shown = metrics(app)
    assert (shown["Answered"], shown["Accuracy"]) == (percent(found.coverage), percent(found.accuracy))
    assert shown["Left to people"] == f"{90 - found.kept} texts"
    button(app, "Keep this threshold").click().run()
    clean(app)
    folder = outputs.model_folder(run)
    assert read_calibration(folder) == Calibration(TEMPERATURE, 0.7)
    assert "Kept with the model: 70.0%" in words(app)
    assert view(run, "Confidence").slider[0].value == 70.0
    button(app, "Remove it").click().run()
    clean(app)
    assert read_calibration(folder).threshold is None
    assert app.slider[0].value == 0.0
    app.slider[0].set_value(100.0).run()
    clean(app)
    assert metrics(app)["Left to people"] == "90 texts"


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


# Settings


def test_the_settings_of_a_run_tell_what_was_done_to_its_data(held):
    rejected = [RejectedRow(3, "the label is empty", "a,"), RejectedRow(4, "the label is empty", "b,")]
    done = AppliedFix("Labels written <alike>", 5, 2, time.time())
    data = save_dataset("Ten", tiny_splits(), rejected, {"file": "x.csv", "fixes": [done.facts()]})
    app = view(store.create_run(TrainingConfig(), data), "Settings")
    tables = {tuple(table.value): table.value.to_numpy().tolist() for table in app.dataframe}
    assert tables["What was done", "Rows changed", "Rows left out"] == [["Labels written <alike>", 5, 2]]
    assert tables["Why rows were left out", "Rows"] == [["the label is empty", 2]]
    app = view(store.create_run(TrainingConfig(), save_dataset("Plain", tiny_splits(), [], {})), "Settings")
    assert "Nothing was changed" in words(app) and "No row of the file was left out" in words(app)
