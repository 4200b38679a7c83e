"""Check: what simple classifiers reach on a data set, which labels are in doubt, would more texts help."""

import streamlit as st

from core.base.errors import UserError
from core.data.storage.datasets import Dataset, find_dataset, list_datasets
from pages.ui import navigation
from pages.ui.check.baselines import show_baselines
from pages.ui.check.corrected_dataset import show_saved_again
from pages.ui.check.label_errors import show_suspects
from pages.ui.check.learning_curve import show_curve
from pages.ui.feedback import show_error
from pages.ui.pickers import choose_dataset


def main() -> None:
    navigation.start_page("Check")
    st.title("Check")
    datasets = list_datasets()
    if not datasets:
        send_to_data()
        return
    st.write(
        "Before an hour is spent on training: what simple classifiers reach on a data set, which labels are "
        "probably wrong, and whether more texts would help."
    )
    dataset = choose_linked_dataset(datasets)
    show_saved_again(dataset)
    show_baselines(dataset)
    show_suspects(dataset)
    show_curve(dataset)


def send_to_data() -> None:
    st.write("There is nothing to check yet: save a table of texts and their labels as a data set first.")
    navigation.offer_page("Go to Data", "Data")


def choose_linked_dataset(datasets: list[Dataset]) -> Dataset:
    """The data set of the link, or the newest; the link follows the choice."""
    wanted = st.query_params.get("dataset")
    if wanted is not None and wanted not in [dataset.id for dataset in datasets]:
        try:
            find_dataset(wanted)
        except UserError as error:
            show_error(error)
    # Another key when the link changes: a choice made before must not outlive it.
    chosen = choose_dataset(datasets, wanted, key=f"dataset_{wanted}", width=420)
    if chosen.id != wanted:
        st.query_params.from_dict({"dataset": chosen.id})
    return chosen


main()
