"""Runs: every training so far, and for one of them how good it is and where it goes wrong."""

from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from core import charts
from core.base.errors import UserError
from core.base.formatting import (
    MAIN_SCORES,
    SCORES,
    STATUS,
    TEMPERATURE_IS,
    Score,
    count,
    duration,
    escape_markdown,
    explain,
    isolated,
    percent,
    run_link,
    shorten,
    size,
)
from core.data.quality.fixes import done_to
from core.data.storage.datasets import Dataset, find_dataset
from core.learning.evaluation.calibration import Abstention, at_threshold, set_threshold
from core.runs.results import cleaning
from core.runs.results.comparison import FEWEST, MOST
from core.runs.results.evaluated_texts import (
    AFTER,
    BEFORE,
    BINS,
    Answers,
    answers_of,
    calibration_of,
    collapse_of,
)
from core.runs.results.facts import facts_of, model_title, reasons_left_out, settings_of
from core.runs.results.report_file import report_of_run
from core.runs.tasks import forecasts, studies
from core.runs.training import store
from core.runs.training.store import Run, RunState
from core.serving.report.report_page import score_rows
from core.serving.spreadsheets import safe_csv

TRAIN_PAGE, PREDICT_PAGE, CHECK_PAGE = "pages/2_Train.py", "pages/4_Predict.py", "pages/5_Check.py"
EXPORT_PAGE = "pages/6_Export.py"
COMPARE_PAGE = "pages/7_Compare.py"
REPORT, SURENESS, MISTAKES, CURVES, ABOUT = "Report", "Confidence", "Mistakes", "Curves", "Settings"
SHOWN_TEXTS = 1000
# Age from which the clean-up proposes to delete.
OLD_DAYS = 30
# Pixels: so a phone shows the true label beside the text, and a wide page all columns.
TEXT_WIDTH, BAR_WIDTH = 260, 140
FEW_CLASSES = charts.CELLS_WITH_NUMBERS
EVERY = "All"
TRAIN_AGAIN = "Training again gives them."


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
    several = len(runs) > 1 and st.toggle("Select several to compare", key="several")
    if several:
        choose_several(runs)
        return
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


def choose_several(runs: list[Run]) -> None:
    chosen = st.dataframe(
        runs_table(runs),
        hide_index=True,
        key=f"several_{len(runs)}_{runs[0].id}",
        on_select="rerun",
        selection_mode="multi-row",
        alt="All runs, newest first; select 2 to 8",
        placeholder="",
        column_config=COLUMNS,
    ).selection.rows
    ids = [runs[row].id for row in chosen if row < len(runs)]
    fits = FEWEST <= len(ids) <= MOST
    words = f"Compare {count(len(ids), 'run')}" if fits else f"Select {FEWEST} to {MOST} runs"
    if st.button(words, type="primary", icon=":material/compare_arrows:", disabled=not fits):
        st.switch_page(COMPARE_PAGE, query_params={"runs": ",".join(ids)})


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
    shown = {
        REPORT: show_report,
        SURENESS: show_sureness,
        MISTAKES: show_mistakes,
        CURVES: show_curves,
        ABOUT: show_settings,
    }
    views = st.tabs(list(shown), key="view", on_change="rerun")
    for view, show in zip(views, shown.values(), strict=True):
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
        offer_export(run, state)
        if run.readable and not state.live and is_saved(run):
            offer_more(run)
        with st.popover("Share", icon=":material/link:", help="A link to this run"):
            st.write("Whoever can reach this server can see the run under this link:")
            st.code(run_link(st.context.url, run.id), language=None, wrap_lines=True)
        if not state.live and st.button("Delete", icon=":material/delete:"):
            ask_to_delete(run)


def offer_export(run: Run, state: RunState) -> None:
    if state.live or not store.model_folder(run):
        return
    if st.button("Take it away", icon=":material/outbox:", help="Download this model, in any form."):
        st.switch_page(EXPORT_PAGE, query_params={"run": run.id})


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
    split = choose_split(report)
    if report is None or split is None:
        say_missing(run, "report.json", "No scores yet: they are made when a training ends.")
        return
    scores = report[split]
    show_collapse(report, split)
    show_scores(scores, studies.baseline_of(run.dataset_id, split))
    if "confusion" not in scores:
        st.caption("The scores by class are damaged, or another version left them out.")
        offer_file(run)
        return
    labels = [row["label"] for row in scores["per_class"]]
    if len(labels) > FEW_CLASSES:
        show_confusion(labels, scores["confusion"])
        show_cell(run, split, labels)
        show_classes(scores["per_class"])
    else:
        left, right = st.columns(2, gap="large")
        with left:
            show_confusion(labels, scores["confusion"])
        with right:
            show_classes(scores["per_class"])
        show_cell(run, split, labels)
    offer_file(run)


