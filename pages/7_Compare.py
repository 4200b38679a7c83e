"""Compare: 2 to 8 runs beside each other, and whether their scores differ by more than noise."""

from contextlib import suppress

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from core import charts
from core.base.errors import UserError
from core.base.formatting import SCORES, SETTINGS, count, escape_markdown, explain, percent, shorten
from core.runs.results.comparison import FEWEST, MOST, Comparison, compare_runs
from core.runs.results.facts import in_words, model_title
from core.runs.training import store
from core.runs.training.store import Run
from core.serving.spreadsheets import safe_csv

RUNS_PAGE, TRAIN_PAGE = "pages/3_Runs.py", "pages/2_Train.py"
SHOWN_TEXTS = 1000
DOTTED = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mcc")


def main() -> None:
    st.set_page_config(page_title="Compare – Textuner", layout="wide")
    st.title("Compare")
    known = [run for run in store.list_runs() if run.readable]
    judged = [run for run in known if (store.report_of(run) or {}).get("test")]
    if len(judged) < FEWEST:
        teach(len(judged))
        return
    st.write("Runs beside each other, on the test texts that all of them have.")
    runs = choose_runs(judged)
    if len(runs) < FEWEST:
        st.info(f"Choose {FEWEST} to {MOST} runs.", icon=":material/compare_arrows:")
        return
    show_comparison(runs)


def teach(judged: int) -> None:
    found = "There is none yet." if judged == 0 else "There is one so far."
    st.write(
        "Two runs that were judged on the same test texts can be compared here: their curves, their "
        f"settings, and whether one is really better or only luckier. It takes two. {found}"
    )
    if st.button("Train a model", type="primary", icon=":material/model_training:"):
        st.switch_page(TRAIN_PAGE)


# Which runs


def choose_runs(judged: list[Run]) -> list[Run]:
    """The runs of the link, or those chosen here; the link follows the choice."""
    runs = {run.id: run for run in judged}
    linked = list(dict.fromkeys(filter(None, st.query_params.get("runs", "").split(","))))
    say_missing([run_id for run_id in linked if run_id not in runs])
    chosen = st.multiselect(
        "Runs",
        list(runs),
        default=[run_id for run_id in linked if run_id in runs][:MOST],
        format_func=lambda run_id: title_of(runs[run_id]),
        max_selections=MOST,
        placeholder=f"{FEWEST} to {MOST} runs",
        key="chosen",
    )
    follow(chosen)
    return [runs[run_id] for run_id in chosen if run_id in runs]


def follow(chosen: list[str]) -> None:
    if chosen:
        st.query_params["runs"] = ",".join(chosen)
    elif "runs" in st.query_params:
        del st.query_params["runs"]


def title_of(run: Run) -> str:
    accuracy = percent((store.report_of(run) or {})["test"]["accuracy"])
    return f"run {run.number} – {shorten(run.name, 40)} – {accuracy}"


def say_missing(ids: list[str]) -> None:
    """Of every run of the link that cannot be compared: why."""
    # A link holds whatever somebody wrote into it.
    for run_id in ids[:MOST]:
        try:
            run = store.find_run(run_id)
        except UserError as error:
            st.warning(f"A run of this link is left out. {explain(error)}", icon=":material/link_off:")
        else:
            status = store.state(run).status
            st.warning(
                f"Run {run.number or '(cannot be read)'} is left out: it is {status} and has no test scores.",
                icon=":material/link_off:",
            )
    if len(ids) > MOST:
        st.warning(f"{len(ids) - MOST:,} more of this link are left out.", icon=":material/link_off:")


# Beside each other


def show_comparison(runs: list[Run]) -> None:
    titles = [f"run {run.number}" for run in runs]
    try:
        with st.spinner("Comparing the runs"):
            found = compare_runs(runs)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        show_curves(runs, titles)
        return
    show_shared(found)
    show_verdicts(found)
    left, right = st.columns(2, gap="large")
    with left:
        show_scores(found)
    with right:
        show_settings(found)
    show_curves(runs, found.titles)
    show_changed(found)


def show_shared(found: Comparison) -> None:
    """On how many texts they are compared, and what of whose is left out."""
    words = f"Compared on {count(found.matched, 'test text')} that all of them have."
    others = [
        f"{title}: {number:,}" for title, number in zip(found.titles, found.unmatched, strict=True) if number
    ]
    if not others:
        st.caption(words)
        return
    st.warning(
        f"{words} Test texts that not all have are left out – {escape_markdown('; '.join(others))}.",
        icon=":material/join_inner:",
    )


def show_verdicts(found: Comparison) -> None:
    """What differs by more than noise, in words."""
    st.markdown(
        "##### Is the difference more than noise?",
        help="Exact McNemar test on the same texts, corrected for many pairs (Holm), and a paired bootstrap "
        "interval of 95 %.",
    )
    clear = [said for pair, said in zip(found.differences, found.verdicts, strict=True) if pair.clear]
    others = [said for pair, said in zip(found.differences, found.verdicts, strict=True) if not pair.clear]
    if clear:
        st.success(as_list(clear), icon=":material/check_circle:")
    if others and len(others) <= 3:
        st.info(as_list(others), icon=":material/drag_handle:")
    elif others:
        if not clear:
            st.info("None of them differs from another by more than noise.", icon=":material/drag_handle:")
        with st.expander(f"{count(len(others), 'pair')} without a difference that can be told"):
            st.markdown(as_list(others))


def as_list(sentences: list[str]) -> str:
    if len(sentences) == 1:
        return escape_markdown(sentences[0])
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)


