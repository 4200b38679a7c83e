"""Every page, in every state, as a person meets it. AppTest runs a page without a server."""

import ast
import io
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from core.base.errors import UserError
from core.base.formatting import duration
from core.base.home import home
from core.charts.curves import loss_curves
from core.data.reading.streaming import read_beginning
from core.data.storage.datasets import list_datasets, load_splits
from core.data.storage.sample import read_sample
from core.data.storage.uploads import delete_upload, keep_upload
from core.learning.config import TUTORIAL, TrainingConfig
from core.learning.evaluation.calibration import Calibration
from core.learning.suggestions import suggest
from core.runs.jobs import job, process, spawning
from core.runs.jobs.job import Job
from core.runs.results import cleaning, outputs
from core.runs.tasks import labelling_work, labellings
from core.runs.training import engines, queue, run_events, states, stop_requests, store
from core.runs.training.events import EventLog
from core.runs.training.run import own_dataset
from pages.ui.feedback import STATUS
from tests.jobs import Asleep, start_none
from tests.pages.seeding import LABELS, STATUSES, make_dataset, make_run, write_result

PROJECT = Path(__file__).resolve().parents[2]
DATA, TRAIN, RUNS, PREDICT, EXPORT = (
    f"pages/{name}.py" for name in ("1_Data", "2_Train", "3_Runs", "4_Predict", "6_Export")
)
HOSTILE_IDS = ("../../etc/passwd", "x" * 10_000, "ünïcödé ✓", "", "A" * 22, "%2e%2e%2f", "<script>")
ATTACKS = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "$\\alpha$",
    ":red[x]",
    "![](http://a.example/x.png)",
    "مرحبا بالعالم",
    "a very long label " * 12,
)


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    start_none(monkeypatch)
    facts = {"device": "cpu", "precision": "fp32", "reason": "it is the only one here"}
    monkeypatch.setattr(engines, "describe_hardware", lambda: facts)


@pytest.fixture
def classifier(monkeypatch):
    """Answers by the last word of a text; the real one is tested where it lives."""

    def predict(texts, progress=lambda done, total: None):
        numbers = [LABELS.index(text.split()[-1]) if text.split()[-1] in LABELS else 0 for text in texts]
        progress(len(texts), len(texts))
        probabilities = np.full((len(texts), 3), 0.1)
        probabilities[range(len(texts)), numbers] = 0.8
        labels = [LABELS[number] for number in numbers]
        return SimpleNamespace(
            labels=labels,
            probabilities=probabilities,
            names=list(LABELS),
            confidence=probabilities.max(axis=1),
        )

    from core.serving.classifier import Classifier

    def spans(text):
        return [], [found.span() for found in re.finditer(r"\S+", text)]

    fake = SimpleNamespace(predict=predict, names=list(LABELS), tokenizer=SimpleNamespace(spans=spans))
    fake.calibrated_by = lambda calibration: fake
    fake.calibration = Calibration()
    monkeypatch.setattr(Classifier, "load", lambda folder, calibrated=True: fake)


def open_page(file: str, /, **params: str) -> AppTest:
    app = AppTest.from_file(str(PROJECT / file), default_timeout=60)
    app.query_params.update(params)
    return app.run()


def table_with(app, column: str) -> pd.DataFrame:
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def words(app: AppTest) -> str:
    """Everything that the page says, as it is sent to the browser."""
    kinds = (
        "title",
        "subheader",
        "markdown",
        "caption",
        "text",
        "error",
        "warning",
        "info",
        "success",
        "code",
    )
    return "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))


def button(app: AppTest, label: str):
    return next(button for button in app.button if button.label == label)


def button_like(app: AppTest, beginning: str):
    return next(button for button in app.button if button.label.startswith(beginning))


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def confirm_deletion(app: AppTest) -> None:
    # A browser would rerun the dialog alone; here the button that opens it is pressed again with it.
    button(app, "Delete").click()
    button_like(app, "Delete it and free").click().run()


def clean(app: AppTest) -> None:
    assert not app.exception, app.exception[0].message


def upload(content: bytes | str, name: str = "table.csv") -> str:
    return keep_upload(name, content.encode() if isinstance(content, str) else content).id


# Every page, opened alone


EMPTY = [
    (DATA, "Teach a classifier", "Try the sample"),
    (TRAIN, "needs a data set", "Go to Data"),
    (RUNS, "There is none yet", "Train a model"),
    (PREDICT, "No training has finished yet", "Train a model"),
    (EXPORT, "No training has finished yet", "Train a model"),
]


@pytest.mark.parametrize(("file", "teaches", "next_step"), EMPTY, ids=lambda value: str(value)[:20])
def test_an_empty_page_teaches_and_has_one_next_step(file, teaches, next_step):
    app = open_page(file)
    clean(app)
    assert teaches in words(app)
    assert [button.label for button in app.button if button.proto.type == "primary"] == [next_step]


@pytest.mark.parametrize("file", [DATA, TRAIN, RUNS, PREDICT, EXPORT])
def test_a_page_opens_with_a_data_set_and_runs_in_every_state(file, held):
    data = make_dataset()
    for status in STATUSES:
        make_run(status, data, held)
    app = open_page(file)
    clean(app)
    assert app.title[0].value


