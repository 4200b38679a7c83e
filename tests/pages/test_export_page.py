"""The Export page, and a model from a file on the Predict page."""

import io
import zipfile

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from core.base.errors import UserError
from core.runs.results import exports
from core.runs.results.models import usable_models
from core.serving import imported_models
from core.serving.export.onnx_export import Parity
from tests.pages.test_pages import EXPORT, PREDICT, button, button_like, clean, labels, open_page, words

ATTACK = "<script>alert(1)</script> [a](javascript:b) :red[x] ![i](http://e)"


@pytest.fixture
def model(trained_run):
    return usable_models()[0]


@pytest.fixture
def quick(monkeypatch):
    """ONNX files that are none, made at once; int8 loses 2 points where it is measured."""

    def export_onnx(folder, out, precision, sample, progress, graph):
        progress("Writing [it](http://e)")
        out.write_bytes(b"graph")
        known = sample.labels is not None and precision == "int8"
        return Parity(20, 19, 3.2e-6, *((0.9, 0.88) if known else ()))

    monkeypatch.setattr(exports, "export_onnx", export_onnx)
    monkeypatch.setattr(exports, "write_web_page", lambda onnx, folder, out, title: out.write_text("page"))


@pytest.fixture
def zipped(model, tmp_path) -> bytes:
    exports.export_model(model, exports.HUGGINGFACE, tmp_path / "model.zip")
    return (tmp_path / "model.zip").read_bytes()


def downloads(app: AppTest) -> list[str]:
    return [element.proto.label for element in app.get("download_button")]


def test_weights_are_offered_at_once_and_the_rest_is_made_on_demand(model, quick):
    app = open_page(EXPORT, run=model.id)
    clean(app)
    assert downloads(app) == ["Download the folder", "Download the weights"]
    button(app, "Make the ONNX files and the bundle").click().run()
    clean(app)
    assert downloads(app)[2:] == [
        "Download the bundle",
        "Download ONNX float32",
        "Download ONNX int8 (−2.0 points)",
        "Download the web page",
    ]
    # After a reload as well.
    again = open_page(EXPORT, run=model.id)
    assert downloads(again) == downloads(app)
    assert "19 of 20 texts" in words(again)
    assert "90.0% before, 88.0% after" in words(again)
    primary = [e for e in again.get("download_button") if e.proto.type == "primary"]
    assert [e.proto.label for e in primary] == ["Download the bundle"]


def test_nothing_is_read_before_the_click(model, quick, monkeypatch):
    exports.make(model)
    for name in ("export_model", "write_made"):
        monkeypatch.setattr(exports, name, lambda *_: pytest.fail("made before the click"))
    clean(open_page(EXPORT, run=model.id))


def test_what_is_lacking_is_said_and_the_rest_offered(model, quick, monkeypatch):
    def refuse(*_):
        raise UserError(f"a runtime {ATTACK}", "no network", "Try again.")

    monkeypatch.setattr(exports, "write_web_page", refuse)
    app = open_page(EXPORT, run=model.id)
    button(app, "Make the ONNX files and the bundle").click().run()
    clean(app)
    assert "no network" in app.warning[0].value
    assert ATTACK not in words(app)
    assert "without: Web page" in words(app)
    assert "Download the web page" not in downloads(app)
    assert "Download the bundle" in downloads(app)
    assert "Make them again" in labels(app)


def test_a_failure_is_said_and_can_be_tried_again(model, quick, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "_note", full)
    app = open_page(EXPORT, run=model.id)
    button(app, "Make the ONNX files and the bundle").click().run()
    clean(app)
    assert "ONNX files" in app.error[0].value
    assert "Make the ONNX files and the bundle" in labels(app)


def test_a_run_without_a_model_in_the_link(model):
    app = open_page(EXPORT, run="A" * 22)
    clean(app)
    assert "no model to take away" in app.warning[0].value


def test_the_card_is_shown_as_text(model, zipped):
    card = imported_models.keep(io.BytesIO(changed(zipped, {"README.md": ATTACK.encode()})), "model.zip")
    app = open_page(EXPORT, run=card.id)
    clean(app)
    assert ATTACK in [element.value for element in app.code]
    assert ATTACK not in "".join(str(element.value) for element in (*app.markdown, *app.caption))


def changed(content: bytes, parts: dict[str, bytes]) -> bytes:
    """The zip with other content under these names."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, parts.get(name, old.read(name)))
    return out.getvalue()


def test_a_model_from_a_file_answers_is_exported_and_deleted(model, quick, zipped, monkeypatch):
    removed = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda self, session_id, file_id: removed.append(file_id)
    )
    app = open_page(PREDICT, run=model.id)
    app.file_uploader(key="model_file_0").set_value((f"../{ATTACK}.zip", zipped, "application/zip")).run()
    assert [toast.value for toast in app.toast] == ["The model is checked and chosen."]
    clean(app)
    (found,) = imported_models.list_imported()
    assert app.selectbox(key="run_choice").value == found.id
    assert len(removed) == 1
    assert ATTACK not in "".join(str(element.value) for element in (*app.markdown, *app.caption))
    app.text_area[0].set_value("they like good work").run()
    clean(app)
    assert app.subheader[0].value == "good"
    assert "was not trained here" in words(app)

    export = open_page(EXPORT, run=found.id)
    assert "a few texts of ours" in words(export)
    button(export, "Make the ONNX files and the bundle").click().run()
    clean(export)
    assert "Download ONNX int8 (accuracy not measured)" in downloads(export)

    button_like(app, "Delete it and free").click().run()
    clean(app)
    assert imported_models.list_imported() == []
    assert app.selectbox(key="run_choice").value == model.id


def test_a_hostile_model_file_is_refused_with_the_reason(model, zipped):
    app = open_page(PREDICT, run=model.id)
    attack = changed(zipped, {"config.json": b'{"auto_map": {"AutoModel": "x"}}'})
    app.file_uploader(key="model_file_0").set_value(("model.zip", attack, "application/zip")).run()
    clean(app)
    assert "auto\\_map" in app.error[0].value
    assert imported_models.list_imported() == []


def test_a_model_file_is_the_first_model(zipped, model):
    from core.runs.training import store

    store.delete_run(model.id)
    app = open_page(PREDICT)
    app.file_uploader(key="model_file_0").set_value(("model.zip", zipped, "application/zip")).run()
    clean(app)
    assert app.selectbox(key="run_choice").value == imported_models.list_imported()[0].id