def show_scores(found: Comparison) -> None:
    st.markdown("##### Scores")
    name = st.segmented_control(
        "Score",
        DOTTED,
        default="macro_f1",
        required=True,
        format_func=lambda name: SCORES[name].words,
        key="score",
        label_visibility="collapsed",
        wrap=True,
    )
    score = SCORES[name]
    rows = pd.DataFrame(
        [
            [title, scores[name], *scores["intervals"][name]]
            for title, scores in zip(found.titles, found.scores, strict=True)
        ],
        columns=["run", "value", "low", "high"],
    )
    words = charts.describe_dots(rows, score.words, score.in_percent)
    st.altair_chart(charts.score_dots(rows, score.words, score.in_percent), alt=words, key="dots")
    st.caption(f"{words} {score.meaning}")
    with st.expander("All scores"):
        st.dataframe(scores_table(found), hide_index=True, height="content", alt="Scores with 95 % intervals")


def scores_table(found: Comparison) -> pd.DataFrame:
    rows = []
    for title, scores in zip(found.titles, found.scores, strict=True):
        row = {"Run": title}
        for name in DOTTED:
            score = SCORES[name]
            interval = score.write_interval(scores["intervals"][name])
            row[score.words] = f"{score.write(scores[name])} ({interval})"
        rows.append(row)
    return pd.DataFrame(rows)


def show_settings(found: Comparison) -> None:
    st.markdown("##### Settings that differ")
    if not found.settings:
        st.caption("None: the same data set and the same settings.")
        return
    rows = []
    for name, values in found.settings.items():
        if name == "model":
            values = [model_title(run) for run in found.runs]
        said = ["not recorded" if value is None else in_words(value) for value in values]
        rows.append([SETTINGS.get(name, "Data set"), *said])
    table = pd.DataFrame(rows, columns=["Setting", *found.titles])
    st.dataframe(table, hide_index=True, height="content", alt="Settings that differ between the runs")


# How they learned


def show_curves(runs: list[Run], titles: list[str]) -> None:
    st.markdown("##### How they learned")
    events = [store.events_of(run) for run in runs]
    losses = beside(titles, [charts.loss_table(each).query("split == 'validation'") for each in events])
    scores = beside(titles, [charts.score_table(each) for each in events])
    if losses.empty:
        st.caption("None of them left a validation score.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        words = charts.describe_runs(losses, "loss", "Validation loss", "{:.3f}")
        st.altair_chart(charts.run_losses(losses), alt=words, key="losses")
        st.caption(words)
    with right:
        words = charts.describe_runs(scores, "macro_f1", "Validation macro F1", "{:.1%}")
        st.altair_chart(charts.run_scores(scores), alt=words, key="learned")
        st.caption(words)


def beside(titles: list[str], tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The tables over each other, with a column `run`."""
    named = [table.assign(run=title) for title, table in zip(titles, tables, strict=True)]
    return pd.concat(named, ignore_index=True)


# Which texts changed sides


def show_changed(found: Comparison) -> None:
    st.markdown("##### Texts that changed sides", help="Right in one of two runs, and wrong in the other.")
    first, second = choose_pair(found)
    if first == second:
        st.caption("Choose two different runs.")
        return
    lost, won = found.changed(first, second)
    sides = {
        f"Only {found.titles[first]} is right": lost,
        f"Only {found.titles[second]} is right": won,
    }
    side = st.segmented_control(
        "Side",
        list(sides),
        default=list(sides)[1],
        required=True,
        format_func=lambda words: f"{words} ({len(sides[words]):,})",
        key=f"side_{first}_{second}",
        label_visibility="collapsed",
        wrap=True,
    )
    show_side(sides[side], found.titles[first], found.titles[second])


def choose_pair(found: Comparison) -> tuple[int, int]:
    if len(found.runs) == FEWEST:
        return 0, 1
    numbers = list(range(len(found.runs)))
    left, right = st.columns(2)
    name = found.titles.__getitem__
    ids = "_".join(run.id for run in found.runs)
    first = left.selectbox("First", numbers, index=0, format_func=name, key=f"first_{ids}")
    second = right.selectbox("Second", numbers, index=1, format_func=name, key=f"second_{ids}")
    return first, second


def show_side(rows: pd.DataFrame, first: str, second: str) -> None:
    if rows.empty:
        st.caption("No text.")
        return
    labels = st.multiselect("True label", sorted(rows["label"].unique()), placeholder="All", key="label")
    shown = rows[rows["label"].isin(labels)] if labels else rows
    st.dataframe(
        shown.head(SHOWN_TEXTS),
        hide_index=True,
        alt="Texts that only one of the two runs has right, the surest mistake first",
        column_config={
            "text": st.column_config.TextColumn("Text", width="medium"),
            "label": "True label",
            "first": f"Answer of {first}",
            "second": f"Answer of {second}",
            "confidence": st.column_config.ProgressColumn(
                "Confidence of the wrong answer", format="percent", min_value=0, max_value=1
            ),
        },
    )
    if len(shown) > SHOWN_TEXTS:
        st.caption(f"The first {SHOWN_TEXTS:,} of {len(shown):,} are shown; the file has all.")
    st.download_button(
        "Download these (CSV)",
        lambda: safe_csv(shown),
        "changed.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        help="Cells that a spreadsheet would run as a formula are quoted.",
    )


if "routed" not in st.session_state:
    # Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    with suppress(StreamlitAPIException):
        st.switch_page("streamlit_app.py", query_params=st.query_params.to_dict() | {"page": "Compare"})
main()