def choose_split(report: dict[str, Any] | None) -> str | None:
    """The split whose scores are shown: the test texts, unless a person asks for the others."""
    judged = [name for name in ("test", "validation") if report and report.get(name)]
    if not judged:
        return None
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
    return name


def show_collapse(report: dict[str, Any], split: str) -> None:
    """What to try when the model gives all texts the same label."""
    found = collapse_of(report, split)
    if not found:
        return
    label, share, advice = escape_markdown(isolated(shorten(found[0]))), percent(found[1]), found[2]
    tries = "\n".join(f"- {words}" for words in advice)
    st.error(
        f"The model gives {share} of the {split} texts the same label, **{label}**: it has learned nothing "
        "but that."
        f"\n\n**What to try:**\n{tries}",
        icon=":material/report:",
    )


def say_missing(run: Run, file: str, not_yet: str) -> None:
    """Why there is nothing to show: it is not made yet, or the file that an ended run has is damaged."""
    if store.state(run).status == "finished":
        st.warning(
            f"The file {file} of this run is missing, damaged or of another version.",
            icon=":material/broken_image:",
        )
    else:
        st.info(not_yet, icon=":material/info:")


def show_scores(scores: dict[str, Any], baseline: dict[str, Any] | None) -> None:
    """The main scores with their intervals, and beside them what a training must beat."""
    ends = scores.get("intervals", {})
    with st.container(horizontal=True):
        for name in MAIN_SCORES:
            show_score(SCORES[name], scores[name], ends.get(name))
        if "majority_accuracy" in scores:
            show_number("Most common class", percent(scores["majority_accuracy"]), MAJORITY_IS)
        if baseline:
            words = f"The accuracy of {charts.SIMPLE[baseline['name']]}; see the Check page."
            show_number("Baseline", percent(baseline["accuracy"]), words)
        if "texts" in scores:
            show_number("Texts", f"{scores['texts']:,.0f}")
    if not ends:
        st.caption(
            "An earlier version made this run: intervals, calibration and more scores are missing. "
            + TRAIN_AGAIN
        )
        return
    st.caption(":material/info: Below a score: its 95 % interval, from 1,000 resamples of these texts.")
    with st.expander("More scores"):
        show_more_scores(scores)


MAJORITY_IS = "The accuracy of always naming the most common class."


def show_score(score: Score, value: float, ends: list[float] | None) -> None:
    interval = score.write_interval(ends) if ends else None
    st.metric(
        score.words,
        score.write(value),
        interval,
        delta_color="off",
        delta_arrow="off",
        border=True,
        width=180,
        help=score.meaning,
    )


def show_number(words: str, value: str, help: str | None = None) -> None:
    st.metric(words, value, border=True, width=180, help=help)


def show_more_scores(scores: dict[str, Any]) -> None:
    table = pd.DataFrame(score_rows(scores)).drop(columns="main")
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        alt="Every score with its 95 % interval",
        column_config={
            "name": "Score",
            "value": "Value",
            "interval": "95 % interval",
            "after": st.column_config.TextColumn(
                "With temperature", help="Of the probabilities that the model answers with; see Confidence."
            ),
            "meaning": "What it is",
        },
    )


def show_confusion(labels: list[str], matrix: list[list[int]]) -> None:
    st.markdown("##### Confusion matrix", help="A row per true label, a column per answer of the model.")
    words = charts.describe_confusion(labels, matrix)
    st.altair_chart(
        charts.confusion_heatmap(labels, matrix),
        alt=words,
        key="confusion",
        on_select=lambda: take_cell(labels),
        selection_mode="cell",
    )
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


def take_cell(labels: list[str]) -> None:
    """The labels of the cell that was clicked go into the two boxes, which say whose texts are shown."""
    cells = st.session_state["confusion"].selection.get("cell", [])
    names = dict(zip(charts.axis_names(labels), labels, strict=True))
    for key, field in (("cell_true", "true"), ("cell_taken", "predicted")):
        st.session_state[key] = names.get(cells[0][field], every(labels)) if cells else every(labels)


def every(labels: list[str]) -> str:
    """What stands for all labels, and is none of them."""
    words = EVERY
    while words in labels:
        words += " labels"
    return words


