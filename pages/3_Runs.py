"""Runs: every training so far, and for one of them how good it is and where it goes wrong."""

from collections import Counter
from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from core import charts
from core.data.datasets import Dataset, find_dataset, read_rejected
from core.data.fixes import done_to
from core.errors import UserError
from core.learning import catalogue
from core.learning import config as settings
from core.runs import cleaning, forecasts, store, studies
from core.runs.store import Run, RunState
from core.serving.spreadsheets import csv_text, spreadsheet_safe
from core.words import (
    SETTINGS,
    STATUS,
    count,
    duration,
    escape_markdown,
    explain,
    percent,
    run_link,
    shorten,
    size,
)

TRAIN_PAGE, PREDICT_PAGE, CHECK_PAGE = "pages/2_Train.py", "pages/4_Predict.py", "pages/5_Check.py"
REPORT, MISTAKES, CURVES, ABOUT = "Report", "Mistakes", "Curves", "Settings"
SHOWN_MISTAKES = 1000
SHOWN_REASONS = 200
# Age from which the clean-up proposes to delete.
OLD_DAYS = 30
FEW_CLASSES = charts.CELLS_WITH_NUMBERS


def main() -> None:
    st.set_page_config(page_title="Runs – Textuner", layout="wide")
    st.title("Runs")
    show_freed()
    runs = store.list_runs()
    if not runs:
        teach()
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.write("Every training so far. Select one to see how good it is and where it goes wrong.")
        if st.button("Clean up", type="tertiary", icon=":material/cleaning_services:"):
            clean_up()
    run = choose_run(runs)
    if run:
        show_run(run)


def teach() -> None:
    st.write(
        "Each training leaves a run here: its scores on texts it has never seen, the texts it got wrong, "
        "its settings, and the model itself. There is none yet."
    )
    if st.button("Train a model", type="primary", icon=":material/model_training:"):
        st.switch_page(TRAIN_PAGE)


# The table of runs


def choose_run(runs: list[Run]) -> Run | None:
    """The run of the link, or the one whose row is selected; the link follows the selection."""
    ids = [run.id for run in runs]
    linked = st.query_params.get("run")
    if linked is not None and linked not in ids:
        try:
            store.find_run(linked)
        except UserError as error:
            st.error(explain(error), icon=":material/error:")
    chosen = st.dataframe(
        runs_table(runs),
        hide_index=True,
        # Another key when the list changes: a selected row number would mean another run.
        key=f"runs_{len(ids)}_{ids[0]}",
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(linked)] if linked in ids else []}},
        alt="All runs, newest first",
        placeholder="",
        column_config=COLUMNS,
    ).selection.rows
    selected = ids[chosen[0]] if chosen and chosen[0] < len(ids) else None
    if selected != linked:
        follow(selected)
    return runs[ids.index(selected)] if selected else None


def follow(selected: str | None) -> None:
    if selected:
        st.query_params["run"] = selected
    elif "run" in st.query_params:
        del st.query_params["run"]


def runs_table(runs: list[Run]) -> pd.DataFrame:
    table = pd.DataFrame([row_of(run) for run in runs])
    table["Started"] = pd.to_datetime(table["Started"], unit="s", utc=True)
    return table


def row_of(run: Run) -> dict[str, Any]:
    state = store.state(run)
    row: dict[str, Any] = {"Status": STATUS[state.status].words, "Data set": run.name or "(cannot be read)"}
    row |= {"Accuracy (%)": None, "Macro F1 (%)": None, "Started": state.started or run.created or None}
    if not run.readable:
        return row
    scores = (store.report_of(run) or {}).get("test")
    if scores:
        row |= {"Accuracy (%)": 100 * scores["accuracy"], "Macro F1 (%)": 100 * scores["macro_f1"]}
    values: dict[str, Any] = {
        "model": model_title(run),
        "epochs": run.config.epochs,
        "batch_size": run.config.batch_size,
        "learning_rate": f"{run.config.learning_rate:g}",
    }
    row |= {"Duration": duration(state.seconds) if state.seconds is not None else None}
    values |= dict.fromkeys(name for name in values if name in run.unrecorded)
    return row | {IN_TABLE[name]: value for name, value in values.items()}


