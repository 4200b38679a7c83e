"""The Export page, pushing to a stand-in for the hub from it, and models from files on the Predict page."""

import gc
import io
import zipfile

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import StopException, get_script_run_ctx
from streamlit.testing.v1 import AppTest

from core.base.errors import UserError
from core.runs.results import exports
from core.runs.results.models import usable_models
from core.runs.training import store
from core.serving import imported_models
from core.serving.export import hub as hub_module
from core.serving.export.onnx_export import Parity
from tests.pages.opening import EXPORT, PREDICT, button, button_like, clean, labels, open_page, words
from tests.pages.seeding import make_dataset, make_exports, make_run
from tests.serving.hub_stand_in import hub_stand_in

TOKEN = "hf_thisTokenMustBeNowhereAfterwards"
ATTACK = "<script>alert(1)</script> [a](javascript:b) :red[x] ![i](http://e)"


@pytest.fixture
def model(held):
    """A finished run; its weights are none."""
    make_run("finished", make_dataset(), held)
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


def downloads(app: AppTest) -> list[str]:
    return [element.proto.label for element in app.get("download_button")]


MAKE = "Make the ONNX files and the bundle"
OFFERED = [
    "Download the folder",
    "Download the weights",
    "Download the bundle",
    "Download ONNX float32",
    "Download ONNX int8 (−2.0 points)",
    "Download the web page",
]


def test_weights_are_offered_at_once_and_the_rest_is_made_on_demand(model, quick, monkeypatch):
    app = open_page(EXPORT, run=model.id)
    clean(app)
    assert downloads(app) == OFFERED[:2]
    button(app, MAKE).click().run()
    clean(app)
    assert downloads(app) == OFFERED
    # After a reload as well; and nothing is read before the click.
    for name in ("export_model", "write_made"):
        monkeypatch.setattr(exports, name, lambda *_: pytest.fail("made before the click"))
    again = open_page(EXPORT, run=model.id)
    clean(again)
    assert downloads(again) == OFFERED
    assert "19 of 20 texts" in words(again)
    primary = [e for e in again.get("download_button") if e.proto.type == "primary"]
    assert [e.proto.label for e in primary] == ["Download the bundle"]


def test_what_is_lacking_is_said_and_the_rest_offered(model, quick, monkeypatch):
    def refuse(*_):
        raise UserError(f"a runtime {ATTACK}", "no network", "Try again.")

    monkeypatch.setattr(exports, "write_web_page", refuse)
    app = open_page(EXPORT, run=model.id)
    button(app, MAKE).click().run()
    clean(app)
    assert "no network" in app.warning[0].value
    assert ATTACK not in words(app)
    assert "without: Web page" in words(app)
    assert downloads(app) == OFFERED[:-1]
    assert "Make them again" in labels(app)


def test_a_failure_is_said_and_can_be_tried_again(model, quick, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "_note", full)
    app = open_page(EXPORT, run=model.id)
    button(app, MAKE).click().run()
    clean(app)
    assert "ONNX files" in app.error[0].value
    assert MAKE in labels(app)


# A model from a file


@pytest.fixture
def zipped(trained_run, tmp_path) -> bytes:
    (model,) = usable_models()
    exports.export_model(model, exports.HUGGINGFACE, tmp_path / "model.zip")
    return (tmp_path / "model.zip").read_bytes()


