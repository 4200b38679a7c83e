"""Predict: label one text or a whole file with a trained model, or with one from a file."""

import hashlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core import charts
from core.base.errors import UserError
from core.base.folders import bytes_on_disk
from core.base.formatting import (
    STATUS,
    coloured_words,
    count,
    duration,
    escape_markdown,
    explain,
    percent,
    shorten,
    size,
)
from core.base.memory import give_back_freed_memory, shortage_is_said
from core.data.labels import guess_mapping
from core.data.reading.streaming import Beginning, read_beginning
from core.data.storage.uploads import MOST_TABLE_MB, Upload, delete_upload, find_upload, keep_upload
from core.data.tables import Table
from core.learning.evaluation.calibration import Calibration, read_calibration, with_temperature
from core.runs.results.models import Model, usable_models
from core.runs.tasks import labellings
from core.runs.tasks.labellings import Labelling, LabellingState
from core.runs.training import processes
from core.serving import imported_models, similar_texts
from core.serving.attribution import MOST_PIECES, Attribution, integrated_gradients, leave_one_out
from core.serving.file_labelling import CSV, JSON_LINES, PARQUET, Plan, frames_of, parts_of
from core.serving.loading import load_ahead
from core.serving.similar_texts import Neighbours, find_neighbours

if TYPE_CHECKING:
    from concurrent.futures import Future

    from core.serving.classifier import Classifier, Predictions

TRAIN_PAGE, RUNS_PAGE, EXPORT_PAGE = "pages/2_Train.py", "pages/3_Runs.py", "pages/6_Export.py"
ONE_TEXT, FILE = "One text", "A file"
MOST_MB = imported_models.LARGEST_UPLOAD // 1_000_000
FEW_BARS = 10
PREVIEW_ROWS, SHOWN_CHARACTERS = 20, 500
# Bytes; a string under the name would be shown on the page.
LARGE_DOWNLOAD = 100_000_000
LONGEST_TEXT = 20_000
LEAVING_OUT, GRADIENTS = "Leaving words out", "Integrated gradients"
WORD_ROWS = 8
NEIGHBOUR_CHARACTERS = 300
FORM_NAMES = {CSV: "CSV", PARQUET: "Parquet", JSON_LINES: "JSON Lines"}
SHOWN_SCORES = (
    ("accuracy", "Accuracy", percent),
    ("macro_f1", "Macro F1", percent),
    ("mcc", "MCC", "{:.3f}".format),
)
NEW_COLUMNS = ("predicted_label", "confidence")


def main() -> None:
    st.set_page_config(page_title="Predict – Textuner", layout="wide")
    st.title("Predict")
    models = usable_models()
    if not models:
        teach()
        return
    st.write("Let a trained model label new texts.")
    model = choose_model(models)
    # While the page is painted and a person types.
    loading(str(model.folder), mark_of(model))
    views = st.tabs([ONE_TEXT, FILE], key="view", on_change="rerun")
    for view, show in zip(views, (label_one, label_a_file), strict=True):
        if view.open:
            with view:
                try:
                    show(model)
                except UserError as error:
                    st.error(explain(error), icon=":material/error:")


def teach() -> None:
    st.write(
        "Here a trained model labels a text that you type, or every row of a file. "
        "No training has finished yet."
    )
    with st.container(horizontal=True):
        if st.button("Train a model", type="primary", icon=":material/model_training:"):
            st.switch_page(TRAIN_PAGE)
        offer_model_file()


def choose_model(models: list[Model]) -> Model:
    by_id = {model.id: model for model in models}
    linked = st.query_params.get("run")
    if linked is not None and linked not in by_id:
        st.warning(
            "The run of this link has no model to use, or is not kept here. Choose another one.",
            icon=":material/link_off:",
        )
    arrived = st.session_state.pop("model_arrived", None)
    if arrived in by_id:
        # Only a value of the session moves the choice that the browser holds.
        st.session_state["run_choice"] = arrived
        st.toast("The model is checked and chosen.", icon=":material/check_circle:")
    chosen = st.selectbox(
        "Model",
        list(by_id),
        index=list(by_id).index(linked) if linked in by_id and arrived is None else 0,
        format_func=lambda id: by_id[id].title,
        key="run_choice",
        on_change=follow_choice,
        help="The runs that ended with a model, the newest first; then models from files.",
    )
    model = by_id[chosen]
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Take it away", icon=":material/outbox:", help="Download this model, in any form."):
            st.switch_page(EXPORT_PAGE, query_params={"run": model.id})
        offer_model_file()
        if model.run is None:
            offer_deletion(model)
    return model