@pytest.mark.parametrize(
    ("file", "param"),
    [
        (DATA, "upload"),
        (DATA, "saved"),
        (TRAIN, "run"),
        (TRAIN, "dataset"),
        (RUNS, "run"),
        (PREDICT, "run"),
        (PREDICT, "file"),
        (EXPORT, "run"),
    ],
)
@pytest.mark.parametrize("id", HOSTILE_IDS, ids=lambda id: repr(id)[:12])
def test_a_hostile_id_in_a_link_is_answered_with_words(file, param, id, held):
    make_run("finished", make_dataset(), held)
    app = open_page(file, **{param: id})
    clean(app)
    assert app.title[0].value
    assert "<script>" not in words(app)


@pytest.mark.parametrize("status", STATUSES)
def test_train_and_runs_say_what_state_a_run_is_in(status, held):
    run = make_run(status, make_dataset(), held)
    for file in (TRAIN, RUNS):
        app = open_page(file, run=run.id)
        clean(app)
        assert f"[{STATUS[status].icon} {STATUS[status].words}]" in words(app)


@pytest.mark.parametrize("file", [DATA, TRAIN, RUNS, PREDICT, EXPORT])
def test_user_text_is_never_markdown(file, held):
    data = make_dataset(ATTACKS[0] + ATTACKS[3], ATTACKS, per_class=12)
    run = make_run("finished", data, held, labels=ATTACKS, log="\n".join(ATTACKS))
    app = open_page(file, run=run.id, saved=data.id)
    clean(app)
    kinds = ("markdown", "caption", "error", "warning", "info", "success", "subheader", "title")
    shown = "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))
    for attack in ATTACKS[:5]:
        assert attack not in shown


@pytest.mark.process
@pytest.mark.parametrize("file", [DATA, TRAIN, RUNS, PREDICT, EXPORT])
def test_a_page_opens_without_torch_and_transformers(file, textuner_home):
    check = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        f"app = AppTest.from_file({str(PROJECT / file)!r}, default_timeout=60).run(); "
        "assert not app.exception and app.title[0].value; "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("link", "title"),
    [({"run": "x"}, "Train"), ({"page": "Runs"}, "Runs"), ({"page": "../x"}, "Teach"), ({}, "Teach")],
)
def test_the_router_leads_a_link_to_its_page(link, title):
    app = open_page("streamlit_app.py", **link)
    clean(app)
    assert app.title[0].value.startswith(title)


@pytest.mark.parametrize("file", ["streamlit_app.py", DATA, TRAIN, RUNS, PREDICT, EXPORT])
def test_no_text_stands_alone_in_a_page_as_streamlit_would_show_it(file):
    _, *statements = ast.parse((PROJECT / file).read_text(encoding="utf-8")).body
    alone = [
        node.lineno
        for node in statements
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)
    ]
    assert alone == []


# Data


def test_the_sample_goes_from_one_click_to_a_saved_data_set_and_on_to_train():
    app = open_page("streamlit_app.py")
    button(app, "Try the sample").click().run()
    assert "**300 texts** in **3 classes**, no row left out." in words(app)
    button(app, "Save").click().run()
    (saved,) = list_datasets()
    assert saved.name == "sample"
    assert saved.counts == {"train": 240, "validation": 30, "test": 30}
    button(app, "Train on it").click().run()
    clean(app)
    assert app.title[0].value == "Train"
    assert app.query_params["dataset"] == saved.id


def test_an_uploaded_file_is_copied_out_and_read(textuner_home):
    app = open_page(DATA)
    app.file_uploader[0].upload("reviews.csv", read_sample()).run()
    clean(app)
    assert "reviews.csv" in words(app)
    assert len(list((textuner_home / "uploads").iterdir())) == 1
    assert not app.file_uploader