def model_title(run: Run) -> str:
    titles = {known.name: known.title for known in catalogue.available()}
    return titles.get(run.config.model, run.config.model)


IN_TABLE = {
    "model": "Model",
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "learning_rate": "Learning rate",
}

COLUMNS = {
    "Accuracy (%)": st.column_config.NumberColumn(
        format="%.1f", help="Share of the test texts that got the right label."
    ),
    "Macro F1 (%)": st.column_config.NumberColumn(
        format="%.1f", help="Mean F1 of all classes on the test texts; every class counts the same."
    ),
    "Started": st.column_config.DatetimeColumn(format="distance"),
    "Epochs": st.column_config.NumberColumn(help="Passes over the training texts."),
    "Batch size": st.column_config.NumberColumn(help="Texts per step."),
}


# One run


def show_run(run: Run) -> None:
    state = store.state(run)
    report = store.report_of(run)
    show_heading(run, state)
    if state.reason:
        box = st.error if state.status in ("failed", "damaged") else st.warning
        box(say(state), icon=STATUS[state.status].icon)
    if not run.readable:
        return
    show_forecast(run, state, report or {})
    if run.unknown and not run.damage:
        names = escape_markdown(", ".join(run.unknown))
        st.caption(f"Made by another version, with settings that this one lacks: {names}.")
    views = st.tabs([REPORT, MISTAKES, CURVES, ABOUT], key="view", on_change="rerun")
    for view, show in zip(views, (show_report, show_mistakes, show_curves, show_settings), strict=True):
        if view.open:
            with view:
                show(run, report)


def show_forecast(run: Run, state: RunState, report: dict[str, Any]) -> None:
    """What was expected of the run when it was submitted, beside what it took once it has ended."""
    expected = forecasts.recorded(run)
    if expected is None:
        return
    words = forecasts.compared(expected, report) if state.status == "finished" else None
    st.caption(f":material/timer: {words or f'Forecast: about {forecasts.in_words(expected)}.'}")


def show_heading(run: Run, state: RunState) -> None:
    status = STATUS[state.status]
    st.subheader(escape_markdown(shorten(run.name or "A run that cannot be read", 80)))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status.words, icon=status.icon, color=status.colour)
        if state.status == "interrupted" and st.button(
            "Resume on Train",
            type="secondary" if store.model_folder(run) else "primary",
            icon=":material/resume:",
            help="The Train page lets it go on.",
        ):
            st.switch_page(TRAIN_PAGE, query_params={"run": run.id})
        if state.live and st.button("Watch it", type="primary", icon=":material/visibility:"):
            st.switch_page(TRAIN_PAGE, query_params={"run": run.id})
        if (
            not state.live
            and store.model_folder(run)
            and st.button("Try it", type="primary", icon=":material/label:")
        ):
            st.switch_page(PREDICT_PAGE, query_params={"run": run.id})
        if run.readable and not state.live and is_saved(run):
            offer_more(run)
        with st.popover("Share", icon=":material/link:", help="A link to this run"):
            st.write("Whoever can reach this server can see the run under this link:")
            st.code(run_link(st.context.url, run.id), language=None, wrap_lines=True)
        if not state.live and st.button("Delete", icon=":material/delete:"):
            ask_to_delete(run)


def is_saved(run: Run) -> bool:
    """Whether the data set that the run was started with is still there."""
    try:
        find_dataset(run.dataset_id)
    except UserError:
        return False
    return True


def offer_more(run: Run) -> None:
    if st.button(
        "Train again",
        icon=":material/replay:",
        help="Opens the Train page with this data set and these settings, to be changed or not.",
    ):
        st.switch_page(TRAIN_PAGE, query_params={"dataset": run.dataset_id, "like": run.id})
    if st.button(
        "Check its labels",
        icon=":material/fact_check:",
        help="Which labels of the data set are probably wrong, and what simple classifiers reach.",
    ):
        st.switch_page(CHECK_PAGE, query_params={"dataset": run.dataset_id})


def say(state: RunState) -> str:
    words = escape_markdown(state.reason)
    return f"{words}\n\n**What to do:** {escape_markdown(state.remedy)}" if state.remedy else words


# How good it is