def offer_model_file() -> None:
    with st.popover("Use a model from a file", icon=":material/folder_zip:"):
        st.write(
            "A bundle of Textuner, or a zip of a Hugging Face folder with `config.json`, `tokenizer.json` "
            f"and `model.safetensors`, of at most {MOST_MB} MB. Larger ones work on the command line: "
            "`python -m core predict BUNDLE.zip …`."
        )
        st.caption(
            "It is checked before it is used: no code and no pickle of it is read, and only known files are "
            "taken."
        )
        uploaded = st.file_uploader(
            "Model file (.zip)",
            type=["zip"],
            # Another one after each file: it would hold on to the last one.
            key=f"model_file_{st.session_state.get('model_files', 0)}",
            max_upload_size=MOST_MB,
        )
        if uploaded is not None:
            take_model(uploaded)


def take_model(uploaded: UploadedFile) -> None:
    try:
        with st.spinner("Checking the model"):
            model = imported_models.keep(BytesIO(take_out(uploaded)), uploaded.name)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.query_params["run"] = model.id
    st.session_state["model_files"] = st.session_state.get("model_files", 0) + 1
    st.session_state["model_arrived"] = model.id
    st.rerun()


def offer_deletion(model: Model) -> None:
    with st.popover("Delete it", icon=":material/delete:"):
        other = imported_models.find(model.id)
        st.text(shorten(other.name, 80))
        if other.not_taken:
            st.caption(f"{count(other.not_taken, 'file')} of its zip were not needed and not taken.")
        freed = size(bytes_on_disk(other.place))
        if st.button(f"Delete it and free {freed}", icon=":material/delete:", key=f"delete_{model.id}"):
            delete_model(model)


def delete_model(model: Model) -> None:
    try:
        imported_models.delete(model.id)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.query_params.pop("run", None)
    st.session_state.pop("run_choice", None)
    st.rerun()


def follow_choice() -> None:
    st.query_params["run"] = st.session_state["run_choice"]


@st.cache_resource(max_entries=2, show_spinner=False)
def loading(folder: str, mark: int) -> "Future[Classifier]":
    return load_ahead(Path(folder))


def mark_of(model: Model) -> int:
    """What changes when the model's weights do."""
    try:
        return (model.folder / "model.safetensors").stat().st_mtime_ns
    except OSError:
        return 0


def ready(model: Model, calibrated: bool = True) -> "Classifier":
    """The model, with all cores to answer; with one while a training is at work, which keeps its speed."""
    classifier = loaded(model).calibrated_by(read_calibration(model.folder) if calibrated else Calibration())
    processes.leave_cores_to_training()
    return classifier


def loaded(model: Model) -> "Classifier":
    arguments = str(model.folder), mark_of(model)
    coming = loading(*arguments)
    if coming.done() and not coming.exception():
        return coming.result()
    with st.spinner("Loading the model"):
        try:
            return coming.result()
        except BaseException:
            # Whoever asks next tries again.
            loading.clear(*arguments)
            raise


# One text


def label_one(model: Model) -> None:
    text = st.text_area(
        "Text",
        height=120,
        max_chars=LONGEST_TEXT,
        key="text",
        placeholder="Type or paste a text to label",
        help="It is labelled when you leave the field, or press Ctrl+Enter.",
    )
    calibration = read_calibration(model.folder)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Label it", type="primary", icon=":material/label:")
        calibrated = choose_calibrated(calibration)
    if not text or not text.strip():
        return
    classifier = ready(model, calibrated)
    answer = classifier.predict([text])
    show_answer(answer, calibration, calibrated)
    explain_label(model, classifier, text, answer)
    show_neighbours(model, classifier, text)
    # To explain a long text takes hundreds of megabytes for a moment.
    give_back_freed_memory()


def choose_calibrated(calibration: Calibration) -> bool:
    if calibration.temperature == 1:
        return True
    return st.toggle(
        "Calibrated",
        value=True,
        key="calibrated",
        help="Probabilities as honest as the validation texts could make them (temperature "
        f"{calibration.temperature:.2f}). Off: as the network gives them. The label is the same.",
    )