REFUSED = {
    "a pdf": (b"%PDF-1.7 rest", "PDF"),
    "nothing": (b"", "empty"),
    "one column": ("text\nhello\nworld\n", "one column"),
    "no rows": ("text,label\n", "row"),
    "no labels": ("text,label\nhello,\nworld,\n", "the label is empty"),
    "empty texts": ("text,label\n,a\n ,b\n", "the text is empty"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_without_use_is_refused_with_a_reason_and_a_remedy(kind):
    content, reason = REFUSED[kind]
    app = open_page(DATA, upload=upload(content))
    clean(app)
    assert reason in app.error[0].value.replace("\\", "")
    assert "**What to do:**" in app.error[0].value
    assert "Save" not in labels(app)
    assert "Choose another file" in labels(app)


def test_an_error_in_the_data_blocks_saving():
    rows = "\n".join(f"text number {i},label {i}" for i in range(60))
    app = open_page(DATA, upload=upload(f"text,label\n{rows}\n"))
    clean(app)
    assert app.error
    assert button(app, "Save").disabled


def test_every_row_left_out_is_counted_and_shown():
    rows = "".join(f"words {i},{'ab'[i % 2]}\n" for i in range(40))
    app = open_page(DATA, upload=upload(f"text,label\n{rows},a\nno label here,\n"))
    clean(app)
    assert "**2 rows** left out" in words(app)
    left_out = next(table.value for table in app.dataframe if "Why" in table.value)
    assert list(left_out["Line"]) == [42, 43]


def test_columns_can_be_chosen_and_joined():
    rows = "".join(f"head {i},body {i},{'ab'[i % 2]}\n" for i in range(40))
    app = open_page(DATA, upload=upload(f"title,text,label\n{rows}"))
    app.multiselect[0].set_value(["title", "text"]).run()
    button(app, "Save").click().run()
    (saved,) = list_datasets()
    assert saved.source["text"] == ["title", "text"]
    app = open_page(DATA, upload=upload(f"title,text,label\n{rows}"))
    app.multiselect[0].set_value([]).run()
    assert "none chosen for the text" in app.error[0].value


def test_a_split_column_is_offered_and_used():
    parts = ("train",) * 6 + ("dev",) * 2 + ("test",) * 2
    rows = "".join(f"words {i},{'ab'[i % 2]},{parts[i % 10]}\n" for i in range(60))
    app = open_page(DATA, upload=upload(f"text,label,split\n{rows}"))
    app.segmented_control[0].set_value("A split column").run()
    clean(app)
    button(app, "Save").click().run()
    assert list_datasets()[0].counts == {"train": 36, "validation": 12, "test": 12}


def test_own_test_file_becomes_the_test_texts_and_unknown_labels_are_counted():
    rows = "".join(f"words {i},{'ab'[i % 2]}\n" for i in range(60))
    test = upload("text,label\nanother text,a\none more text,b\na stranger,c\n", "test.csv")
    app = open_page(DATA, upload=upload(f"text,label\n{rows}"), test=test)
    app.segmented_control[0].set_value("Own files").run()
    clean(app)
    assert "**1 row** left out" in words(app)
    button(app, "Save").click().run()
    assert list_datasets()[0].counts["test"] == 2


def test_a_saved_data_set_is_deleted_after_a_question():
    data = make_dataset("Old letters")
    app = open_page(DATA)
    select_first_dataset(app, data.id)
    button(app, "Delete").click().run()
    assert list_datasets()[0].id == data.id
    assert "keep their own copy" in words(app)
    freed = button_like(app, "Delete it and free").label.removeprefix("Delete it and free ")
    confirm_deletion(app)
    clean(app)
    assert not list_datasets()
    assert app.success[0].value == f"1 data set deleted; {freed} freed."


def select_first_dataset(app: AppTest, id: str, among: int = 1) -> None:
    app.session_state[f"datasets_{among}_{id}"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()


def test_a_damaged_data_set_is_listed_with_its_reason_and_can_only_be_deleted():
    data = make_dataset("Old letters")
    (data.folder / "dataset.json").write_text("{ torn")
    app = open_page(DATA)
    assert list(app.dataframe[-1].value["Name"]) == ["(cannot be read)"]
    select_first_dataset(app, data.id)
    assert "dataset" in app.error[0].value
    assert "Train on the selected one" not in labels(app)
    button(app, "Delete").click().run()
    confirm_deletion(app)
    clean(app)
    assert not data.folder.exists()


def clean_up(app: AppTest, days: int, delete: bool = False) -> AppTest:
    # A browser would rerun the dialog alone; here the button that opens it is pressed with each run.
    button(app, "Clean up").click().run()
    button(app, "Clean up").click()
    app.number_input(key="old_days").set_value(days).run()
    if delete:
        button(app, "Clean up").click()
        button_like(app, "Delete ").click().run()
    clean(app)
    return app


def test_data_sets_are_cleaned_up_by_age_after_a_look_at_what_would_go(held):
    data = make_dataset("Letters")
    run = make_run("finished", data, held)
    app = clean_up(open_page(DATA), 1)
    assert "No data set was saved more than 1 day ago" in words(app)
    app = clean_up(app, 0)
    (shown,) = [table.value for table in app.dataframe if "Size" in table.value]
    assert list(shown["Name"]) == ["Letters"]
    label = button_like(app, "Delete 1 data set and free").label
    assert data.folder.is_dir()
    app = clean_up(app, 0, delete=True)
    assert not data.folder.exists()
    freed = label.removeprefix("Delete 1 data set and free ")
    assert app.success[0].value == f"1 data set deleted; {freed} freed."
    assert own_dataset(run).counts == data.counts


# Train


def test_start_submits_exactly_the_settings_on_the_page():
    data = make_dataset()
    app = open_page(TRAIN, dataset=data.id)
    app.number_input(key="setting_epochs").set_value(7)
    app.toggle(key="setting_class_weights").set_value(True)
    app.selectbox(key="setting_schedule").set_value("cosine").run()
    button(app, "Start").click().run()
    clean(app)
    (run,) = store.list_runs()
    start = suggest("bundled", data.counts["train"], len(data.label2id))
    assert run.config == replace(start, epochs=7, class_weights=True, schedule="cosine")
    assert run.dataset_id == data.id
    assert app.query_params["run"] == run.id


def test_the_tutorials_settings_are_one_click():
    make_dataset()
    app = open_page(TRAIN)
    button(app, "As in the tutorial").click().run()
    button(app, "Start").click().run()
    assert store.list_runs()[0].config == TUTORIAL


def test_the_sidebar_starts_from_what_suits_the_data_and_leaves_what_a_person_chose(monkeypatch):
    few, many = make_dataset("Few"), make_dataset("Many")
    counts = {few.id: 100, many.id: 50_000}

    def listed():
        return [replace(data, counts=data.counts | {"train": counts[data.id]}) for data in list_datasets()]

    monkeypatch.setattr("core.data.storage.datasets.list_datasets", listed)
    app = open_page(TRAIN, dataset=few.id)
    assert app.number_input(key="setting_epochs").value == suggest("bundled", 100, 3).epochs == 10
    assert "Suggested for 100 texts in 3 classes and this model." in words(app)
    app.number_input(key="setting_epochs").set_value(4).run()
    assert "and this model: 10 epochs, batches of 16, learning rate 0.0002." in words(app)
    app.selectbox[0].set_value(many.id).run()
    clean(app)
    assert app.number_input(key="setting_epochs").value == 4
    assert app.number_input(key="setting_learning_rate").value == 1e-4
    button(app, "Suggested").click().run()
    assert app.number_input(key="setting_epochs").value == suggest("bundled", 50_000, 3).epochs == 3


def test_all_settings_out_of_range_are_named_at_once_and_block_the_start():
    make_dataset()
    app = open_page(TRAIN)
    app.number_input(key="setting_epochs").set_value(0)
    app.number_input(key="setting_learning_rate").set_value(3.0)
    app.number_input(key="setting_warmup").set_value(0.9).run()
    clean(app)
    said = app.error[0].value.replace("\\", "")
    assert all(name in said for name in ("epochs", "learning_rate", "warmup"))
    assert button(app, "Start").disabled
    assert not store.list_runs()


def test_without_a_link_the_run_at_work_is_shown(held):
    data = make_dataset()
    make_run("finished", data, held)
    make_run("running", data, held)
    make_run("failed", data, held)
    app = open_page(TRAIN)
    assert "[:material/play_circle: running]" in words(app)


def test_a_running_run_shows_step_epoch_time_left_and_speed(held):
    run = make_run("running", make_dataset(), held)
    app = open_page(TRAIN, run=run.id)
    (bar,) = app.get("progress")
    assert bar.text == "Step 30 of 60 · epoch 1.5 of 3 · 39 s left · 84 texts per second"
    assert bar.value == 50
    assert "Stop" in labels(app)
    assert any(code.value.endswith(f"/?run={run.id}") for code in app.code)


def test_stop_asks_the_run_to_stop(held):
    run = make_run("running", make_dataset(), held)
    app = open_page(TRAIN, run=run.id)
    button(app, "Stop").click().run()
    assert states.state(run).status == "stopping"


def test_waiting_runs_show_their_place(held):
    data = make_dataset()
    make_run("queued", data, held)
    second = make_run("queued", data, held)
    app = open_page(TRAIN, run=second.id)
    assert "Place 2 in line" in app.info[0].value
    assert "Waiting in line" in words(app)


@pytest.mark.parametrize(
    ("status", "offers"),
    [
        ("finished", ["Judge it", "Try it"]),
        ("stopped", ["Judge it", "Try it", "Start again with these settings"]),
        ("failed", ["Start again with these settings"]),
        ("interrupted", ["Resume", "Start again with these settings"]),
        ("damaged", ["Open it under Runs"]),
    ],
)
def test_an_ended_run_offers_what_to_do_next(status, offers, held):
    run = make_run(status, make_dataset(), held)
    app = open_page(TRAIN, run=run.id)
    in_main = [button.label for button in app.main.button]
    assert in_main == offers
    reason = states.state(run).reason
    assert not reason or reason.split(";")[0] in words(app).replace("\\", "").replace("\u2060", "")


def test_starting_again_takes_the_same_settings_and_data(held):
    failed = make_run("failed", make_dataset(), held, TrainingConfig(epochs=9))
    app = open_page(TRAIN, run=failed.id)
    button(app, "Start again with these settings").click().run()
    clean(app)
    newest = store.list_runs()[0]
    assert newest.id != failed.id
    assert newest.config == failed.config


def test_a_run_without_room_on_the_disk_can_be_resumed(held):
    run = make_run("running", make_dataset(), held)
    held.close()
    with EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "failed", "reason": "No room.", "remedy": "Make room.", "resumable": True})
    app = open_page(TRAIN, run=run.id)
    assert [b.label for b in app.main.button] == ["Resume", "Start again with these settings"]
    button(app, "Resume").click().run()
    clean(app)
    assert states.state(run).status == "queued"


def test_a_run_that_ran_out_of_memory_starts_again_with_smaller_batches(held):
    run = make_run("interrupted", make_dataset(), held, TrainingConfig(batch_size=16))
    with EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "interrupted", "reason": "Memory.", "remedy": "Smaller.", "smaller_batch": 8})
    app = open_page(TRAIN, run=run.id)
    offers = [
        "Start again with batches of 8",
        "Resume as it is",
        "Start again with these settings",
    ]
    assert [b.label for b in app.main.button] == offers
    button(app, offers[0]).click().run()
    clean(app)
    newest = store.list_runs()[0]
    assert newest.id != run.id
    assert newest.config == TrainingConfig(batch_size=8)


