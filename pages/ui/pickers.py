"""Choose one of the models, or of the data sets."""

from typing import Literal

import streamlit as st

from core.data.storage.datasets import Dataset
from core.runs.results.models import Model


def choose_dataset(
    datasets: list[Dataset],
    wanted: str | None,
    key: str | None = None,
    width: int | Literal["stretch"] = "stretch",
) -> Dataset:
    """The data set with the wanted id at first, or else the newest.

    Args:
        datasets: one or more, the newest first.
    """
    by_id = {dataset.id: dataset for dataset in datasets}
    chosen = st.selectbox(
        "Data set",
        list(by_id),
        index=list(by_id).index(wanted) if wanted in by_id else 0,
        key=key,
        format_func=lambda id: f"{by_id[id].name} ({sum(by_id[id].counts.values()):,} texts)",
        help="Saved on the Data page; the newest comes first.",
        width=width,
    )
    return by_id[chosen]


def choose_model(models: list[Model], purpose: str, from_link: bool = True) -> Model:
    """The model of the link, or the newest; the link follows the choice.

    Args:
        purpose: what a model is wanted for: "to use".
        from_link: whether the link says what is chosen at first; not where `run_choice` was just set.
    """
    by_id = {model.id: model for model in models}
    linked = st.query_params.get("run")
    if linked is not None and linked not in by_id:
        st.warning(
            f"The run of this link has no model {purpose}, or is not kept here. Choose another one.",
            icon=":material/link_off:",
        )
    chosen = st.selectbox(
        "Model",
        list(by_id),
        index=list(by_id).index(linked) if linked in by_id and from_link else 0,
        format_func=lambda id: by_id[id].title,
        key="run_choice",
        on_change=_follow_choice,
        help="The runs that ended with a model, the newest first; then models from files.",
    )
    return by_id[chosen]


def _follow_choice() -> None:
    st.query_params["run"] = st.session_state["run_choice"]
