"""Check: what simple classifiers reach on a data set, which labels are in doubt, would more texts help."""

from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from core import charts
from core.base.errors import UserError
from core.base.formatting import count, escape_markdown, explain, percent, shorten
from core.data.storage import datasets as saved
from core.data.storage.datasets import Dataset, find_dataset, list_datasets
from core.runs.tasks import studies
from core.runs.tasks.studies import BASELINES, CURVE, TRAINED, StudyState
from core.runs.training import queue, store
from core.runs.training.store import Run

DATA_PAGE, TRAIN_PAGE = "pages/1_Data.py", "pages/2_Train.py"
LOOK_EVERY_SECONDS = 1.0
# Texts are broken into lines in rows of more than 64.
TEXT_ROW_PIXELS = 76
FEWEST_SHOWN, MOST_SHOWN = 20, 300
NAMES = {
    "majority": "Always the most common class",
    "tfidf": "Words and letter groups (TF-IDF)",
    "embeddings": "Embedded model as it comes",
    "average": "Both together",
}
WAYS_OUT = {"lost": "warning", "stopped": "info", "failed": "error"}


def main() -> None:
    st.set_page_config(page_title="Check – Textuner", layout="wide")
    st.title("Check")
    datasets = list_datasets()
    if not datasets:
        send_to_data()
        return
    st.write(
        "Before an hour is spent on training: what simple classifiers reach on a data set, which labels are "
        "probably wrong, and whether more texts would help."
    )
    dataset = choose_dataset(datasets)
    show_saved_again(dataset)
    show_baselines(dataset)
    show_suspects(dataset)
    show_curve(dataset)


def send_to_data() -> None:
    st.write("There is nothing to check yet: save a table of texts and their labels as a data set first.")
    if st.button("Go to Data", type="primary", icon=":material/table_view:"):
        st.switch_page(DATA_PAGE)


def choose_dataset(datasets: list[Dataset]) -> Dataset:
    """The data set of the link, or the newest; the link follows the choice."""
    by_id = {dataset.id: dataset for dataset in datasets}
    wanted = st.query_params.get("dataset")
    if wanted is not None and wanted not in by_id:
        try:
            find_dataset(wanted)
        except UserError as error:
            st.error(explain(error), icon=":material/error:")
    ids = list(by_id)
    chosen = st.selectbox(
        "Data set",
        ids,
        index=ids.index(wanted) if wanted in by_id else 0,
        # Another key when the link changes: a choice made before must not outlive it.
        key=f"dataset_{wanted}",
        format_func=lambda id: f"{by_id[id].name} ({sum(by_id[id].counts.values()):,} texts)",
        help="Saved on the Data page; the newest comes first.",
        width=420,
    )
    if chosen != wanted:
        st.query_params.from_dict({"dataset": chosen})
    return by_id[chosen]


# A study, whatever its kind


def has_ended_well(
    dataset: Dataset, kind: str, state: StudyState, words: str, run: Run | None = None
) -> bool:
    """Whether nothing of the study is at work or went wrong; if it is, shows it."""
    if state.live:
        follow(dataset, kind, words)
    elif state.status in WAYS_OUT:
        offer_again(dataset, kind, state, run)
    else:
        return True
    return False


def follow(dataset: Dataset, kind: str, words: str) -> None:
    """Show a study at work; once it has ended the whole page is drawn anew."""

    def watch() -> None:
        now = studies.state(dataset, kind)
        if not now.live:
            st.rerun()
        st.progress(now.share, f"{words} · {percent(now.share, 0)} · {escape_markdown(now.doing)}")
        if st.button("Stop", icon=":material/stop:", key=f"stop_{kind}"):
            studies.cancel(dataset, kind)
            st.rerun()

    st.fragment(watch, run_every=LOOK_EVERY_SECONDS)()


def start(dataset: Dataset, kind: str, run: Run | None = None) -> None:
    try:
        studies.start(dataset, kind, run)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.rerun()


def offer_again(dataset: Dataset, kind: str, state: StudyState, run: Run | None = None) -> None:
    """Why a study has not ended well, and the way on."""
    say = getattr(st, WAYS_OUT[state.status])
    words = f"{escape_markdown(state.reason)}\n\n**What to do:** {escape_markdown(state.remedy)}"
    say(words, icon=":material/info:" if state.status == "stopped" else ":material/error:")
    if st.button("Start it again", icon=":material/replay:", key=f"again_{kind}"):
        start(dataset, kind, run)


