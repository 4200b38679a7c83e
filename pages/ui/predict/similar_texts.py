"""The training texts that are most like a text."""

from typing import TYPE_CHECKING

import streamlit as st

from core.base.formatting import shorten
from core.runs.results.models import Model
from core.runs.training.run import Run
from core.serving import similar_texts
from core.serving.similar_texts import Neighbours, find_neighbours
from pages.ui.predict.model_loading import mark_of

if TYPE_CHECKING:
    from core.serving.classifier import Classifier

NEIGHBOUR_CHARACTERS = 300


def show_neighbours(model: Model, classifier: "Classifier", text: str) -> None:
    st.subheader("Nearest training texts", anchor=False)
    if model.run is None:
        st.caption("This model was not trained here, so its training texts are not at hand.")
        return
    wanted = st.toggle(
        "Show the five most alike",
        key="neighbours",
        help="Alike to this model: by the mean of the states of all tokens in its last layer. Made once for "
        "all training texts, which may take a minute, and kept with the run.",
    )
    if not wanted:
        return
    found = neighbours_of(model, model.run, classifier)
    if len(found) < found.total:
        st.caption(f"Compared with a sample of {len(found):,} of {found.total:,} training texts.")
    nearest = found.nearest(classifier, text)
    st.dataframe(
        {
            "Similarity": [neighbour.similarity for neighbour in nearest],
            "Label": [neighbour.label for neighbour in nearest],
            "Text": [shorten(neighbour.text, NEIGHBOUR_CHARACTERS) for neighbour in nearest],
        },
        hide_index=True,
        alt="The most alike training texts with their labels and similarities, the most alike first",
        column_config={
            "Text": st.column_config.TextColumn(width="large"),
            "Similarity": st.column_config.NumberColumn(
                format="%.3f", help="Cosine between the two texts' states: 1 is the same direction."
            ),
        },
    )


def neighbours_of(model: Model, run: Run, classifier: "Classifier") -> Neighbours:
    kept = shelf(str(model.folder), mark_of(model))
    if not kept:
        words, folder = "Reading the training texts", run.folder
        bar = st.progress(0.0, words)

        def report(share: float) -> None:
            bar.progress(share, words)

        kept.append(
            find_neighbours(classifier, model.folder, folder / "dataset", folder / similar_texts.FILE, report)
        )
        bar.empty()
    return kept[0]


@st.cache_resource(max_entries=2, show_spinner=False)
def shelf(folder: str, mark: int) -> list[Neighbours]:
    """Where a model's neighbours stand once they are found."""
    return []
