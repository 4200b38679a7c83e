"""Pushing to the hub from the Export page, against a stand-in; and where the token is afterwards."""

import gc
from contextlib import ExitStack

import pytest
from streamlit.runtime.scriptrunner import StopException, get_script_run_ctx
from streamlit.testing.v1 import AppTest

from core.base.errors import UserError
from core.runs.results import exports
from core.runs.results.models import usable_models
from core.serving.export import hub as hub_module
from core.serving.export.onnx_export import Parity
from tests.pages.seeding import make_dataset, make_run
from tests.pages.test_pages import EXPORT, button, clean, open_page, words
from tests.serving.hub_stand_in import hub_stand_in

TOKEN = "hf_thisTokenMustBeNowhereAfterwards"
ATTACK = "<script>alert(1)</script> [a](javascript:b) :red[x] ![i](http://e)"


@pytest.fixture
def model():
    with ExitStack() as held:
        make_run("finished", make_dataset(), held)
        yield usable_models()[0]


@pytest.fixture
def hub(monkeypatch):
    with hub_stand_in() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        yield hub


def push(model, name: str = "owner/name", token: str = TOKEN, public: bool = False) -> AppTest:
    app = open_page(EXPORT, run=model.id)
    app.text_input(key="repo_id").input(name)
    app.text_input(key="token_0").input(token)
    if public:
        app.toggle(key="private").set_value(False)
    button(app, "Push to the hub").click().run()
    clean(app)
    return app


def everything_in(app: AppTest) -> str:
    """What the session remembers, of this run and of earlier ones, and what the page shows."""
    state = app.session_state._state
    return f"{state.filtered_state} {vars(state)} {app.main}"


def test_a_model_goes_to_the_hub_and_the_token_is_forgotten(model, hub, textuner_home, caplog):
    app = push(model)
    assert "The model is on the hub." in words(app)
    (link,) = [element.proto for element in app.get("link_button")]
    assert link.url == f"{hub.address}/owner/name"
    assert hub.committed["model.safetensors"] == (model.folder / "model.safetensors").read_bytes()
    assert hub.committed["README.md"].decode() == exports.card_of(model)
    assert hub.created["visibility"] == "private"
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert not [field for field in app.text_input if field.value == TOKEN]
    kept = b"".join(path.read_bytes() for path in textuner_home.rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept
    assert TOKEN not in everything_in(app) + caplog.text + str(app.query_params)


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


def test_a_public_one_is_asked_for(model, hub):
    push(model, public=True)
    assert hub.created.get("visibility", "public") == "public"


def test_onnx_files_that_were_made_go_along(model, hub, monkeypatch):
    def export_onnx(folder, out, precision, *others):
        if precision == "int8":
            raise UserError("a", "b", "c")
        out.write_bytes(b"graph")
        return Parity(20, 20, 1e-6)

    monkeypatch.setattr(exports, "export_onnx", export_onnx)
    exports.make(model)
    app = push(model)
    assert ", the ONNX files and the model card" in words(app)
    assert hub.committed["onnx/model.onnx"] == b"graph"
    assert "onnx/model_quantized.onnx" not in hub.committed
    assert hub.committed["README.md"].decode() == exports.card_of(model, ["onnx/model.onnx"])


@pytest.mark.parametrize(
    ("refuse", "name", "said"),
    [
        ({"/api/repos/create": 401}, "owner/name", "a token that the hub knows"),
        ({"/commit/": 403}, "owner/name", "a token that may write to"),
        ({"/commit/": 418}, "owner/name", "its answer 418"),
        ({}, ATTACK, "a name like owner"),
    ],
)
def test_a_refusal_is_said_without_the_token(model, hub, refuse, name, said):
    hub.refuse = refuse
    app = push(model, name)
    assert said in words(app)
    assert "on the hub." not in words(app)
    # The name stays, to be mended; the token does not.
    assert app.text_input(key="repo_id").value == name
    assert TOKEN not in everything_in(app)
    assert "<script>" not in words(app)


def test_what_the_hub_says_is_shown_as_text(model, hub):
    hub.refuse = {"/commit/": 418}
    hub.says = ATTACK
    app = push(model)
    (error,) = app.error
    assert "![i](http" not in error.value
    assert ":red[x]" not in error.value


def test_a_push_that_is_broken_off_forgets_the_token_too(model, hub, monkeypatch):
    def broken_off(*_, **__):
        raise StopException  # As Streamlit does at the next element, when the tab was closed.

    monkeypatch.setattr(hub_module, "push", broken_off)
    app = open_page(EXPORT, run=model.id)
    app.text_input(key="token_0").input(TOKEN)
    button(app, "Push to the hub").click().run()
    assert not holds(app.session_state, set())
    # The browser has it still, and would send it again under this key.
    assert app.session_state["token_turn"] == 1


def test_the_outcome_stays_with_its_model(model, hub):
    with ExitStack() as held:
        other = make_run("finished", make_dataset("Others"), held)
    app = push(model)
    app.selectbox(key="run_choice").select(other.id).run()
    assert "The model is on the hub." not in words(app)