def changed(content: bytes, parts: dict[str, bytes]) -> bytes:
    """The zip with other content under these names."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, parts.get(name, old.read(name)))
    return out.getvalue()


def test_a_model_from_a_file_answers_is_exported_and_deleted(trained_run, quick, zipped, monkeypatch):
    removed = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda self, session_id, file_id: removed.append(file_id)
    )
    zipped = changed(zipped, {"README.md": ATTACK.encode()})
    app = open_page(PREDICT, run=trained_run.id)
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
    assert ATTACK in [element.value for element in export.code]
    assert ATTACK not in "".join(str(element.value) for element in (*export.markdown, *export.caption))
    button(export, MAKE).click().run()
    clean(export)
    assert "Download ONNX int8 (accuracy not measured)" in downloads(export)

    button_like(app, "Delete it and free").click().run()
    clean(app)
    assert imported_models.list_imported() == []
    assert app.selectbox(key="run_choice").value == trained_run.id


def test_a_hostile_model_file_is_refused_and_a_sound_one_is_the_first_model(zipped, trained_run):
    store.delete_run(trained_run.id)
    app = open_page(PREDICT)
    attack = changed(zipped, {"config.json": b'{"auto_map": {"AutoModel": "x"}}'})
    app.file_uploader(key="model_file_0").set_value(("model.zip", attack, "application/zip")).run()
    clean(app)
    assert "auto\\_map" in app.error[0].value
    assert imported_models.list_imported() == []
    app = open_page(PREDICT)
    app.file_uploader(key="model_file_0").set_value(("model.zip", zipped, "application/zip")).run()
    clean(app)
    assert app.selectbox(key="run_choice").value == imported_models.list_imported()[0].id


# To the hub


@pytest.fixture
def hub(monkeypatch):
    with hub_stand_in() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        yield hub


def push(model, name: str = "owner/name", public: bool = False) -> AppTest:
    app = open_page(EXPORT, run=model.id)
    app.text_input(key="repo_id").input(name)
    app.text_input(key="token_0").input(TOKEN)
    if public:
        app.toggle(key="private").set_value(False)
    button(app, "Push to the hub").click().run()
    clean(app)
    return app


def everything_in(app: AppTest) -> str:
    """What the session remembers, of this run and of earlier ones, and what the page shows."""
    state = app.session_state._state
    return f"{state.filtered_state} {vars(state)} {app.main}"


def test_a_model_goes_to_the_hub_and_the_token_is_forgotten(model, hub, textuner_home, caplog, held):
    make_exports(model, lacking=(exports.ONNX_INT8,))
    app = push(model)
    assert ", the ONNX files and the model card" in words(app)
    assert "The model is on the hub." in words(app)
    (link,) = [element.proto for element in app.get("link_button")]
    assert link.url == f"{hub.address}/owner/name"
    assert hub.committed["model.safetensors"] == (model.folder / "model.safetensors").read_bytes()
    assert hub.committed["README.md"].decode() == exports.card_of(model, ["onnx/model.onnx"])
    assert "onnx/model.onnx" in hub.committed and "onnx/model_quantized.onnx" not in hub.committed
    assert hub.created["visibility"] == "private"
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert not [field for field in app.text_input if field.value == TOKEN]
    kept = b"".join(path.read_bytes() for path in textuner_home.rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept
    assert TOKEN not in everything_in(app) + caplog.text + str(app.query_params)
    # The outcome stays with its model.
    other = make_run("finished", make_dataset("Others"), held)
    app = push(model, public=True)
    assert hub.created.get("visibility", "public") == "public"
    app.selectbox(key="run_choice").select(other.id).run()
    assert "The model is on the hub." not in words(app)


def holds(thing: object, seen: set[int]) -> bool:
    """Whether the token can be reached from an object of a page's state, however deep it lies."""
    if isinstance(thing, str):
        return TOKEN in thing
    inside = isinstance(thing, dict | list | tuple | set) or "streamlit" in type(thing).__module__
    if id(thing) in seen or not inside:
        return False
    seen.add(id(thing))
    return any(holds(part, seen) for part in gc.get_referents(thing))


def test_the_session_forgets_the_token_before_anything_is_sent(model, monkeypatch):
    found = []

    def sent(folder, card, to, *others, **more):
        state = get_script_run_ctx().session_state
        found.extend([to.token == TOKEN, holds(state, set()), holds([state, {"kept": (to.token,)}], set())])
        return "https://hub.example/owner/name"

    monkeypatch.setattr(hub_module, "push", sent)
    app = push(model)
    assert found == [True, False, True]
    (field,) = [one for one in app.text_input if one.label == "Access token"]
    assert field.proto.autocomplete == "off"


def test_a_push_that_is_broken_off_forgets_the_token_too(model, monkeypatch):
    def broken_off(*_, **__):
        raise StopException  # As Streamlit does at the next element, when the tab was closed.

    monkeypatch.setattr(hub_module, "push", broken_off)
    app = push(model)
    assert not holds(app.session_state, set())
    # The browser has it still, and would send it again under this key.
    assert app.session_state["token_turn"] == 1


@pytest.mark.parametrize(
    ("refuse", "name", "said"),
    [({"/commit/": 418}, "owner/name", "its answer 418"), ({}, ATTACK, "a name like owner")],
)
def test_a_refusal_is_said_as_text_and_without_the_token(model, hub, refuse, name, said):
    hub.refuse, hub.says = refuse, ATTACK
    app = push(model, name)
    (error,) = app.error
    assert said in error.value
    assert not [part for part in ("![i](http", ":red[x]", "<script>") if part in error.value]
    assert "on the hub." not in words(app)
    # The name stays, to be mended; the token does not.
    assert app.text_input(key="repo_id").value == name
    assert TOKEN not in everything_in(app)