def test_a_run_that_is_stopping_can_be_ended_at_once(held):
    run = make_run("stopping", make_dataset(), held)
    app = open_page(TRAIN, run=run.id)
    assert not stop_requests.stop_now_asked(run)
    button(app, "End at once").click().run()
    clean(app)
    assert stop_requests.stop_now_asked(run)


@pytest.mark.parametrize("status", STATUSES)
def test_a_link_to_look_with_has_no_buttons(status, held):
    run = make_run(status, make_dataset(), held)
    make_run("queued", make_dataset(), held)
    app = open_page(TRAIN, run=run.id, view="only")
    assert not app.button
    assert not app.number_input
    assert not app.selectbox
    assert states.state(run).status == status
    assert STATUS[status].words in words(app)


def test_the_wait_is_told_from_the_run_at_work(held):
    data = make_dataset()
    running = make_run("running", data, held)
    waiting = make_run("queued", data, held)
    left = run_events.last_event(running, "step")["seconds_left"]
    assert queue.expected_wait(waiting) == left
    assert f"about {duration(left)} to wait" in open_page(TRAIN, run=waiting.id).info[0].value
    # Of the second one nothing is known: no such run has ended yet.
    behind = make_run("queued", data, held)
    assert queue.expected_wait(behind) is None
    assert "to wait" not in open_page(TRAIN, run=behind.id).info[0].value
    # Twice the epochs, twice the time.
    finished = make_run("finished", data, held, TrainingConfig(epochs=2))
    assert queue.expected_wait(behind) == left + outputs.report_of(finished)["total_seconds"] * 3 / 2


