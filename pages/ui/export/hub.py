"""Send a model to the Hugging Face hub."""

from pathlib import Path

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, explain
from core.runs.results import exports
from core.runs.results.exports import ONNX, ONNX_INT8
from core.runs.results.models import Model
from core.serving.export import hub


def offer_push(model: Model) -> None:
    st.subheader("On the Hugging Face hub", anchor=False)
    # Another key for each token: with the old one goes what was typed, on the page and in the server.
    turn = st.session_state.setdefault("token_turn", 0)
    with st.form("hub"):
        left, right = st.columns(2, gap="medium")
        repo_id = left.text_input(
            "Repository",
            placeholder="owner/name",
            max_chars=hub.LONGEST_NAME,
            key="repo_id",
            help="Your user name on the hub, or an organisation's, and a new name.",
        )
        token = right.text_input(
            "Access token",
            type="password",
            autocomplete="off",
            max_chars=hub.LONGEST_TOKEN,
            key=f"token_{turn}",
            help="One with the right to write, from huggingface.co/settings/tokens. It is used for this "
            "one push and kept nowhere.",
        )
        private = st.toggle(
            "Private", value=True, key="private", help="Only the owner can see the repository."
        )
        st.caption(what_is_sent(model))
        wanted = st.form_submit_button("Push to the hub", icon=":material/cloud_upload:")
    if wanted:
        # A push takes minutes; while it lasts the session does not hold the token either.
        del st.session_state[f"token_{turn}"]
        push(model, repo_id.strip(), token, private)
    tell_outcome(model)


def what_is_sent(model: Model) -> str:
    also = ", the ONNX files" if onnx_files(model) else ""
    return (
        f"The Hugging Face folder{also} and the model card go there in one commit. The card names the "
        "classes and describes the data; no texts go with it."
    )


def onnx_files(model: Model) -> dict[str, Path]:
    """By their path in the repository; none before they are made."""
    made = exports.kept(model)
    if made is None:
        return {}
    return {exports.NAMES[form]: made.file(form) for form in (ONNX, ONNX_INT8) if form not in made.lacking}


def push(model: Model, repo_id: str, token: str, private: bool) -> None:
    outcome = {"model": model.id, "address": "", "error": ""}
    try:
        extra = onnx_files(model)
        with st.status("Asking the hub") as status:
            outcome["address"] = hub.push(
                model.folder,
                exports.card_of(model, tuple(extra)),
                hub.Repository(repo_id, token, private),
                progress=lambda step: status.update(label=escape_markdown(step)),
                extra=extra,
            )
    except UserError as error:
        outcome["error"] = explain(error)
    finally:
        # Even when the tab is closed meanwhile, which ends the push.
        st.session_state["token_turn"] += 1
    st.session_state["pushed"] = outcome
    st.rerun()


def tell_outcome(model: Model) -> None:
    outcome = st.session_state.get("pushed")
    if outcome is None or outcome["model"] != model.id:
        return
    if outcome["error"]:
        st.error(outcome["error"], icon=":material/error:")
        return
    st.success("The model is on the hub.", icon=":material/cloud_done:")
    st.link_button("Open it there", outcome["address"], icon=":material/open_in_new:")