def show_report(run: Run, report: dict[str, Any] | None) -> None:
    judged = [name for name in ("test", "validation") if report and report.get(name)]
    if not judged:
        say_missing(run, "report.json", "No scores yet: they are made when a training ends.")
        return
    name = judged[0]
    if len(judged) > 1:
        name = st.segmented_control(
            "Judged on",
            judged,
            default="test",
            required=True,
            format_func=lambda split: f"{split.capitalize()} texts",
            key="judged",
        )
    if name == "validation":
        st.caption("The best weights were chosen by these texts, so these scores are a little too good.")
    scores = report[name]
    show_scores(scores)
    if "confusion" not in scores:
        st.caption("The scores by class are damaged, or another version left them out.")
        return
    labels = [row["label"] for row in scores["per_class"]]
    wide = len(labels) > FEW_CLASSES
    left, right = (st.container(), st.container()) if wide else st.columns(2, gap="large")
    with left:
        show_confusion(labels, scores["confusion"])
    with right:
        show_classes(scores["per_class"])


def say_missing(run: Run, file: str, not_yet: str) -> None:
    """Why there is nothing to show: it is not made yet, or the file that an ended run has is damaged."""
    if store.state(run).status == "finished":
        st.warning(
            f"The file {file} of this run is missing, damaged or of another version.",
            icon=":material/broken_image:",
        )
    else:
        st.info(not_yet, icon=":material/info:")


# What each score is called, how it is written, and what it means.
SCORES = {
    "accuracy": ("Accuracy", percent, "Share of the texts that got the right label."),
    "macro_f1": (
        "Macro F1",
        percent,
        "Mean over all classes of F1 (the balance of precision and recall); each counts the same.",
    ),
    "majority_accuracy": ("Baseline", percent, "The accuracy of always naming the most common class."),
    "loss": (
        "Loss",
        "{:.3f}".format,
        "How far the probabilities are from the true labels (cross-entropy, nats). Lower is better.",
    ),
    "texts": ("Texts", "{:,.0f}".format, None),
}


def show_scores(scores: dict[str, Any]) -> None:
    with st.container(horizontal=True):
        for name, (words, form, help) in SCORES.items():
            if name in scores:
                st.metric(words, form(scores[name]), border=True, width=150, help=help)


def show_confusion(labels: list[str], matrix: list[list[int]]) -> None:
    st.markdown("##### Confusion matrix", help="A row per true label, a column per answer of the model.")
    words = charts.describe_confusion(labels, matrix)
    st.altair_chart(charts.confusion_heatmap(labels, matrix), alt=words, key="confusion")
    st.caption(escape_markdown(words))
    mistakes = charts.mistakes_table(labels, matrix)
    if mistakes.empty:
        return
    with st.expander("What is taken for what"):
        st.dataframe(
            mistakes,
            hide_index=True,
            alt="Pairs of labels that are confused, the most frequent first",
            column_config={
                "true": "True label",
                "predicted": "Taken for",
                "texts": st.column_config.NumberColumn("Texts", format="localized"),
                "share": st.column_config.NumberColumn("Share of the true label", format="percent"),
            },
        )


def show_classes(per_class: list[dict[str, Any]]) -> None:
    st.markdown("##### Classes")
    table = pd.DataFrame(per_class)[["label", "f1", "precision", "recall", "support"]]
    table[["f1", "precision", "recall"]] *= 100
    st.dataframe(
        table,
        hide_index=True,
        alt="Precision, recall and F1 of each class",
        column_config={
            "label": "Class",
            "f1": st.column_config.ProgressColumn(
                "F1 (%)",
                format="%.1f",
                min_value=0,
                max_value=100,
                help="The balance of precision and recall (their harmonic mean).",
            ),
            "precision": st.column_config.NumberColumn(
                "Precision (%)",
                format="%.1f",
                help="Of the texts that got this label, how many are of the class.",
            ),
            "recall": st.column_config.NumberColumn(
                "Recall (%)", format="%.1f", help="Of the texts of this class, how many got the label."
            ),
            "support": st.column_config.NumberColumn("Texts", format="localized"),
        },
    )


# Where it goes wrong