# Runs


def test_the_table_lists_every_run_with_its_scores(held):
    data = make_dataset()
    make_run("finished", data, held)
    make_run("damaged", data, held)
    app = open_page(RUNS)
    table = app.dataframe[0].value
    assert list(table["Status"]) == ["finished", "damaged"]
    assert table["Accuracy (%)"].notna().tolist() == [True, False]


def test_a_report_shows_the_scores_of_its_file(held):
    run = make_run("finished", make_dataset(), held)
    scores = outputs.report_of(run)["test"]
    app = open_page(RUNS, run=run.id)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Accuracy"] == f"{100 * scores['accuracy']:.1f}%"
    assert metrics["Macro F1"] == f"{100 * scores['macro_f1']:.1f}%"
    assert metrics["Texts"] == "90"
    app.segmented_control[0].set_value("validation").run()
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Accuracy"] == f"{100 * outputs.report_of(run)['validation']['accuracy']:.1f}%"


def test_mistakes_are_filtered_and_the_surest_comes_first(held):
    run = make_run("finished", make_dataset(), held)
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = "Mistakes"
    app.run()
    table = app.dataframe[1].value
    predictions = outputs.predictions_of(run).query("split == 'test'")
    assert len(table) == (predictions["label"] != predictions["predicted"]).sum()
    assert table["confidence"].is_monotonic_decreasing
    app.multiselect(key="true").set_value(["praise"]).run()
    assert set(app.dataframe[1].value["label"]) == {"praise"}


@pytest.mark.parametrize("view", ["Curves", "Settings"])
def test_the_other_views_open(view, held):
    run = make_run("finished", make_dataset(), held)
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = view
    clean(app.run())


def test_a_run_is_deleted_after_a_question_and_what_was_freed_is_said(held):
    run = make_run("finished", make_dataset(), held)
    app = open_page(RUNS, run=run.id)
    button(app, "Delete").click().run()
    assert run.folder.is_dir()
    confirm_deletion(app)
    clean(app)
    assert not run.folder.exists()
    assert "freed" in app.success[0].value


def test_runs_are_cleaned_up_by_age_after_a_look_at_what_would_go(held):
    data = make_dataset()
    gone = [make_run(status, data, held) for status in ("finished", "failed", "damaged", "interrupted")]
    kept = [make_run(status, data, held) for status in ("queued", "running", "stopping")]
    app = clean_up(open_page(RUNS), 1)
    assert "No run ended more than 1 day ago" in words(app)
    app = clean_up(app, 0)
    (shown,) = [table.value for table in app.dataframe if "Size" in table.value]
    assert sorted(shown["Status"]) == ["damaged", "failed", "finished", "interrupted"]
    label = button_like(app, "Delete 4 runs and free").label
    assert all(run.folder.is_dir() for run in gone)
    app = clean_up(app, 0, delete=True)
    assert [run.folder.exists() for run in gone + kept] == [False] * 4 + [True] * 3
    assert app.success[0].value == label.replace("Delete 4 runs and free", "4 runs deleted;") + " freed."


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


