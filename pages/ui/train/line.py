"""The runs that wait or train now."""

import streamlit as st

from core.runs.training import queue, store
from core.runs.training.run import Run
from pages.ui.train.link import open_run

LINE_EVERY_SECONDS = 3.0


def show_line(shown: Run | None) -> None:
    # Runs leave the line by themselves, also when the one shown has ended and nothing else is drawn again.
    st.fragment(draw_line, run_every=LINE_EVERY_SECONDS if waiting_behind(shown) else None)(shown)


def draw_line(shown: Run | None) -> None:
    others = waiting_behind(shown)
    if not others:
        return
    st.subheader("Waiting in line")
    for run in others:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(f"place {queue.position(run) or 1}", color="gray")
            st.text(run.name)
            if st.button("Show", key=f"show_{run.id}", type="tertiary"):
                open_run(run)


def waiting_behind(shown: Run | None) -> list[Run]:
    return [run for run in store.waiting_runs() if not shown or run.id != shown.id]
