"""How good a run is, on the split that is chosen."""

from typing import Any

import streamlit as st

from core.base.formatting import escape_markdown, isolated, percent, shorten
from core.runs.results.evaluated_texts import collapse_of
from core.runs.results.report_file import report_of_run
from core.runs.tasks import data_checks
from core.runs.training.run import Run
from pages.ui.runs.classes import show_classes
from pages.ui.runs.confusion import FEW_CLASSES, show_cell, show_confusion
from pages.ui.runs.scores import show_scores
from pages.ui.runs.texts import say_missing


def show_report(run: Run, report: dict[str, Any] | None) -> None:
    split = choose_split(report)
    if report is None or split is None:
        say_missing(run, "report.json", "No scores yet: they are made when a training ends.")
        return
    scores = report[split]
    show_collapse(report, split)
    show_scores(scores, data_checks.baseline_of(run.dataset_id, split))
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