def test_an_interrupted_run_leads_to_where_it_is_resumed(held):
    run = make_run("interrupted", make_dataset(), held)
    app = open_page("streamlit_app.py", page="Runs", run=run.id)
    button(app, "Resume on Train").click().run()
    clean(app)
    assert app.title[0].value == "Train"
    assert "Resume" in labels(app)


def test_what_an_earlier_version_did_not_write_down_is_said_nowhere(held):
    run = make_run("finished", make_dataset(), held)
    change_settings(run, lambda settings: [settings.pop(name) for name in ("learning_rate", "warmup")])
    app = open_page(RUNS, run=run.id)
    assert pd.isna(app.dataframe[0].value["Learning rate"][0])
    assert app.dataframe[0].value["Epochs"][0] == 3
    app.session_state["view"] = "Settings"
    app.run()
    clean(app)
    tables = [table.value for table in app.dataframe if "Name" in table.value]
    shown = {row.Name: row.Value for table in tables for row in table.itertuples()}
    assert (shown["Learning rate"], shown["Warm-up (share of steps)"]) == ("not recorded", "not recorded")
    assert "learning rate" not in words(open_page(TRAIN, run=run.id))


def test_a_finished_run_with_settings_of_another_version_keeps_its_report_and_weights(held):
    run = make_run("finished", make_dataset(), held)
    change_settings(run, lambda settings: settings.update(quantum=True))
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert "settings that this one lacks: quantum" in words(app)
    assert app.metric
    assert "Try it" in labels(app)
    assert open_page(PREDICT, run=run.id).selectbox[0].value == run.id
    with pytest.raises(UserError, match="quantum"):
        queue.submit_again(store.find_run(run.id))


def test_the_server_takes_what_a_page_lets_a_person_upload(held):
    run = make_run("finished", make_dataset(), held)
    limits = [
        box.proto.max_upload_size_mb
        for app in (open_page(DATA), open_page(PREDICT, run=run.id))
        for box in app.file_uploader
    ]
    server = tomllib.loads(Path(".streamlit/config.toml").read_text())["server"]["maxUploadSize"]
    assert sorted(set(limits)) == [50, server]


@pytest.mark.parametrize(("status", "offered"), [("finished", True), ("failed", False), ("running", False)])
def test_a_run_with_weights_leads_to_its_export(status, offered, held):
    app = open_page(RUNS, run=make_run(status, make_dataset(), held).id)
    clean(app)
    assert ("Take it away" in labels(app)) == offered


@pytest.mark.parametrize("status", ["queued", "interrupted"])
def test_an_unfinished_run_with_settings_of_another_version_is_not_trained_by_this_one(status, held):
    run = make_run(status, make_dataset(), held)
    change_settings(run, lambda settings: settings.update(quantum=True))
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert "made by another version" in words(app)
    assert store.waiting_runs() == []
    assert not states.can_resume(store.find_run(run.id))


def change_settings(run, change) -> None:
    path = run.folder / "config.json"
    content = json.loads(path.read_text())
    change(content["settings"])
    path.write_text(json.dumps(content))


def test_a_report_of_an_older_form_shows_the_scores_that_it_has(held):
    run = make_run("finished", make_dataset(), held)
    report = {"test": {"accuracy": 0.75, "macro_f1": 0.5}, "validation": None, "device": "cpu"}
    (run.folder / "report.json").write_text(json.dumps(report))
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert {metric.label: metric.value for metric in app.metric} == {"Accuracy": "75.0%", "Macro F1": "50.0%"}
    assert "The scores by class are damaged" in words(app)


@pytest.mark.parametrize(("view", "file"), [("Report", "report.json"), ("Mistakes", "predictions.parquet")])
def test_a_damaged_file_of_a_finished_run_is_named(view, file, held):
    run = make_run("finished", make_dataset(), held)
    (run.folder / file).write_bytes(b"PAR1 {")
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = view
    app.run()
    clean(app)
    assert f"The file {file} of this run is missing, damaged" in app.warning[0].value


def test_damaged_weights_are_an_error_for_people(held):
    run = make_run("finished", make_dataset(), held)
    for name in ("tokenizer.json", "config.json"):
        (run.folder / "model" / name).write_text("{}")
    app = open_page(PREDICT, run=run.id)
    app.text_area[0].set_value("a text").run()
    clean(app)
    assert "a whole model folder" in app.error[0].value


def test_a_report_of_77_classes_is_drawn(held):
    many = tuple(f"class {i}" for i in range(77))
    run = make_run("finished", make_dataset(labels=many, per_class=4), held, labels=many)
    app = open_page(RUNS, run=run.id)
    clean(app)
    assert len(app.dataframe[-1].value) == 77


# Predict


def test_a_typed_text_gets_its_label_and_probability(held, classifier):
    run = make_run("finished", make_dataset(), held)
    app = open_page(PREDICT, run=run.id)
    app.text_area[0].set_value("this is a praise").run()
    clean(app)
    assert app.subheader[0].value == "praise"
    assert "with a probability of 80.0%" in words(app)


