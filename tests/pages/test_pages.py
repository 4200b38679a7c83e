"""Every page, in every state, as a person meets it."""

import subprocess
import sys
import tomllib

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from core.data.storage.datasets import list_datasets
from core.data.storage.sample import read_sample
from core.runs.jobs import job
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import BASELINES, CURVE
from core.runs.training import states
from pages.ui.feedback import STATUS
from tests.pages.data_checks import curve_found, make_check
from tests.pages.opening import (
    ATTACKS,
    CHECK,
    COMPARE,
    DATA,
    EXPORT,
    PAGES,
    PREDICT,
    PROJECT,
    RUNS,
    TRAIN,
    button,
    clean,
    open_page,
    words,
)
from tests.pages.seeding import STATUSES, make_dataset, make_run

EMPTY = [
    (DATA, "Teach a classifier", "Try the sample"),
    (TRAIN, "needs a data set", "Go to Data"),
    (RUNS, "There is none yet", "Train a model"),
    (PREDICT, "No training has finished yet", "Train a model"),
    (CHECK, "nothing to check yet", "Go to Data"),
    (EXPORT, "No training has finished yet", "Train a model"),
    (COMPARE, "It takes two. There is none yet", "Train a model"),
]


@pytest.mark.parametrize(("file", "teaches", "next_step"), EMPTY, ids=lambda value: str(value)[:20])
def test_an_empty_page_teaches_and_has_one_next_step(file, teaches, next_step, started):
    app = open_page(file)
    clean(app)
    assert teaches in words(app)
    assert [button.label for button in app.button if button.proto.type == "primary"] == [next_step]
    assert started == []


@pytest.mark.parametrize("file", PAGES)
def test_a_page_opens_with_a_data_set_and_runs_in_every_state(file, held):
    data = make_dataset()
    for status in STATUSES:
        make_run(status, data, held)
    app = open_page(file)
    clean(app)
    assert app.title[0].value


@pytest.mark.parametrize("id", ["<script>", "", "A" * 22])
@pytest.mark.parametrize(
    ("file", "param"),
    [
        (DATA, "upload"),
        (DATA, "saved"),
        (TRAIN, "run"),
        (TRAIN, "dataset"),
        (TRAIN, "like"),
        (RUNS, "run"),
        (PREDICT, "run"),
        (PREDICT, "file"),
        (CHECK, "dataset"),
        (EXPORT, "run"),
        (COMPARE, "runs"),
    ],
)
def test_a_hostile_id_in_a_link_is_answered_with_words(file, param, id, held):
    """Which ids are refused is tested where runs, data sets and uploads are found."""
    data = make_dataset()
    for _ in range(2):
        make_run("finished", data, held)
    make_check(data, BASELINES, "finished", held)
    app = open_page(file, **{param: id})
    if param == "file":
        app.session_state["view"] = "A file"
        app.run()
    clean(app)
    assert app.title[0].value
    assert "<script>" not in words(app)
    # Train takes the newest data set without a word.
    if id and (file, param) != (TRAIN, "dataset"):
        assert app.error or app.warning


@pytest.mark.parametrize("status", STATUSES)
def test_train_and_runs_say_what_state_a_run_is_in(status, held):
    run = make_run(status, make_dataset(), held)
    make_run("queued", make_dataset(), held)
    for file in (TRAIN, RUNS):
        app = open_page(file, run=run.id)
        clean(app)
        assert f"[{STATUS[status].icon} {STATUS[status].words}]" in words(app)
    # A link to look with has no buttons.
    app = open_page(TRAIN, run=run.id, view="only")
    assert not [*app.button, *app.number_input, *app.selectbox]
    assert STATUS[status].words in words(app)
    assert states.state(run).status == status


def hostile(held):
    """A data set and a run whose names, labels and texts are attacks."""
    data = make_dataset(ATTACKS[0] + ATTACKS[3], ATTACKS, per_class=12)
    for kind in (BASELINES, CURVE):
        make_check(data, kind, "finished", held)
    curve = {"sha256": data.sha256, "findings": curve_found() | {"verdict": " ".join(ATTACKS[:5])}}
    job.say_finished(data_checks.job_of(data, CURVE), curve)
    attack = {"labels": ATTACKS, "log": "\n".join(ATTACKS), "form": "collapsed"}
    return data, [make_run("finished", data, held, **attack) for _ in range(2)]


@pytest.mark.parametrize("file", PAGES)
def test_user_text_is_never_markdown(file, held):
    data, runs = hostile(held)
    ids = ",".join(run.id for run in runs)
    see_no_attack(open_page(file, run=runs[0].id, saved=data.id, dataset=data.id, runs=ids))


@pytest.mark.parametrize("name", ["Report", "Confidence", "Mistakes", "Curves", "Settings"])
def test_user_text_is_no_markdown_in_any_view_of_a_run(name, held):
    _, (run, _) = hostile(held)
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = name
    see_no_attack(app.run())


def see_no_attack(app):
    clean(app)
    kinds = ("markdown", "caption", "error", "warning", "info", "success", "subheader", "title")
    shown = "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))
    assert not [attack for attack in ATTACKS[:5] if attack in shown]


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
    [
        ({"run": "x"}, "Train"),
        ({"page": "Runs"}, "Runs"),
        ({"page": "Compare"}, "Compare"),
        ({"page": "../x"}, "Teach"),
        ({}, "Teach"),
    ],
)
def test_the_router_leads_a_link_to_its_page(link, title):
    app = open_page("streamlit_app.py", **link)
    clean(app)
    assert app.title[0].value.startswith(title)


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


def test_an_uploaded_file_is_copied_out_and_leaves_the_memory_of_the_server(textuner_home, monkeypatch):
    removed = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda self, session_id, file_id: removed.append(file_id)
    )
    app = open_page(DATA)
    app.file_uploader[0].set_value(("reviews.csv", read_sample(), "text/csv")).run()
    clean(app)
    assert "reviews.csv" in words(app)
    assert len(list((textuner_home / "uploads").iterdir())) == len(removed) == 1
    assert not app.file_uploader


def test_the_server_takes_what_a_page_lets_a_person_upload(held):
    run = make_run("finished", make_dataset(), held)
    limits = [
        box.proto.max_upload_size_mb
        for app in (open_page(DATA), open_page(PREDICT, run=run.id))
        for box in app.file_uploader
    ]
    server = tomllib.loads((PROJECT / ".streamlit/config.toml").read_text())["server"]["maxUploadSize"]
    assert sorted(set(limits)) == [50, server]