def show_answer(answer: "Predictions", calibration: Calibration, calibrated: bool) -> None:
    table = charts.probability_table(answer.names, answer.probabilities[0])
    with st.container(border=True):
        st.caption("Label")
        st.subheader(escape_markdown(shorten(answer.labels[0], 200)), anchor=False)
        st.caption(f"with a probability of {percent(table['probability'].iloc[0])}")
        honest = answer.probabilities
        if not calibrated:
            honest = with_temperature(honest, calibration.temperature)
        if calibration.threshold is not None and honest.max() < calibration.threshold:
            st.warning(
                f"Unsure: left to people. The calibrated probability, {percent(honest.max())}, is below the "
                f"threshold of {percent(calibration.threshold)}.",
                icon=":material/person_raised_hand:",
            )
        show_bars(table)


def explain_label(model: Model, classifier: "Classifier", text: str, answer: "Predictions") -> None:
    if len(answer.names) < 2:
        return
    st.subheader("Why", anchor=False)
    left, right = st.columns(2, vertical_alignment="bottom")
    way = left.segmented_control(
        "Explained by",
        [LEAVING_OUT, GRADIENTS],
        default=LEAVING_OUT,
        key="way",
        help=f"{LEAVING_OUT}: what the model says without each word; fast. {GRADIENTS}: what each word adds "
        "on the way from an empty text to this one; takes seconds.",
    )
    ranked = charts.probability_table(answer.names, answer.probabilities[0])["label"]
    # A key of its own for each text: another text begins with its own label.
    mark = hashlib.sha256(f"{model.id} {text}".encode("utf-8", "replace")).hexdigest()[:16]
    label = right.selectbox("For the class", list(ranked), key=f"class_{mark}")
    if way == LEAVING_OUT:
        show_words(text, leave_one_out(classifier, text, label))
    elif way == GRADIENTS:
        with st.spinner("Taking gradients"):
            found = gradients(str(model.folder), mark_of(model), text, label)
        show_words(text, found)


@st.cache_data(max_entries=4, scope="session", show_spinner=False)
def gradients(folder: str, mark: int, text: str, label: str) -> Attribution:
    with shortage_is_said("integrated gradients"):
        return integrated_gradients(Path(folder), text, label)


def show_words(text: str, found: Attribution) -> None:
    if not found.spans:
        st.caption("The model reads no word of this text.")
        return
    name = escape_markdown(shorten(found.label, 60))
    left, right = st.columns([3, 2], gap="large")
    with left:
        with st.container(border=True):
            st.markdown(coloured_words(text, found.spans, found.weights, found.read))
        st.caption(f":blue-background[blue] speaks for {name}, :orange-background[orange] against it.")
        for note in notes_on(text, found):
            st.caption(note)
    with right:
        st.dataframe(
            word_table(text, found),
            hide_index=True,
            height="content" if len(found.spans) <= WORD_ROWS else 320,
            alt=describe_words(text, found),
            column_config={
                "Weight": st.column_config.NumberColumn(
                    format="%+.2f",
                    help="How far the word moves the log-odds of the class. Above 0 it speaks for it.",
                ),
                "Without it": st.column_config.NumberColumn(
                    format="%.1f%%", help="The probability of the class when the word is left out."
                ),
            },
        )


def notes_on(text: str, found: Attribution) -> list[str]:
    """What else must be known to read the colours."""
    notes = []
    if found.words_each > 1:
        notes.append(
            f"More than {MOST_PIECES} words: {found.words_each} neighbouring ones at a time stand together."
        )
    if text[found.read :].strip():
        notes.append(
            f"The model reads the first {found.read:,} characters of this text; the rest, in grey, does not "
            "count."
        )
    if found.whole is not None:
        notes.append(
            f"Convergence: the weights add up to {found.weights.sum():+.3f}, what the text adds to an empty "
            f"one is {found.whole:+.3f}; they are off by {abs(found.delta):.1g} after {found.steps} steps."
        )
    return notes


def word_table(text: str, found: Attribution) -> pd.DataFrame:
    """The words by the strength of their weights."""
    order = found.strongest(len(found.spans))
    table = {
        "Words" if found.words_each > 1 else "Word": [text[slice(*found.spans[i])] for i in order],
        "Weight": found.weights[order],
    }
    if found.without is not None:
        table["Without it"] = 100 * found.without[order]
    return pd.DataFrame(table)


def describe_words(text: str, found: Attribution) -> str:
    named = "; ".join(
        f"{shorten(text[slice(*found.spans[i])], 40)} {found.weights[i]:+.2f}" for i in found.strongest()
    )
    return f"Words by their weight for {shorten(found.label, 40)}: {named}."


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
    found = neighbours_of(model, classifier)
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


