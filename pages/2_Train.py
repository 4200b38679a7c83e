"""Train: choose the settings, start, and watch the model learn."""

from dataclasses import replace

import streamlit as st

from core.data.storage.datasets import Dataset, list_datasets
from core.learning import suggestions
from core.learning.config import SETTINGS, TUTORIAL, TrainingConfig
from core.runs.training import queue
from core.runs.training.run import Run
from pages.ui import navigation
from pages.ui.feedback import show_error
from pages.ui.pickers import choose_dataset
from pages.ui.train.forecast import foresee, show_device
from pages.ui.train.introduction import send_to_data, show_to_beat, teach
from pages.ui.train.line import show_line
from pages.ui.train.link import chosen_run, only_viewing
from pages.ui.train.run import show_run
from pages.ui.train.settings import (
    BASIC,
    TUTORIAL_HELP,
    ask_advanced,
    ask_numbers,
    choose_model,
    fill_in,
    follow,
    take_settings_of_link,
)
from pages.ui.train.start import offer_start


def main() -> None:
    run, problem = chosen_run()
    datasets = list_datasets()
    viewing = only_viewing()
    # On a telephone the settings are the first thing to see, and afterwards the run.
    navigation.start_page("Train", "expanded" if datasets and not run else "auto")
    queue.ensure_worker()
    if datasets and not viewing:
        with st.sidebar:
            choose_and_start(datasets, run)
    st.title("Train")
    if problem:
        show_error(problem)
    if run:
        show_run(run)
    elif datasets:
        teach()
    else:
        send_to_data()
    if not viewing:
        show_line(run)


def choose_and_start(datasets: list[Dataset], run: Run | None) -> None:
    take_settings_of_link()
    wanted = st.query_params.get("dataset") or (run.dataset_id if run else None)
    dataset = choose_dataset(datasets, wanted)
    model = choose_model()
    suggested = suggestions.suggest(model, dataset.counts["train"], len(dataset.label2id))
    suggested = replace(suggested, class_weights=suggestions.has_rare_classes(dataset))
    follow(suggested)
    values = ask_numbers(BASIC)
    st.caption(suggestions.in_words(suggested, values, dataset))
    start_place = st.container()
    with st.expander("Advanced"):
        values |= ask_advanced()
    with st.container(horizontal=True):
        st.button(
            "As in the tutorial", type="tertiary", on_click=fill_in, args=(TUTORIAL,), help=TUTORIAL_HELP
        )
        st.button("Suggested", type="tertiary", on_click=fill_in, args=(suggested,))
    with start_place:
        config = TrainingConfig(model=model, **values)
        if offer_start(dataset, config, run):
            foresee(dataset, config)
        show_device()
        show_to_beat(dataset)
        if suggested.class_weights and values["class_weights"]:
            st.caption(
                f"{SETTINGS['class_weights'].label}: on, because {suggestions.sizes_in_words(dataset)}. "
                "You can switch it off under Advanced."
            )


main()
