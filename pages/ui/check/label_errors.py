"""Labels that are probably wrong, as a cross-validation or a trained model judges."""

import streamlit as st

from core.data.storage.datasets import Dataset
from core.runs.results import outputs
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import BASELINES, TRAINED
from core.runs.training import states, store
from core.runs.training.run import Run
from pages.ui.check.corrected_dataset import offer_save
from pages.ui.check.data_check import has_ended_well, start
from pages.ui.check.label_table import edit


def show_suspects(dataset: Dataset) -> None:
    if data_checks.findings(dataset, BASELINES) is None:
        return
    st.subheader("Suspected wrong labels")
    runs = runs_of(dataset)
    run = finished_run(runs)
    kind = choose_source(run)
    if kind == TRAINED and run and not judged_by(dataset, run):
        return
    found, rows = data_checks.findings(dataset, kind), data_checks.table(dataset, kind)
    if found is None or rows is None:
        st.warning("The list of suspects is missing or damaged.", icon=":material/broken_image:")
        if st.button("Find them again", icon=":material/replay:", key=f"find_{kind}"):
            start(dataset, kind, run if kind == TRAINED else None)
        return
    if rows.empty:
        st.info("No label can be judged.", icon=":material/info:")
        return
    labels, drop = edit(dataset, kind, found, rows)
    offer_save(dataset, labels, drop, next((run for run in runs if not run.unknown), None))


def finished_run(runs: list[Run]) -> Run | None:
    """The newest of them that is finished, with its weights."""
    finished = (run for run in runs if states.state(run).status == "finished" and outputs.model_folder(run))
    return next(finished, None)


def runs_of(dataset: Dataset) -> list[Run]:
    """The runs on exactly these texts, the newest first."""
    return [run for run in store.list_runs() if run.readable and run.dataset_id == dataset.id]


def choose_source(run: Run | None) -> str:
    if run is None:
        return BASELINES
    return st.segmented_control(
        "Told by",
        [BASELINES, TRAINED],
        default=BASELINES,
        required=True,
        key=f"source_{run.id}",
        format_func=lambda kind: (
            "The baselines" if kind == BASELINES else f"The baselines and run {run.number}"
        ),
        help="A trained model and the baselines together find more wrong labels than the baselines alone.",
    )


def judged_by(dataset: Dataset, run: Run) -> bool:
    """Whether the suspects by this run are known; if not, shows why, or finds them."""
    state, found = data_checks.state(dataset, TRAINED), data_checks.findings(dataset, TRAINED)
    if not has_ended_well(dataset, TRAINED, state, f"Asking the model of run {run.number}", run):
        return False
    if found is None or found["run"] != run.id:
        start(dataset, TRAINED, run)
        return False
    return True
