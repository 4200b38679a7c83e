"""What the page says before there is a run."""

import streamlit as st

from core.base.formatting import percent
from core.charts.curves import MAJORITY, SIMPLE
from core.data.storage.datasets import Dataset
from core.runs.tasks import data_checks
from pages.ui import navigation
from pages.ui.navigation import CHECK_PAGE, go_to


def show_to_beat(dataset: Dataset) -> None:
    """What simple classifiers reach on the validation texts, or the way to it where that is not known yet."""
    simple = data_checks.baseline_of(dataset.id, "validation")
    if simple:
        st.caption(
            f":material/flag: Fine-tuning must beat **{percent(simple['accuracy'])}**, which "
            f"{SIMPLE[simple['name']]} reaches on the validation texts; {MAJORITY}: "
            f"{percent(simple['majority_accuracy'])}."
        )
    elif dataset.counts["validation"] and st.button(
        "What must it beat?",
        type="tertiary",
        icon=":material/flag:",
        help="On the Check page simple classifiers are tried, in seconds. What they reach becomes a line on "
        "the chart.",
    ):
        go_to(CHECK_PAGE, dataset=dataset.id)


def teach() -> None:
    st.write(
        "Choose a data set on the left and press **Start**; the other settings suit most data as they are."
    )
    with st.container(border=True):
        st.subheader("What happens then")
        st.markdown(
            "- The model reads the training texts batch by batch and corrects itself after each.\n"
            "- Now and then it is scored on the validation texts; the best weights are kept.\n"
            "- At the end it is judged on the test texts, which it has never seen.\n"
            "- It goes on when you close this tab. Come back with the link, or find it under Runs."
        )


def send_to_data() -> None:
    st.write("A training needs a data set: a table of texts and their labels.")
    navigation.offer_page("Go to Data", "Data")
