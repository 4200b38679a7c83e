"""The Predict page: one text, why, and the nearest training texts."""

import shutil

import pytest
from safetensors.torch import load_file, save_file
from streamlit.testing.v1 import AppTest

from core.learning.evaluation.calibration import Calibration, write_calibration
from core.runs.training import store
from core.serving import similar_texts
from core.serving.loading import load_ahead
from pages.ui.markup import coloured_words
from tests.pages.test_pages import PREDICT, clean, open_page, words

ATTACK = (
    "<script>alert(1)</script> **bold** [a](javascript:b) :red[x] ]:blue-background[y] ![i](http://e) $z$"
)


@pytest.fixture
def run(trained_run):
    return trained_run


def ask(run, text: str) -> AppTest:
    app = open_page(PREDICT, run=run.id)
    app.text_area[0].set_value(text).run()
    clean(app)
    return app


def test_the_model_is_loaded_before_a_text_is_typed(run, monkeypatch):
    asked = []
    monkeypatch.setattr("core.serving.loading.load_ahead", lambda folder: asked.append(folder))
    app = open_page(PREDICT, run=run.id)
    clean(app)
    assert asked == [run.folder / "model"]


def test_words_are_coloured_with_numbers_beside(run):
    app = ask(run, "they like good work")
    (coloured,) = [item.value for item in app.markdown if "-background[" in item.value]
    assert "background[**good**]" in coloured
    table = app.dataframe[0].value
    assert set(table["Word"]) == {"they", "like", "good", "work"}
    assert table["Weight"].abs().is_monotonic_decreasing
    strongest = table.iloc[0]
    sign = app.selectbox(key=next(box.key for box in app.selectbox if "class_" in (box.key or ""))).value
    assert (strongest["Word"], sign) == ("good", "good")
    assert strongest["Weight"] > 0


def test_what_an_answer_took_is_given_back(run, monkeypatch):
    given_back = []
    monkeypatch.setattr("core.base.memory.give_back_freed_memory", lambda: given_back.append(True))
    ask(run, "they like good work")
    assert given_back


def test_another_class_turns_the_weights_round(run):
    app = ask(run, "they like good work")
    before = app.dataframe[0].value.set_index("Word")["Weight"]
    next(box for box in app.selectbox if "class_" in (box.key or "")).set_value("bad").run()
    clean(app)
    after = app.dataframe[0].value.set_index("Word")["Weight"]
    assert after.to_dict() == pytest.approx((-before).to_dict())


def test_gradients_show_their_convergence(run):
    app = open_page(PREDICT, run=run.id)
    app.session_state["way"] = "Integrated gradients"
    app.text_area[0].set_value("they like good work").run()
    clean(app)
    assert "Convergence: the weights add up to" in words(app)
    assert list(app.dataframe[0].value.columns) == ["Word", "Weight"]


@pytest.mark.parametrize(("threshold", "unsure"), [(0.9999, True), (0.01, False), (None, False)])
def test_the_unsure_are_left_to_people_and_keep_their_label(run, threshold, unsure):
    write_calibration(run.folder / "model", Calibration(2.0, threshold))
    app = ask(run, "they like good work")
    assert any("Unsure: left to people" in warning.value for warning in app.warning) == unsure
    assert app.subheader[0].value == "good"


def test_probabilities_are_calibrated_until_switched_off(run):
    write_calibration(run.folder / "model", Calibration(5.0, 0.9999))
    app = ask(run, "they like good work")
    honest = next(item.value for item in app.caption if "probability of" in item.value)
    app.toggle(key="calibrated").set_value(False).run()
    clean(app)
    raw = next(item.value for item in app.caption if "probability of" in item.value)
    assert raw > honest
    # Whether it is left to people depends on the honest one all the same.
    assert app.warning


def test_without_a_temperature_there_is_nothing_to_switch(run):
    assert not [toggle for toggle in ask(run, "good day").toggle if toggle.key == "calibrated"]


def test_nearest_training_texts_are_made_when_asked_and_go_with_the_run(run):
    app = ask(run, "fine and good work")
    assert not (run.folder / similar_texts.FILE).exists()
    app.toggle(key="neighbours").set_value(True).run()
    clean(app)
    table = app.dataframe[-1].value
    assert len(table) == 5
    assert table.iloc[0].to_dict() == {
        "Text": "fine and good work",
        "Label": "good",
        "Similarity": pytest.approx(1, abs=1e-3),
    }
    assert (run.folder / similar_texts.FILE).is_file()
    store.delete_run(run.id)
    assert not run.folder.exists()


def test_hostile_text_stays_text(run):
    app = ask(run, f"good {ATTACK}")
    (coloured,) = [item.value for item in app.markdown if "-background[" in item.value]
    for attack in ("<script>", "**bold**", "](", " :red[", "]:blue-background[y", "![", "$z$"):
        assert attack not in coloured
    assert not [item for item in app.markdown if item.proto.allow_html]


def test_a_damaged_model_is_said_and_tried_again(run, trained):  # noqa: F811
    weights = run.folder / "model" / "model.safetensors"
    weights.write_bytes(b"torn")
    app = open_page(PREDICT, run=run.id)
    app.text_area[0].set_value("good day").run()
    assert "Expected a whole model folder" in app.error[0].value
    shutil.copyfile(trained / "model.safetensors", weights)
    app.run()
    clean(app)
    assert not app.error
    assert app.subheader[0].value == "good"


def test_a_model_that_was_trained_anew_answers_with_its_new_weights(run):
    assert ask(run, "good day").subheader[0].value == "good"
    file = run.folder / "model" / "model.safetensors"
    weights = {name: value.clone() for name, value in load_file(file).items()}
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = -weights[name]
    save_file(weights, file, metadata={"format": "pt"})
    assert ask(run, "good day").subheader[0].value == "bad"


@pytest.mark.parametrize("training", [True, False])
def test_a_training_keeps_its_cores(run, monkeypatch, training):
    chosen = []
    for name in ("use_one_core", "use_all_cores"):
        monkeypatch.setattr(f"core.learning.hardware.{name}", lambda name=name: chosen.append(name))
    monkeypatch.setattr("core.base.locks.is_held", lambda path: training and path.name == "device.lock")
    ask(run, "good day")
    assert chosen[-1] == ("use_one_core" if training else "use_all_cores")


def test_what_goes_wrong_ahead_is_told_to_whoever_asks(tmp_path):
    assert "no config.json" in str(load_ahead(tmp_path).exception(timeout=60))


def test_coloured_words_keep_the_text_and_its_breaks():
    text = "a  好嗎 [x] rest"
    spans = [(0, 1), (3, 4), (4, 5), (6, 9)]
    shown = coloured_words(text, spans, [1.0, -0.3, 0.0, 0.05], read=9)
    assert shown == (":blue-background[**a**] :orange-background[好]\u200b嗎 \\[x\\] :gray[rest]")
    assert coloured_words("a b", [(0, 1), (2, 3)], [0.0, 0.0], read=3) == "a b"