def neighbours_of(model: Model, classifier: "Classifier") -> Neighbours:
    kept = shelf(str(model.folder), mark_of(model))
    if not kept:
        words, run = "Reading the training texts", model.run.folder
        bar = st.progress(0.0, words)

        def report(share: float) -> None:
            bar.progress(share, words)

        kept.append(
            find_neighbours(classifier, model.folder, run / "dataset", run / similar_texts.FILE, report)
        )
        bar.empty()
    return kept[0]


@st.cache_resource(max_entries=2, show_spinner=False)
def shelf(folder: str, mark: int) -> list[Neighbours]:
    """Where a model's neighbours stand once they are found."""
    return []


def show_bars(table: pd.DataFrame) -> None:
    shown = table
    if len(table) > FEW_BARS:
        every = st.toggle(f"Show all {len(table)} classes", key="every_class")
        shown = table if every else table.head(FEW_BARS)
    st.altair_chart(charts.probability_bars(shown), alt=charts.describe_probabilities(table), key="bars")


# A file


def take_file(name: str, content: bytes) -> None:
    try:
        upload = keep_upload(name, content)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.query_params["file"] = upload.id
    st.rerun()


def label_a_file(model: Model) -> None:
    if "file" not in st.query_params:
        st.write("Every row gets two more columns: `predicted_label` and `confidence` (0 to 1).")
        uploaded = st.file_uploader(
            "Table with a text column",
            help="CSV, TSV, JSON, Excel (.xlsx) or Parquet, also as .gz or .zip.",
            key="file_uploader",
            max_upload_size=MOST_TABLE_MB,
        )
        if uploaded is not None:
            take_file(uploaded.name, take_out(uploaded))
        return
    found = linked_labelling(model)
    if found is not None:
        show_name(found.name, is_live=labellings.state(found).live)
        show_labelling(found)
        return
    try:
        upload = find_upload(st.query_params["file"])
        show_name(upload.name)
    except UserError:
        offer_other_file()
        raise
    start = beginning(upload.id)
    show_beginning(start)
    if columns := choose_text(model, start.table, upload):
        offer_labelling(model, upload, start, columns)


def show_name(name: str, is_live: bool = False) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(shorten(name, 60))
        offer_other_file(is_live)


