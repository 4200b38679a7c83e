"""The pages: the one table that menu, titles, icons and links come from."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NoReturn

import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.ui.tab import forget_fragments

ROUTER = "streamlit_app.py"
DATA_PAGE, CHECK_PAGE, TRAIN_PAGE = "pages/1_Data.py", "pages/5_Check.py", "pages/2_Train.py"
RUNS_PAGE, COMPARE_PAGE = "pages/3_Runs.py", "pages/7_Compare.py"
PREDICT_PAGE, EXPORT_PAGE = "pages/4_Predict.py", "pages/6_Export.py"


@dataclass(frozen=True)
class Entry:
    """One page of the menu."""

    file: str
    icon: str
    help: str


PAGES = {
    "Data": Entry(
        DATA_PAGE,
        ":material/table_view:",
        "Read a table of texts and labels, check it, and save it as a data set.",
    ),
    "Check": Entry(
        CHECK_PAGE,
        ":material/fact_check:",
        "A baseline, labels that are probably wrong, and whether more texts would help.",
    ),
    "Train": Entry(
        TRAIN_PAGE, ":material/model_training:", "Fine-tune a model on a data set and watch it learn."
    ),
    "Runs": Entry(
        RUNS_PAGE,
        ":material/insights:",
        "Every training so far: its scores, where it goes wrong, its settings.",
    ),
    "Compare": Entry(
        COMPARE_PAGE,
        ":material/compare_arrows:",
        "Runs beside each other, and whether one is really better than another.",
    ),
    "Predict": Entry(PREDICT_PAGE, ":material/label:", "Classify a text or a whole file."),
    "Export": Entry(
        EXPORT_PAGE,
        ":material/outbox:",
        "Take a model away: weights, ONNX, a web page, or all in one bundle.",
    ),
}
"""In the order of the menu; the first one is where a tab starts."""


def run_page() -> None:
    """Show the menu, and run the page that was asked for."""
    st.session_state["routed"] = True
    start = next(iter(PAGES))
    pages = {
        title: st.Page(entry.file, title=title, icon=entry.icon, help=entry.help, default=title == start)
        for title, entry in PAGES.items()
    }
    page = st.navigation(list(pages.values()))
    params = st.query_params.to_dict()
    # A shared link is /?run=<id>; a page that was opened before the router names itself.
    wanted = params.pop("page", "Train" if "run" in params else start)
    if page == pages[start] and wanted in pages and wanted != start:
        st.switch_page(pages[wanted], query_params=params)
    if st.session_state.get("page") != page.title:
        # Opened from the menu: `go_to` was not asked.
        forget_fragments()
        st.session_state["page"] = page.title
    page.run()


def go_to(file: str, **params: str) -> NoReturn:
    """Leave the page for another one, opened with these parameters of its address."""
    forget_fragments()
    st.switch_page(file, query_params=params)


def start_page(title: str, sidebar: Literal["auto", "expanded"] = "auto") -> None:
    """Set the title of the tab; a page that was opened before the router goes through it first.

    Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    """
    if "routed" not in st.session_state:
        with suppress(StreamlitAPIException):
            st.switch_page(ROUTER, query_params=st.query_params.to_dict() | {"page": title})
    st.set_page_config(page_title=f"{title} – Textuner", layout="wide", initial_sidebar_state=sidebar)


def offer_page(words: str, title: str) -> None:
    """The one next step of a page that has nothing to show yet: a button to another page."""
    page = PAGES[title]
    if st.button(words, type="primary", icon=page.icon):
        go_to(page.file)


def run_link(address: str | None, run_id: str) -> str:
    """The link to share a run by, from the address of any page of the app."""
    root = re.sub(rf"(/({'|'.join(PAGES)}))?/*$", "", (address or "").split("?")[0])
    return f"{root}/?run={run_id}"