def show_cell(run: Run, split: str, labels: list[str]) -> None:
    """The texts of a cell of the confusion matrix, or of a row or column of it."""
    st.markdown("##### Its texts", help="Click a cell of the matrix, or choose here.")
    answers = answers_of(run, split)
    if answers is None:
        say_missing(run, "predictions.parquet", "No answers yet: they are made when a training ends.")
        return
    left, right = st.columns(2)
    options = [every(labels), *labels]
    true = left.selectbox("True label of the cell", options, key="cell_true")
    taken = right.selectbox("Answer of the cell", options, key="cell_taken")
    rows = answers.cell(*(None if label == options[0] else label for label in (true, taken)))
    st.caption(f"{count(len(rows), 'text')}, the surest answer first.{cut_words(rows)}")
    show_texts(rows, "Texts of the cell of the confusion matrix, the surest answer first")


def show_texts(rows: pd.DataFrame, alt: str) -> None:
    columns = [name for name in TEXT_COLUMNS if name in rows]
    st.dataframe(
        rows[columns].head(SHOWN_TEXTS), hide_index=True, alt=alt, column_config=TEXT_COLUMNS, placeholder=""
    )


def cut_words(rows: pd.DataFrame) -> str:
    return f" The first {SHOWN_TEXTS:,} are shown." if len(rows) > SHOWN_TEXTS else ""


TEXT_COLUMNS = {
    "text": st.column_config.TextColumn("Text", width=TEXT_WIDTH),
    "label": st.column_config.TextColumn("True label"),
    "predicted": st.column_config.TextColumn("Answer"),
    "confidence": st.column_config.ProgressColumn(
        "Confidence",
        width=BAR_WIDTH,
        format="percent",
        min_value=0,
        max_value=1,
        help="The probability of the answer.",
    ),
    "true_probability": st.column_config.ProgressColumn(
        "Of the true label",
        width=BAR_WIDTH,
        format="percent",
        min_value=0,
        max_value=1,
        help="The probability of the true label.",
    ),
}


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


def offer_file(run: Run) -> None:
    st.markdown("##### To share")
    with st.container(horizontal=True, vertical_alignment="center"):
        texts = st.toggle(
            "With the texts it got wrong",
            value=True,
            key="file_texts",
            help="Texts may be private. Without them, the file still says how many there are.",
        )
        st.download_button(
            "Report as one file (HTML)",
            lambda: report_of_run(run, texts).encode(),
            "report.html",
            "text/html",
            on_click="ignore",
            icon=":material/download:",
            help="Charts included; opens without a network, on a phone, and prints.",
        )


# How sure it is


def show_sureness(run: Run, report: dict[str, Any] | None) -> None:
    answers = answers_of(run, "test") or answers_of(run, "validation")
    if answers is None:
        say_missing(run, "predictions.parquet", "No answers yet: they are made when a training ends.")
        return
    if answers.probabilities is None:
        st.info(
            "The probabilities of this run were not kept, so nothing can be said of how honest its "
            f"confidence is. {TRAIN_AGAIN}",
            icon=":material/info:",
        )
        return
    show_temperature(answers, report or {})
    left, right = st.columns(2, gap="large")
    with left:
        bins = show_reliability(answers)
    with right:
        show_bin(answers, bins)
    show_coverage(run, answers)


def show_temperature(answers: Answers, report: dict[str, Any]) -> None:
    fit = report.get("calibration") or {}
    source = f", fitted on {count(fit['texts'], 'validation text')}" if fit.get("fitted_on") else ""
    st.write(f"**Temperature {answers.temperature:.2f}**{source}. {TEMPERATURE_IS}")
    if fit.get("reason"):
        st.caption(escape_markdown(fit["reason"]))


def show_reliability(answers: Answers) -> pd.DataFrame:
    st.markdown(
        "##### Reliability",
        help="On the dashed line a model is as often right as it says. Bars are 95 % intervals.",
    )
    bins = answers.reliability()
    words = charts.describe_reliability(bins)
    st.altair_chart(
        charts.reliability_chart(bins),
        alt=words,
        key="reliability",
        on_select=take_bin,
        selection_mode="bin",
    )
    st.caption(f"{words} A click on a point shows its texts.")
    return bins


def take_bin() -> None:
    """The bin that was clicked goes into the two boxes, which say whose texts are shown."""
    points = st.session_state["reliability"].selection.get("bin", [])
    if points:
        st.session_state["bin_when"] = points[0]["when"]
        st.session_state["bin_start"] = round(points[0]["from"] * BINS)