def show_mistakes(run: Run, report: dict[str, Any] | None) -> None:
    predictions = store.predictions_of(run)
    if predictions is None or predictions.empty:
        say_missing(run, "predictions.parquet", "No answers yet: they are made when a training ends.")
        return
    split = "test" if (predictions["split"] == "test").any() else "validation"
    answers = predictions[predictions["split"] == split]
    wrong = answers[answers["label"] != answers["predicted"]].sort_values("confidence", ascending=False)
    st.write(
        f"{count(len(wrong), 'text')} of {len(answers):,} {split} texts got a wrong label. "
        "The model was surest of the first."
    )
    if wrong.empty:
        return
    shown = filter_mistakes(wrong)
    st.dataframe(
        shown[["text", "label", "predicted", "confidence"]].head(SHOWN_MISTAKES),
        hide_index=True,
        alt="Texts with a wrong label, the surest mistake first",
        column_config={
            "text": st.column_config.TextColumn("Text", width="medium"),
            "label": "True label",
            "predicted": "Answer",
            "confidence": st.column_config.ProgressColumn(
                "Confidence",
                format="percent",
                min_value=0,
                max_value=1,
                help="The probability of the answer.",
            ),
        },
    )
    st.download_button(
        "Download these (CSV)",
        lambda: csv_text(spreadsheet_safe(shown.drop(columns="split"))[0]).encode("utf-8-sig"),
        "mistakes.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        help="Cells that a spreadsheet would run as a formula are quoted.",
    )


def filter_mistakes(wrong: pd.DataFrame) -> pd.DataFrame:
    left, right = st.columns(2)
    true = left.multiselect("True label", sorted(wrong["label"].unique()), placeholder="All", key="true")
    taken = right.multiselect("Answer", sorted(wrong["predicted"].unique()), placeholder="All", key="taken")
    if true:
        wrong = wrong[wrong["label"].isin(true)]
    if taken:
        wrong = wrong[wrong["predicted"].isin(taken)]
    return wrong


# How it learned, and with what


