"""The settings of a training in the sidebar."""

from typing import Any

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, explain, shorten
from core.learning import config as settings
from core.learning import pretrained
from core.learning.config import SETTINGS, TrainingConfig
from core.learning.suggestions import SUGGESTED
from core.runs.training import store

DEFAULTS = TrainingConfig()
BASIC = ("epochs", "batch_size", "learning_rate")
ADVANCED = (
    "max_length",
    "warmup",
    "weight_decay",
    "gradient_clipping",
    "seed",
    "early_stopping",
    "evaluations_per_epoch",
)


def take_settings_of_link() -> None:
    """Fill in the settings of the run that the link names, once: what a person changes then stays."""
    wanted = st.query_params.get("like")
    if wanted is None:
        return
    try:
        like = store.find_run(wanted)
        if not like.readable:
            raise UserError("a run whose settings can be read", "a damaged one", "Choose them yourself.")
        pretrained.find(like.config.model)
    except UserError as error:
        st.warning(explain(error), icon=":material/error:")
        return
    if st.session_state.get("like") != like.id:
        st.session_state["like"] = like.id
        st.session_state[key("model")] = like.config.model
        fill_in(like.config)
    st.caption(f"Settings taken from a run of {escape_markdown(shorten(like.name, 40))}.")


TUTORIAL_HELP = "The classic recipe: AdamW at 2e-5, batches of 2, 5 epochs. For very few texts."


def choose_model() -> str:
    models = {checkpoint.name: checkpoint for checkpoint in pretrained.available()}
    remember("model")
    name = st.selectbox(
        SETTINGS["model"].label,
        list(models),
        format_func=lambda name: models[name].title,
        key=key("model"),
        persist_state="session",
        help=SETTINGS["model"].help,
    )
    st.caption(escape_markdown(models[name].note))
    return name


def ask_advanced() -> dict[str, Any]:
    values = ask_numbers(ADVANCED)
    for name in ("schedule", "precision"):
        remember(name)
        values[name] = st.selectbox(
            SETTINGS[name].label,
            SETTINGS[name].choices,
            key=key(name),
            help=SETTINGS[name].help,
            persist_state="session",
        )
    remember("class_weights")
    values["class_weights"] = st.toggle(
        SETTINGS["class_weights"].label,
        key=key("class_weights"),
        help=SETTINGS["class_weights"].help,
        persist_state="session",
    )
    return values


def ask_numbers(names: tuple[str, ...]) -> dict[str, Any]:
    """Number fields without bounds of their own: what is out of range is shown for all of them at once."""
    values = {}
    for name in names:
        remember(name)
        whole = isinstance(getattr(DEFAULTS, name), int)
        values[name] = st.number_input(
            SETTINGS[name].label,
            step=SETTINGS[name].step,
            format="%d" if whole else "%g",
            key=key(name),
            help=SETTINGS[name].help,
            persist_state="session",
        )
    return values


def key(name: str) -> str:
    return f"setting_{name}"


def remember(name: str) -> None:
    st.session_state.setdefault(key(name), getattr(DEFAULTS, name))


def fill_in(config: TrainingConfig) -> None:
    for name, value in settings.to_dict(config).items():
        if name != "model":
            st.session_state[key(name)] = value


def follow(suggested: TrainingConfig) -> None:
    """Fill in what suits the data set and the model, where a person left the last suggestion as it was."""
    last = st.session_state.get("suggested", {})
    names = (*SUGGESTED, "class_weights")
    for name in names:
        value = getattr(suggested, name)
        if st.session_state.get(key(name), last.get(name)) == last.get(name):
            st.session_state[key(name)] = value
    st.session_state["suggested"] = {name: getattr(suggested, name) for name in names}