@pytest.mark.parametrize("text", ["", "   \n"])
def test_nothing_is_said_about_no_text(text, held, classifier):
    run = make_run("finished", make_dataset(), held)
    app = open_page(PREDICT, run=run.id)
    app.text_area[0].set_value(text).run()
    clean(app)
    assert not app.subheader


def label_file(run, content: str, text: Sequence[str] = ()) -> AppTest:
    app = open_page(PREDICT, run=run.id, file=upload(content))
    app.session_state["view"] = "A file"
    app.run()
    if text:
        app.multiselect[0].set_value(list(text)).run()
    with pytest.MonkeyPatch.context() as patch:
        # The same work, here: a process of its own would not have the stand-in for the model.
        patch.setattr(process, "NICE", 0)

        def label(module: str, folder: Path, log: Path) -> type[Asleep]:
            process.do(Job(labelling_work.TASK, folder), labelling_work.work)
            return Asleep

        patch.setattr(spawning, "start_job", label)
        next(button for button in app.button if button.label.startswith("Label ")).click().run()
        app.run()
    clean(app)
    return app


def test_a_file_keeps_its_order_and_columns_and_gets_two_more(held, classifier, textuner_home):
    run = make_run("finished", make_dataset(), held)
    content = "id,text\n9,a praise\n3,\n5,a question\n"
    app = label_file(run, content)
    assert "1 row without text got no label" in words(app)
    (result,) = (textuner_home / "labellings").rglob("*.parquet")
    labeled = pd.read_parquet(result)
    original = pd.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(labeled[["id", "text"]].astype(object), original.astype(object))
    assert list(labeled["predicted_label"]) == ["praise", "", "question"]
    assert labeled["confidence"].tolist()[::2] == [0.8, 0.8]


@pytest.mark.parametrize("ending", ["stopped", "interrupted", "failed", "hopeless", "running"])
def test_a_labelling_that_has_not_ended_well_is_said_and_goes_on(ending, held, monkeypatch):
    run = make_run("finished", make_dataset(), held)
    app = open_page(PREDICT, run=run.id, file=upload("text,n\na praise,1\n"))
    app.session_state["view"] = "A file"
    app.run()
    next(button for button in app.button if button.label.startswith("Label ")).click().run()
    (folder,) = (home() / "labellings").iterdir()
    found = labellings.find(folder.name)
    if ending != "running":
        job.say_progress(found.job, done=1200, rows=5000, rate=20.0)
    if ending == "stopped":
        labellings.stop(found)
    if ending in ("failed", "hopeless"):
        job.say_failed(found.job, "![x](http://e) <b>", "Again.", resumable=ending == "failed")
    app.run()
    clean(app)
    if ending == "running":
        assert button(app, "Stop")
        assert button(app, "Choose another file").disabled
        return
    if ending == "hopeless":
        assert "Resume" not in labels(app)
        button(app, "Label it anew").click().run()
        assert button_like(app, "Label 1 row")
        assert not found.job.folder.exists()
        return
    assert "1,200 of 5,000 rows are labelled and kept" in words(app)
    button(app, "Resume").click().run()
    assert labellings.state(found).status == "running"
    # A link alone leads back to it.
    linked = open_page(PREDICT, run=run.id, file=found.plan.source.split("/")[-2], labelling=found.id)
    linked.session_state["view"] = "A file"
    clean(linked.run())
    assert button(linked, "Stop")


def test_scores_on_texts_of_the_training_are_said_to_be_too_good(held, classifier):
    dataset = make_dataset()
    run = make_run("finished", dataset, held)
    seen, unseen = (load_splits(dataset.folder).train.texts[0], "a text of somebody else")
    app = label_file(run, f"text,label\n{seen},praise\n{unseen},praise\n")
    assert "trained on the text of 1 row of this file" in words(app)
    assert [metric.label for metric in app.metric][:1] == ["Accuracy"]
    app = label_file(run, f"text,label\n{unseen},praise\n")
    assert "trained on" not in words(app)


def test_a_taken_column_name_is_said_and_another_is_used(held, classifier):
    run = make_run("finished", make_dataset(), held)
    app = label_file(run, "text,confidence\na praise,high\n")
    assert "`confidence_2`" in app.info[0].value
    assert list(app.dataframe[0].value)[:2] == ["predicted_label", "confidence_2"]


def test_hostile_columns_are_offered_and_shown_as_they_are(held, classifier):
    run = make_run("finished", make_dataset(), held)
    names = ["![x](http://e.example)<b>", "n" * 5_000, "twice", "twice", ":red[x] $a$"]
    content = ",".join(names) + "\n" + "some words of a praise,1,2,3,4\n" * 3
    app = open_page(PREDICT, run=run.id, file=upload(content))
    app.session_state["view"] = "A file"
    clean(app.run())
    options = app.multiselect[0].options
    assert options[:1] + options[2:] == [names[0], "twice", "twice_2", names[4]]
    assert max(map(len, options)) <= 80
    app.multiselect[0].set_value([names[0], names[1]]).run()
    clean(app)
    app = label_file(run, content, text=[names[0], names[1]])
    assert "3 rows labelled" in words(app)
    assert "http://e.example" not in words(app)
    assert max(map(len, words(app).split())) < 100
    shown = list(app.dataframe[0].value)[2:4]
    assert shown[0] == names[0]
    assert set(shown[1]) == {"n"}
    assert len(shown[1]) < 500