def show_bin(answers: Answers, bins: pd.DataFrame) -> None:
    """The texts of one bin of the reliability diagram, mistakes first."""
    st.markdown("##### Texts by confidence")
    left, right = st.columns(2)
    # A temperature of 1 has no "after".
    whens = [when for when in (AFTER, BEFORE) if when in set(bins["when"])]
    keep_choice("bin_when", whens)
    when = left.selectbox("Temperature", whens, format_func=str.capitalize, key="bin_when")
    starts = [round(start * BINS) for start in bins.loc[bins["when"] == when, "from"]][::-1]
    keep_choice("bin_start", starts)
    start = right.selectbox(
        "Confidence",
        starts,
        format_func=lambda number: f"{percent(number / BINS, 0)} to {percent((number + 1) / BINS, 0)}",
        key="bin_start",
    )
    rows = answers.in_bin(start / BINS, when)
    wrong = int((rows["label"] != rows["predicted"]).sum())
    st.caption(f"{count(len(rows), 'text')}, {wrong:,} of them wrong; these come first.{cut_words(rows)}")
    show_texts(rows, "Texts of one bin of confidence, mistakes first")


def keep_choice(key: str, options: list[Any]) -> None:
    """Forget a choice that another run, or another temperature, does not have."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)


def show_coverage(run: Run, answers: Answers) -> None:
    st.markdown("##### Leave the unsure ones to people")
    kept = calibration_of(run).threshold
    left, right = st.columns(2, gap="large")
    with right:
        asked = st.slider(
            "Threshold: least confidence of an answer (%)",
            0.0,
            100.0,
            100 * (kept or 0.0),
            0.5,
            format="%.1f",
            # Another run has another threshold.
            key=f"threshold_{run.id}",
        )
        found = at_threshold(answers.calibrated, answers.labels, asked / 100)
        show_abstention(found, answers.split)
        keep_threshold(run, asked / 100, kept)
    with left:
        table = answers.coverage()
        words = charts.describe_coverage(table)
        st.altair_chart(
            charts.coverage_chart(table, found.coverage, found.accuracy), alt=words, key="coverage"
        )
        st.caption(words)


def show_abstention(found: Abstention, split: str) -> None:
    """What is answered at this threshold, how well, and what is left."""
    left_out = found.texts - found.kept
    with st.container(horizontal=True):
        show_number("Answered", percent(found.coverage), f"Share of the {split} texts.")
        if found.accuracy is not None:
            show_score(SCORES["accuracy"], found.accuracy, found.interval)
        show_number("Left to people", count(left_out, "text"), f"Of {found.texts:,} {split} texts.")


def keep_threshold(run: Run, asked: float, kept: float | None) -> None:
    """Stores the threshold with the model, where Predict and the exports find it."""
    folder = store.model_folder(run)
    if folder is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Keep this threshold", icon=":material/save:", disabled=asked == (kept or 0.0)):
            store_threshold(run, asked or None)
        if kept is not None and st.button("Remove it", type="tertiary"):
            st.session_state.pop(f"threshold_{run.id}", None)
            store_threshold(run, None)
    words = "No threshold is kept: the model answers every text."
    if kept is not None:
        words = (
            f"Kept with the model: {percent(kept)}. Predict and exported models mark texts below it "
            "as left to people."
        )
    st.caption(words)


def store_threshold(run: Run, threshold: float | None) -> None:
    folder = store.model_folder(run)
    if folder is None:
        return
    try:
        set_threshold(folder, threshold)
    except OSError as error:
        st.error(f"It could not be kept: {escape_markdown(str(error.strerror))}.", icon=":material/error:")
        return
    st.rerun()


# Where it goes wrong


def show_mistakes(run: Run, report: dict[str, Any] | None) -> None:
    answers = answers_of(run, "test") or answers_of(run, "validation")
    if answers is None:
        say_missing(run, "predictions.parquet", "No answers yet: they are made when a training ends.")
        return
    wrong = answers.mistakes()
    st.write(
        f"{count(len(wrong), 'text')} of {len(answers.table):,} {answers.split} texts got a wrong label. "
        "The model was surest of the first."
    )
    if wrong.empty:
        return
    shown = filter_mistakes(wrong)
    show_texts(shown, "Texts with a wrong label, the surest mistake first")
    st.download_button(
        "Download these (CSV)",
        lambda: safe_csv(shown),
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
        show_pairs(settings_of(run), "Settings of this run")
    with right:
        st.markdown("##### Data and machine")
        show_pairs(facts_of(run, report or {}), "Data and machine of this run")
    with suppress(UserError):
        show_data_card(store.own_dataset(run))


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


def show_pairs(pairs: dict[str, str], alt: str) -> None:
    table = pd.DataFrame({"Name": list(pairs), "Value": list(pairs.values())})
    st.dataframe(table, hide_index=True, height="content", alt=alt)


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