# The baseline


def show_baselines(dataset: Dataset) -> None:
    st.subheader("Baseline")
    state = studies.state(dataset, BASELINES)
    if state.status == "none":
        start(dataset, BASELINES)
        return
    if not has_ended_well(dataset, BASELINES, state, "Cross-validating simple classifiers"):
        return
    found = studies.findings(dataset, BASELINES)
    if found:
        show_scores(found)
        with st.container(horizontal=True):
            if st.button("Train on it", icon=":material/model_training:"):
                st.switch_page(TRAIN_PAGE, query_params={"dataset": dataset.id})
            if st.button("Find it again", type="tertiary", icon=":material/replay:"):
                start(dataset, BASELINES)


def show_scores(found: dict[str, Any]) -> None:
    scores = found["scores"]["all"]
    best = scores[found["best"]]
    st.markdown(
        f"Fine-tuning must beat a macro F1 of **{percent(best['macro_f1'])}** "
        f"(accuracy {percent(best['accuracy'])})."
    )
    table = pd.DataFrame(
        [
            [words, 100 * scores[name]["accuracy"], 100 * scores[name]["macro_f1"]]
            for name, words in NAMES.items()
        ],
        columns=["Classifier", "Accuracy (%)", "Macro F1 (%)"],
    )
    st.dataframe(
        table,
        hide_index=True,
        width=560,
        alt="Accuracy and macro F1 of the simple classifiers",
        column_config={
            "Accuracy (%)": st.column_config.NumberColumn(
                format="%.1f", help="Share of the texts that get the right label."
            ),
            "Macro F1 (%)": st.column_config.NumberColumn(
                format="%.1f", help="Mean F1 of all classes; every class counts the same."
            ),
        },
    )
    st.caption(" ".join(about(found)))


def about(found: dict[str, Any]) -> list[str]:
    """How the baselines were found, in sentences."""
    said = [
        f"Each text is judged by classifiers trained on the others, in {found['folds']} folds "
        "(cross-validation); equal texts are in one fold."
    ]
    if found["judged"] < found["texts"]:
        said.append(f"Of {found['texts']:,} texts, {found['judged']:,} were drawn at random for this.")
    if unknown := found.get("unknown"):
        said.append(f"{count(unknown, 'text')} could not be judged: no other text has the same label.")
    return said


# Suspected labels


def show_suspects(dataset: Dataset) -> None:
    if studies.findings(dataset, BASELINES) is None:
        return
    st.subheader("Suspected wrong labels")
    runs = runs_of(dataset)
    run = finished_run(runs)
    kind = choose_source(run)
    if kind == TRAINED and not judged_by(dataset, run):
        return
    found, rows = studies.findings(dataset, kind), studies.table(dataset, kind)
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
    finished = (run for run in runs if store.state(run).status == "finished" and store.model_folder(run))
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
    state, found = studies.state(dataset, TRAINED), studies.findings(dataset, TRAINED)
    if not has_ended_well(dataset, TRAINED, state, f"Asking the model of run {run.number}", run):
        return False
    if found is None or found["run"] != run.id:
        start(dataset, TRAINED, run)
        return False
    return True


def edit(
    dataset: Dataset, kind: str, found: dict[str, Any], rows: pd.DataFrame
) -> tuple[dict[tuple[str, int], str], list[tuple[str, int]]]:
    """The list in which labels are mended. Returns what `changes` says of it."""
    verb = "is" if found["suspects"] == 1 else "are"
    st.markdown(
        f"**{count(found['suspects'], 'label')}** of {found['judged']:,} {verb} probably wrong. "
        "The most doubtful come first: choose another label, or drop the text. The data set itself stays as "
        "it is."
    )
    fill = st.toggle(
        "Fill in the suggested labels",
        key=f"fill_{kind}_{dataset.id}",
        help="Begins with the suggestion wherever the label is more likely wrong than right. Switching it "
        "forgets what was changed below.",
    )
    shown = rows.head(max(FEWEST_SHOWN, min(MOST_SHOWN, found["suspects"])))
    edited = st.data_editor(
        editable(shown, fill),
        hide_index=True,
        row_height=TEXT_ROW_PIXELS,
        height=520,
        # Another key when the list is another one: an edited row number would mean another text.
        key=f"edit_{kind}_{dataset.id}_{found.get('run')}_{fill}",
        alt="Texts whose labels are in doubt, the most doubtful first",
        disabled=["text", "label", "suggested", "doubt", "split"],
        column_config=columns(list(dataset.label2id)),
    )
    return changes(shown, edited)