def test_a_large_file_is_labelled_without_its_rows_being_known(held, classifier, monkeypatch):
    monkeypatch.setattr(read_beginning, "__defaults__", (*read_beginning.__defaults__[:-1], 0))
    run = make_run("finished", make_dataset(), held)
    app = label_file(run, "text,n\n" + "a praise,1\n" * 5 + "lonely\n" + "a question,2\n" * 3)
    assert "8 rows labelled" in words(app)
    assert "1 row could not be read" in words(app)


def test_another_file_ends_the_labelling_of_this_one_alone(held, classifier):
    run = make_run("finished", make_dataset(), held)
    app = label_file(run, "text,n\na praise,1\n")
    (other,) = (home() / "labellings").iterdir()
    linked = open_page(PREDICT, run=run.id, file=upload("text,n\nx,1\n"), labelling=other.name)
    linked.session_state["view"] = "A file"
    clean(linked.run())
    assert "of another file" in words(linked)
    button(linked, "Choose another file").click().run()
    assert other.is_dir()
    button(app, "Choose another file").click().run()
    assert not other.exists()


def test_a_result_outlives_its_upload(held, classifier):
    run = make_run("finished", make_dataset(), held)
    app = label_file(run, "text,n\na praise,1\n")
    delete_upload(app.query_params["file"][0])
    clean(app.run())
    assert "1 row labelled" in words(app)


def test_cells_made_safe_for_spreadsheets_are_counted(held, classifier):
    run = make_run("finished", make_dataset(), held)
    app = label_file(run, "text,sum\na praise,=1+1\na question,@x\na praise,-3.5\n")
    assert app.toggle(key="safe").value is True
    assert "2 cells changed" in words(app)


def test_only_runs_that_ended_with_a_model_can_be_chosen(held):
    data = make_dataset()
    usable = make_run("stopped", data, held)
    working = make_run("running", data, held)
    write_result(working)
    app = open_page(PREDICT, run=working.id)
    clean(app)
    assert app.selectbox[0].value == usable.id
    assert "no model to use" in app.warning[0].value


def test_with_others_in_line_the_run_at_work_is_shown_and_stays(held):
    dataset = make_dataset()
    at_work = make_run("running", dataset, held)
    make_run("queued", dataset, held)
    app = open_page(TRAIN)
    assert app.query_params["run"] in (at_work.id, [at_work.id])


def test_a_model_of_a_failed_run_can_be_used_and_is_told_apart(held):
    run = make_run("failed", make_dataset(), held)
    (run.folder / "model").mkdir()
    (run.folder / "model" / "model.safetensors").write_bytes(b"weights")
    app = open_page(PREDICT)
    assert any("failed" in option for box in app.selectbox for option in box.options)


def test_those_who_watch_a_run_share_its_charts_until_there_is_more_to_draw(held, monkeypatch):
    run = make_run("running", make_dataset(), held)
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    drawn = []
    monkeypatch.setattr(
        "pages.ui.train.curves.loss_curves", lambda losses: drawn.append(len(losses)) or loss_curves(losses)
    )
    began = int(time.time() // 2 * 2) - len(lines)
    # Written anew with times that the test knows: half a second apart, and looked at as they come.
    for known in range(len(lines) - 8, len(lines) + 1):
        events = [json.loads(line) | {"time": began + i / 2} for i, line in enumerate(lines[:known])]
        (run.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        monkeypatch.setattr(time, "time", lambda known=known: began + known / 2)
        assert not open_page(TRAIN, run=run.id).exception
    assert 2 <= len(drawn) <= 3
    assert drawn == sorted(drawn)


@pytest.mark.parametrize("trains", [True, False])
def test_an_answer_takes_one_core_while_a_training_is_at_work(held, classifier, monkeypatch, trains):
    from core.learning import hardware

    taken = []
    for cores in ("one_core", "all_cores"):
        monkeypatch.setattr(hardware, f"use_{cores}", lambda cores=cores: taken.append(cores))
    run = make_run("finished", make_dataset(), held)
    if trains:
        held.enter_context(FileLock(home() / "device.lock"))
    app = open_page(PREDICT, run=run.id)
    app.text_area[0].set_value("What is this question").run()
    assert not app.exception
    assert taken == ["one_core" if trains else "all_cores"]


def test_an_uploaded_file_leaves_the_memory_of_the_server(monkeypatch):
    removed = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda self, session_id, file_id: removed.append(file_id)
    )
    app = open_page(DATA)
    app.file_uploader[0].set_value(("sample.csv", read_sample(), "text/csv")).run()
    assert not app.exception
    assert len(list((home() / "uploads").iterdir())) == 1
    assert len(removed) == 1
