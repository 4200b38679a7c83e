"""The Predict page: one text and why it got its label, and whole files."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from streamlit.testing.v1 import AppTest

from core.base.home import home
from core.data.reading.streaming import read_beginning
from core.data.storage.datasets import load_splits
from core.data.storage.uploads import delete_upload
from core.learning.evaluation.calibration import Calibration, write_calibration
from core.runs.jobs import job, process, spawning
from core.runs.jobs.job import Job
from core.runs.tasks import labelling_work, labellings
from core.runs.training import store
from core.serving import similar_texts
from core.serving.loading import load_ahead
from pages.ui.markup import coloured_words
from tests.jobs import Asleep
from tests.pages.opening import PREDICT, button, button_like, clean, labels, open_page, upload, words
from tests.pages.seeding import make_dataset, make_run, write_result

ATTACK = (
    "<script>alert(1)</script> **bold** [a](javascript:b) :red[x] ]:blue-background[y] ![i](http://e) $z$"
)


def ask(run, text: str) -> AppTest:
    app = open_page(PREDICT, run=run.id)
    app.text_area[0].set_value(text).run()
    clean(app)
    return app


def class_choice(app):
    return next(box for box in app.selectbox if "class_" in (box.key or ""))


# One text


def test_the_model_is_loaded_before_a_text_is_typed_and_blank_text_gets_no_label(trained_run, monkeypatch):
    asked, load = [], load_ahead
    monkeypatch.setattr(
        "core.serving.loading.load_ahead", lambda folder: asked.append(folder) or load(folder)
    )
    app = open_page(PREDICT, run=trained_run.id)
    clean(app)
    assert asked == [trained_run.folder / "model"]
    app.text_area[0].set_value("   \n").run()
    clean(app)
    assert not app.subheader


def test_words_are_coloured_with_numbers_beside_for_the_class_that_is_chosen(trained_run, monkeypatch):
    given_back = []
    monkeypatch.setattr("core.base.memory.give_back_freed_memory", lambda: given_back.append(True))
    app = ask(trained_run, "they like good work")
    (coloured,) = [item.value for item in app.markdown if "-background[" in item.value]
    assert "background[**good**]" in coloured
    table = app.dataframe[0].value
    assert (table["Word"][0], class_choice(app).value) == ("good", "good")
    assert table["Weight"][0] > 0
    class_choice(app).set_value("bad").run()
    clean(app)
    before, after = (found.set_index("Word")["Weight"] for found in (table, app.dataframe[0].value))
    assert after.to_dict() == pytest.approx((-before).to_dict())
    assert given_back


def test_gradients_show_their_convergence(trained_run):
    app = open_page(PREDICT, run=trained_run.id)
    app.session_state["way"] = "Integrated gradients"
    app.text_area[0].set_value("they like good work").run()
    clean(app)
    assert "Convergence: the weights add up to" in words(app)
    assert list(app.dataframe[0].value.columns) == ["Word", "Weight"]


@pytest.mark.parametrize(("threshold", "unsure"), [(0.9999, True), (0.01, False), (None, False)])
def test_the_unsure_are_left_to_people_by_the_calibrated_probability(trained_run, threshold, unsure):
    def said(app):
        return next(item.value for item in app.caption if "probability of" in item.value)

    write_calibration(trained_run.folder / "model", Calibration(5.0, threshold))
    app = ask(trained_run, "they like good work")
    honest = said(app)
    for _ in range(2):
        assert any("Unsure: left to people" in warning.value for warning in app.warning) == unsure
        assert app.subheader[0].value == "good"
        app.toggle(key="calibrated").set_value(False).run()
        clean(app)
    assert said(app) > honest


def test_nearest_training_texts_are_made_when_asked_and_go_with_the_run(trained_run):
    app = ask(trained_run, "fine and good work")
    assert not [toggle for toggle in app.toggle if toggle.key == "calibrated"]
    assert not (trained_run.folder / similar_texts.FILE).exists()
    app.toggle(key="neighbours").set_value(True).run()
    clean(app)
    table = app.dataframe[-1].value
    assert len(table) == 5
    assert (table["Text"][0], table["Label"][0]) == ("fine and good work", "good")
    assert (trained_run.folder / similar_texts.FILE).is_file()
    store.delete_run(trained_run.id)
    assert not trained_run.folder.exists()


def test_hostile_text_stays_text(trained_run):
    app = ask(trained_run, f"good {ATTACK}")
    (coloured,) = [item.value for item in app.markdown if "-background[" in item.value]
    for attack in ("<script>", "**bold**", "](", " :red[", "]:blue-background[y", "![", "$z$"):
        assert attack not in coloured
    assert not [item for item in app.markdown if item.proto.allow_html]


def test_a_damaged_model_is_said_and_tried_again_and_new_weights_answer(trained_run, tiny_model):
    weights = trained_run.folder / "model" / "model.safetensors"
    weights.write_bytes(b"torn")
    app = open_page(PREDICT, run=trained_run.id)
    app.text_area[0].set_value("good day").run()
    assert "Expected a whole model folder" in app.error[0].value
    shutil.copyfile(tiny_model / "model.safetensors", weights)
    app.run()
    clean(app)
    assert not app.error
    assert app.subheader[0].value == "good"
    turned = {name: value.clone() for name, value in load_file(weights).items()}
    for name in ("classifier.weight", "classifier.bias"):
        turned[name] = -turned[name]
    save_file(turned, weights, metadata={"format": "pt"})
    assert ask(trained_run, "good day").subheader[0].value == "bad"


@pytest.mark.parametrize("training", [True, False])
def test_a_training_keeps_its_cores(trained_run, monkeypatch, training):
    chosen = []
    for name in ("use_one_core", "use_all_cores"):
        monkeypatch.setattr(f"core.learning.hardware.{name}", lambda name=name: chosen.append(name))
    monkeypatch.setattr("core.base.locks.is_held", lambda path: training and path.name == "device.lock")
    ask(trained_run, "good day")
    assert chosen[-1] == ("use_one_core" if training else "use_all_cores")


def test_what_goes_wrong_ahead_is_told_to_whoever_asks(tmp_path):
    assert "no config.json" in str(load_ahead(tmp_path).exception(timeout=60))


def test_coloured_words_keep_the_text_and_its_breaks():
    text = "a  好嗎 [x] rest"
    spans = [(0, 1), (3, 4), (4, 5), (6, 9)]
    shown = coloured_words(text, spans, [1.0, -0.3, 0.0, 0.05], read=9)
    assert shown == (":blue-background[**a**] :orange-background[好]\u200b嗎 \\[x\\] :gray[rest]")
    assert coloured_words("a b", [(0, 1), (2, 3)], [0.0, 0.0], read=3) == "a b"


def test_a_run_without_a_model_is_said_and_the_newest_that_has_one_chosen(held):
    data = make_dataset()
    usable = make_run("stopped", data, held)
    working = make_run("running", data, held)
    write_result(working)
    app = open_page(PREDICT, run=working.id)
    clean(app)
    assert app.selectbox[0].value == usable.id
    assert "no model to use" in app.warning[0].value


# A file


def open_file(run, content: str, **params: str) -> AppTest:
    app = open_page(PREDICT, run=run.id, file=upload(content), **params)
    app.session_state["view"] = "A file"
    clean(app.run())
    return app


def label_file(run, content: str, text: tuple[str, ...] = ()) -> AppTest:
    app = open_file(run, content)
    if text:
        app.multiselect[0].set_value(list(text)).run()
    with pytest.MonkeyPatch.context() as patch:
        # The same work, here: a process of its own would not have the stand-in for the model.
        patch.setattr(process, "NICE", 0)

        def label(module: str, folder: Path, log: Path) -> type[Asleep]:
            process.do(Job(labelling_work.TASK, folder), labelling_work.work)
            return Asleep

        patch.setattr(spawning, "start_job", label)
        button_like(app, "Label ").click().run()
        app.run()
    clean(app)
    return app


@pytest.fixture
def run(held):
    return make_run("finished", make_dataset(), held)


def test_what_is_to_be_known_of_a_labelled_file_is_said(run, classifier):
    seen = load_splits(run.folder / "dataset").train.texts[0]
    rows = ["a praise,praise,high,=1+1", f"{seen},praise,low,@x", ",praise,,-3.5", "lonely"]
    app = label_file(run, "\n".join(["text,label,confidence,sum", *rows, "new question,question,,"]))
    said = words(app)
    assert "4 rows labelled" in said
    assert "1 row without text got no label" in said
    assert "1 row could not be read" in said
    assert "trained on the text of 1 row of this file" in said
    assert "`confidence_2`" in app.info[0].value
    assert list(app.dataframe[-1].value)[:2] == ["predicted_label", "confidence_2"]
    assert app.metric[0].label == "Accuracy"
    assert app.toggle(key="safe").value is True
    assert "2 cells changed" in said
    # A result outlives its upload.
    (kept,) = (home() / "uploads").iterdir()
    delete_upload(kept.name)
    assert not kept.exists()
    clean(app.run())
    assert "4 rows labelled" in words(app)


def test_hostile_columns_are_offered_and_shown_as_they_are(run, classifier):
    names = ["![x](http://e.example)<b>", "n" * 5_000, "twice", "twice", ":red[x] $a$"]
    content = ",".join(names) + "\n" + "some words of a praise,1,2,3,4\n" * 3
    options = open_file(run, content).multiselect[0].options
    assert options[:1] + options[2:] == [names[0], "twice", "twice_2", names[4]]
    assert max(map(len, options)) <= 80
    app = label_file(run, content, text=(names[0], names[1]))
    assert "3 rows labelled" in words(app)
    assert "http://e.example" not in words(app)
    assert max(map(len, words(app).split())) < 100
    shown = list(app.dataframe[0].value)[2:4]
    assert shown[0] == names[0]
    assert set(shown[1]) == {"n"}
    assert len(shown[1]) < 500


def test_a_large_file_is_labelled_without_its_rows_being_known(run, classifier, monkeypatch):
    monkeypatch.setattr(read_beginning, "__defaults__", (*read_beginning.__defaults__[:-1], 0))
    app = label_file(run, "text,n\n" + "a praise,1\n" * 5 + "lonely\n" + "a question,2\n" * 3)
    assert "8 rows labelled" in words(app)
    assert "1 row could not be read" in words(app)


@pytest.mark.parametrize("ending", ["stopped", "failed", "hopeless", "running"])
def test_a_labelling_that_has_not_ended_well_is_said_and_goes_on(ending, run):
    app = open_file(run, "text,n\na praise,1\n")
    button_like(app, "Label ").click().run()
    (folder,) = (home() / "labellings").iterdir()
    found = labellings.find(folder.name)
    if ending == "running":
        assert button(app, "Stop")
        assert button(app, "Choose another file").disabled
        return
    job.say_progress(found.job, done=1200, rows=5000, rate=20.0)
    if ending == "stopped":
        labellings.stop(found)
    else:
        job.say_failed(found.job, "![x](http://e) <b>", "Again.", resumable=ending == "failed")
    app.run()
    clean(app)
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


def test_another_file_ends_the_labelling_of_this_one_alone(run, classifier):
    app = label_file(run, "text,n\na praise,1\n")
    (other,) = (home() / "labellings").iterdir()
    linked = open_file(run, "text,n\nx,1\n", labelling=other.name)
    assert "of another file" in words(linked)
    button(linked, "Choose another file").click().run()
    assert other.is_dir()
    button(app, "Choose another file").click().run()
    assert not other.exists()