def show_curves(run: Run, report: dict[str, Any] | None) -> None:
    events = store.events_of(run)
    losses, scores = charts.loss_table(events), charts.score_table(events)
    if losses.empty:
        st.info("No step yet.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    with left:
        words = charts.describe_losses(losses)
        st.altair_chart(charts.loss_curves(losses), alt=words, key="loss")
        st.caption(words)
    if scores.empty:
        return
    with right:
        majority = ((report or {}).get("validation") or {}).get("majority_accuracy")
        to_beat = charts.to_beat(majority, studies.baseline_of(run.dataset_id, "validation"))
        words = charts.describe_scores(scores, to_beat)
        st.altair_chart(charts.score_curves(scores, to_beat), alt=words, key="scores")
        st.caption(words)


def show_settings(run: Run, report: dict[str, Any] | None) -> None:
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown("##### Settings")
        values = settings.to_dict(run.config) | {"model": model_title(run)}
        # What a version of old did not write down may have been another value than today's default.
        values |= dict.fromkeys(run.unrecorded, "not recorded")
        show_pairs({SETTINGS[name]: value for name, value in values.items()}, "Settings of this run")
    with right:
        st.markdown("##### Data and machine")
        show_pairs(facts_of(run, report or {}), "Data and machine of this run")
    with suppress(UserError):
        show_data_card(store.own_dataset(run))


def facts_of(run: Run, report: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"Data set": run.name}
    try:
        facts |= facts_of_data(store.own_dataset(run))
    except UserError as error:
        facts["Data"] = error.reason
    names = {"device": "Device", "precision": "Precision", "hardware_reason": "Why so"}
    facts |= {words: report[name] for name, words in names.items() if name in report}
    if "train_seconds" in report:
        facts["Training steps took"] = duration(report["train_seconds"])
    speeds = {"samples_per_second": "Texts per second", "tokens_per_second": "Tokens per second"}
    facts |= {words: f"{report[name]:,.0f}" for name, words in speeds.items() if name in report}
    return facts | {"Run": run.id}


def facts_of_data(dataset: Dataset) -> dict[str, str]:
    parts = [f"{number:,} {charts.SPLIT_MEANING[split]}" for split, number in dataset.counts.items()]
    return {
        "Texts": ", ".join(parts),
        "Classes": f"{len(dataset.label2id):,}",
        "Split": dataset.how,
        "Content (sha256)": dataset.sha256,
    }


def show_data_card(dataset: Dataset) -> None:
    """What was done to the rows of the file on their way into the data set."""
    st.markdown("##### Data card")
    done, reasons = done_to(dataset.source), reasons_left_out(dataset)
    if not done:
        st.caption("Nothing was changed: texts and labels are as in the file.")
    else:
        st.dataframe(
            {
                "What was done": [one.fix for one in done],
                "Rows changed": [one.changed for one in done],
                "Rows left out": [one.left_out for one in done],
            },
            hide_index=True,
            height="content",
            alt="What was done to the data before it was saved, in this order",
        )
    if not reasons:
        st.caption("No row of the file was left out.")
    else:
        st.dataframe(
            {"Why rows were left out": list(reasons), "Rows": list(reasons.values())},
            hide_index=True,
            alt="Why rows of the file are not in the data set, the most frequent reason first",
        )


def reasons_left_out(dataset: Dataset) -> dict[str, int]:
    """Reason → rows of the file that are not in the data set, the most frequent first."""
    found = Counter(row.reason for row in read_rejected(dataset)) + Counter(dataset.removed)
    return dict(found.most_common(SHOWN_REASONS))


def show_pairs(pairs: dict[str, Any], alt: str) -> None:
    table = pd.DataFrame({"Name": list(pairs), "Value": [in_words(value) for value in pairs.values()]})
    st.dataframe(table, hide_index=True, height="content", alt=alt)


def in_words(value: Any) -> str:  # noqa: ANN401 - settings are numbers, words and switches
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"


# Deleting


@st.dialog("Delete this run?", icon=":material/delete:")
def ask_to_delete(run: Run) -> None:
    st.text(run.name or "A run that cannot be read")
    st.write("Its model, scores and log are removed and cannot be brought back. The data set stays.")
    if not st.button(f"Delete it and free {size(cleaning.bytes_of(run))}", type="primary"):
        return
    try:
        freed = store.delete_run(run.id, spare_waiting=True)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.session_state["freed"] = f"Deleted; {size(freed)} freed."
    st.query_params.clear()
    st.rerun()


@st.dialog("Clean up runs", icon=":material/cleaning_services:", width="medium")
def clean_up() -> None:
    st.write(f"All runs together take **{size(cleaning.bytes_of_all())}** on the disk.")
    days = st.number_input(
        "Ended more than … days ago",
        min_value=0,
        value=OLD_DAYS,
        key="old_days",
        help="Runs that wait in line or are being trained are never among them.",
    )
    old = cleaning.older_than(days)
    if not old:
        st.info(f"No run ended more than {count(days, 'day')} ago.", icon=":material/info:")
        return
    sizes = list(map(cleaning.bytes_of, old))
    show_old(old, sizes)
    st.write("Their models, scores and logs cannot be brought back. The data sets stay.")
    if st.button(f"Delete {count(len(old), 'run')} and free {size(sum(sizes))}", type="primary"):
        done = cleaning.delete(old)
        done.freed += cleaning.sweep()
        if done.deleted:
            st.session_state["freed"] = f"{count(done.deleted, 'run')} deleted; {size(done.freed)} freed."
        st.session_state["refused"] = [f"{run.name}: {error}" for run, error in done.refused]
        st.query_params.clear()
        st.rerun()


def show_old(old: list[Run], sizes: list[int]) -> None:
    st.dataframe(
        {
            "Data set": [run.name or "(cannot be read)" for run in old],
            "Status": [STATUS[store.state(run).status].words for run in old],
            "Ended": pd.to_datetime([cleaning.ended_at(run) for run in old], unit="s", utc=True),
            "Size": list(map(size, sizes)),
        },
        hide_index=True,
        alt="The runs that would be deleted, the oldest first",
        column_config={"Ended": st.column_config.DatetimeColumn(format="distance")},
    )


def show_freed() -> None:
    freed = st.session_state.pop("freed", None)
    if freed is not None:
        st.success(freed, icon=":material/check_circle:")
    for words in st.session_state.pop("refused", []):
        st.warning(f"Not deleted: {escape_markdown(words)}", icon=":material/error:")


if "routed" not in st.session_state:
    # Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    with suppress(StreamlitAPIException):
        st.switch_page("streamlit_app.py", query_params=st.query_params.to_dict() | {"page": "Runs"})
main()