def take_out(uploaded: UploadedFile) -> bytes:
    """The bytes of an upload, which then leave the server's memory: there they would stay with the tab."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, uploaded.file_id)
    return uploaded.getvalue()


def offer_other_file(is_live: bool = False) -> None:
    if st.button(
        "Choose another file",
        icon=":material/upload_file:",
        key="other_file",
        disabled=is_live,
        help="Stop the work on this one first, or open this page once more." if is_live else None,
    ):
        with suppress(UserError):
            found = labellings.find(st.query_params.get("labelling", ""))
            if is_of_this_file(found):
                labellings.delete(found)
        delete_upload(st.query_params["file"])
        st.query_params.pop("labelling", None)
        del st.query_params["file"]
        st.rerun()


def is_of_this_file(found: Labelling) -> bool:
    return PurePath(found.plan.source).parent.name == st.query_params["file"]


@st.cache_resource(max_entries=4, scope="session", show_spinner="Reading the file")
def beginning(upload_id: str) -> Beginning:
    return read_beginning(find_upload(upload_id).path)


def show_beginning(start: Beginning) -> None:
    columns = count(len(start.columns), "column")
    if start.rows is None:
        st.caption(f"{columns}. The file is large: its rows are counted when they are labelled.")
    else:
        st.caption(f"{count(start.rows, 'row')}, {columns}")
        rejected = start.table.rejected
        show_rejected([vars(row) for row in rejected], len(rejected), start.table.dialect.unit)


def show_rejected(rows: list[dict[str, Any]], number: int, unit: str) -> None:
    if not number:
        return
    st.warning(
        f"{count(number, 'row')} could not be read and {'is' if number == 1 else 'are'} left out.",
        icon=":material/warning:",
    )
    with st.expander("Which ones, and why"):
        if number > len(rows):
            st.caption(f"The first {len(rows):,}.")
        st.dataframe(
            {
                unit.capitalize(): [row["line"] for row in rows],
                "Why": [row["reason"] for row in rows],
                "As in the file": [row["raw"] for row in rows],
            },
            hide_index=True,
            alt=f"Rows that could not be read, with {unit} and reason",
        )


def choose_text(model: Model, table: Table, upload: Upload) -> list[str]:
    columns = st.multiselect(
        "Text",
        list(table.frame.columns),
        default=likely_text(model, table),
        format_func=shorten,
        key=f"columns_{upload.id}",
        help="The column that holds the texts. Several are joined with a space.",
    )
    if not columns:
        st.info("Choose the column that holds the text.", icon=":material/info:")
    return columns


def likely_text(model: Model, table: Table) -> list[str]:
    """The columns that the model was trained on, if the file has them, else what looks like text."""
    trained = model.text_columns
    if trained and set(trained) <= set(table.frame.columns):
        return list(trained)
    guess = guess_mapping(table)
    if guess:
        return list(guess.text)
    lengths = table.frame.head(PREVIEW_ROWS).apply(lambda column: column.str.len().mean())
    return [lengths.idxmax()]


def show_labelling(found: Labelling) -> None:
    """The work is a process of its own, and the link leads back to it."""
    state = labellings.state(found)
    st.caption(escape_markdown("Text: " + ", ".join(shorten(name, 40) for name in found.plan.text)))
    if state.live:
        follow_labelling(found)
        return
    if state.status == "finished":
        show_result(found, state)
    else:
        say_end(state)
    with st.container(horizontal=True):
        if state.resumable:
            offer_resumption(found)
        hopeless = state.status == "failed" and not state.resumable
        kind = "primary" if hopeless else "secondary"
        if st.button("Label it anew", icon=":material/restart_alt:", type=kind):
            labellings.delete(found)
            forget_labelling()


def linked_labelling(model: Model) -> Labelling | None:
    """The labelling of the link, if it is of this file and this model."""
    if "labelling" not in st.query_params:
        return None
    try:
        found = labellings.find(st.query_params["labelling"])
    except UserError as error:
        st.warning(explain(error), icon=":material/link_off:")
        return None
    if is_of_this_file(found) and found.plan.model == str(model.folder):
        return found
    st.info(
        "The labelling of this link is of another file or by another model. Choose that model to see it.",
        icon=":material/info:",
    )
    return None


def forget_labelling() -> None:
    del st.query_params["labelling"]
    st.rerun()


def offer_labelling(model: Model, upload: Upload, start: Beginning, columns: list[str]) -> None:
    others = [name for name in start.columns if name not in columns]
    guess = guess_mapping(start.table)
    label = st.selectbox(
        "True label",
        others,
        index=others.index(guess.label) if guess and guess.label in others else None,
        format_func=shorten,
        placeholder="none",
        key=f"label_{upload.id}",
        help="If the file says what is right, the answers are scored. It changes no answer.",
    )
    classes = st.checkbox("A column with the probability of every class", key=f"classes_{upload.id}")
    rows = "the file" if start.rows is None else count(start.rows, "row")
    if not st.button(f"Label {rows}", type="primary", icon=":material/label:"):
        return
    plan = Plan(str(upload.path), str(model.folder), tuple(columns), label, classes)
    try:
        st.query_params["labelling"] = labellings.start(upload.name, plan).id
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.rerun()


@st.fragment(run_every=1.0)
def follow_labelling(found: Labelling) -> None:
    state = labellings.state(found)
    if not state.live:
        st.rerun()
    share = state.done / state.rows if state.rows else 0.0
    st.progress(min(share, 1.0), progress_words(state))
    st.caption("It goes on when this page is closed. The address of this page leads back to it.")
    stopping = state.status == "stopping"
    if st.button("Stop", icon=":material/stop_circle:", disabled=stopping, key="stop_labelling"):
        labellings.stop(found)
        st.rerun(scope="fragment")


def progress_words(state: LabellingState) -> str:
    if not state.rows:
        return "Reading the file and loading the model"
    words = f"{state.done:,} of {count(state.rows, 'row')}"
    if state.status == "stopping":
        return f"{words}; stopping when the rows at hand are done"
    if state.seconds_left is None:
        return words
    return f"{words}, {state.rate:,.0f} per second, about {duration(state.seconds_left)} left"


def say_end(state: LabellingState) -> None:
    done = f"{state.done:,} of {count(state.rows, 'row')} are labelled and kept. "
    words = {
        "stopped": "It was stopped. ",
        "interrupted": "It was interrupted: its process ended without a word. ",
        "failed": f"{escape_markdown(state.reason)} {escape_markdown(state.remedy)} ",
    }[state.status]
    show = st.error if state.status == "failed" else st.warning
    show(words + (done if state.rows and state.resumable else ""), icon=STATUS[state.status].icon)


def offer_resumption(found: Labelling) -> None:
    if not st.button("Resume", type="primary", icon=":material/play_circle:"):
        return
    try:
        labellings.resume(found)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.rerun()


def show_result(found: Labelling, state: LabellingState) -> None:
    result = state.result
    new = result["columns"]
    st.success(f"{count(result['rows'], 'row')} labelled.", icon=":material/check_circle:")
    if (new["label"], new["confidence"]) != NEW_COLUMNS:
        st.info(
            "The file has such columns already, so the new ones are called "
            f"`{new['label']}` and `{new['confidence']}`.",
            icon=":material/info:",
        )
    if result["without_text"]:
        words = f"{count(result['without_text'], 'row')} without text got no label."
        st.warning(words, icon=":material/warning:")
    if result["unsure"]:
        words = f"{count(result['unsure'], 'row')} marked as `unsure`: better left to people."
        st.info(words, icon=":material/info:")
    show_rejected(result["rejected_rows"], result["rejected"], result["unit"])
    show_scores(found, result)
    offer_file(found)
    show_first_rows(found, new)


def show_first_rows(found: Labelling, new: dict[str, Any]) -> None:
    """What one looks for comes first: the answer, and the text that it is about."""
    shown = next(frames_of(parts_of(found.parts))).head(PREVIEW_ROWS)
    shown = shown.map(lambda cell: shorten(cell, SHOWN_CHARACTERS) if isinstance(cell, str) else cell)
    shares = [new["confidence"], *new["classes"]]
    shown[shares] *= 100
    first = [name for name in (new["label"], new["confidence"], new["unsure"], *found.plan.text) if name]
    others = [name for name in shown.columns if name not in (*first, *new["classes"])]
    column = st.column_config.ProgressColumn(format="%.1f%%", min_value=0, max_value=100)
    st.dataframe(
        shown[[*first, *new["classes"], *others]],
        hide_index=True,
        alt="The first rows with their labels",
        column_config=dict.fromkeys(shares, column),
    )
    st.caption(f"At most {PREVIEW_ROWS} rows are shown. In the file the new columns come last.")


def show_scores(found: Labelling, result: dict[str, Any]) -> None:
    if found.plan.label is None:
        return
    if result["unknown"]:
        words = f"{count(result['unknown'], 'row')} with a label that the model does not know: not scored."
        st.warning(words, icon=":material/warning:")
    scores = result["scores"]
    if not scores:
        st.warning("No row has a true label that the model knows.", icon=":material/warning:")
        return
    if result["trained_on"]:
        st.warning(
            f"The model was trained on the text of {count(result['trained_on'], 'row')} of this file: "
            "these scores are too good. Only texts that it has never seen show how good it is.",
            icon=":material/warning:",
        )
    with st.container(horizontal=True):
        for name, words, form in SHOWN_SCORES:
            st.metric(words, form(scores[name]), border=True)
    low, high = map(percent, scores["intervals"]["accuracy"])
    st.caption(
        f"On {count(scores['texts'], 'row')} with a true label. Accuracy lies between {low} and "
        f"{high} with 95 % confidence."
    )


def offer_file(found: Labelling) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        form = st.segmented_control(
            "Format", list(FORM_NAMES), default=CSV, format_func=FORM_NAMES.get, key="form", required=True
        )
        safe = form == CSV and st.toggle(
            "Safe for spreadsheets",
            value=True,
            key="safe",
            help="A cell that a spreadsheet would run as a formula (it begins with = + - @, tab or return) "
            "gets a quotation mark in front.",
        )
        with st.spinner("Writing the file"):
            made = labellings.output(found, form, safe)
        if safe:
            st.caption(
                f"{count(made.changed, 'cell')} changed" if made.changed else "no cell had to be changed"
            )
    bytes_to_send = made.path.stat().st_size
    st.download_button(
        f"Download {FORM_NAMES[form]} ({size(bytes_to_send)})",
        # Read at the click: until then the server holds nothing of it.
        lambda: labellings.output(found, form, safe).path.read_bytes(),
        f"{PurePath(found.name).stem[:80]}-labelled.{form}",
        "application/octet-stream",
        on_click="ignore",
        icon=":material/download:",
        type="primary",
    )
    if bytes_to_send > LARGE_DOWNLOAD:
        st.caption(
            "The server holds all of it in memory from the click until you leave this page. "
            "`python -m core predict` writes a file of any size."
        )


if "routed" not in st.session_state:
    # Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    with suppress(StreamlitAPIException):
        st.switch_page("streamlit_app.py", query_params=st.query_params.to_dict() | {"page": "Predict"})
main()