def editable(rows: pd.DataFrame, fill: bool) -> pd.DataFrame:
    new = rows["suggested"].where(rows["likely"].astype(bool) & fill, rows["label"])
    return pd.DataFrame(
        {
            "text": rows["text"],
            "label": rows["label"],
            "new": new,
            "drop": False,
            "suggested": rows["suggested"],
            "doubt": 100 * (1 - rows["probability"]),
            "split": rows["split"].map(charts.SPLIT_MEANING),
        }
    )


def columns(labels: list[str]) -> dict[str, Any]:
    return {
        "text": st.column_config.TextColumn("Text", width=280),
        "label": st.column_config.TextColumn("Label", help="As given."),
        "new": st.column_config.SelectboxColumn(
            "New label", options=labels, required=True, help="Choose here which label the text gets."
        ),
        "drop": st.column_config.CheckboxColumn("Drop", help="Leave the text out."),
        "suggested": st.column_config.TextColumn("Suggested", help="What the classifiers take it for."),
        "doubt": st.column_config.ProgressColumn(
            "Doubt (%)",
            width=110,
            format="%.0f",
            min_value=0,
            max_value=100,
            help="The probability, by the classifiers, that the given label is wrong.",
        ),
        "split": st.column_config.TextColumn("Split"),
    }


def changes(
    rows: pd.DataFrame, edited: pd.DataFrame
) -> tuple[dict[tuple[str, int], str], list[tuple[str, int]]]:
    """The new labels by (split, position), and the texts to drop."""
    places = list(zip(rows["split"], rows["position"].astype(int), strict=True))
    new, old, dropped = edited["new"], rows["label"], edited["drop"]
    labels = {
        place: label
        for place, label, given, gone in zip(places, new, old, dropped, strict=True)
        if label != given and not gone
    }
    return labels, [place for place, gone in zip(places, dropped, strict=True) if gone]


def offer_save(
    dataset: Dataset,
    labels: dict[tuple[str, int], str],
    drop: list[tuple[str, int]],
    last: Run | None,
) -> None:
    """The way on with what was mended; `last` is the run whose settings a new one takes."""
    changed = bool(labels or drop)
    st.markdown(f"{count(len(labels), 'label')} changed, {count(len(drop), 'text')} dropped.")
    with st.container(horizontal=True):
        train = last is not None and st.button(
            "Save and train again",
            type="primary",
            icon=":material/model_training:",
            disabled=not changed,
            help="Saves a new data set, and starts a training on it with the settings of the last run.",
        )
        save = st.button(
            "Save as a new data set",
            type="secondary" if last else "primary",
            icon=":material/save:",
            disabled=not changed,
        )
    if not (train or save):
        return
    try:
        new = saved.relabel(dataset.id, labels, drop)
        run = queue.submit(last.config, new) if train else None
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    if run:
        st.switch_page(TRAIN_PAGE, query_params={"run": run.id})
    st.session_state["saved_again"] = new.id
    st.query_params.from_dict({"dataset": new.id})
    st.rerun()


def show_saved_again(dataset: Dataset) -> None:
    if st.session_state.get("saved_again") == dataset.id:
        st.success(f"Saved as {escape_markdown(shorten(dataset.name, 80))}.", icon=":material/check_circle:")


# The learning curve


def show_curve(dataset: Dataset) -> None:
    st.subheader("Would more texts help?")
    state = studies.state(dataset, CURVE)
    if not has_ended_well(dataset, CURVE, state, "Training on parts of the texts"):
        return
    found = studies.findings(dataset, CURVE)
    if found is None:
        st.write("The baseline is trained on 10, 25, 50 and 100 % of the texts, and scored on others.")
        if st.button("Draw the learning curve", icon=":material/show_chart:"):
            start(dataset, CURVE)
        return
    points = found["points"]
    words = charts.describe_learning(points)
    st.altair_chart(charts.learning_curve(points), alt=words, key="curve")
    st.markdown(escape_markdown(found["verdict"]))


if "routed" not in st.session_state:
    # Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    with suppress(StreamlitAPIException):
        st.switch_page("streamlit_app.py", query_params=st.query_params.to_dict() | {"page": "Check"})
main()
