"""Export: take a model away, as weights, as ONNX, as a page that answers by itself, or all in one bundle."""

import tempfile
from contextlib import suppress
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAPIException

from core.base.errors import UserError
from core.base.formatting import count, escape_markdown, explain, size
from core.runs.results import exports
from core.runs.results.exports import BUNDLE, HUGGINGFACE, MADE, ONNX, ONNX_INT8, PTH, WEB, Made
from core.runs.results.models import Model, usable_models
from core.serving.export import hub

TRAIN_PAGE, PREDICT_PAGE = "pages/2_Train.py", "pages/4_Predict.py"
MAKE = "Make the ONNX files and the bundle"

FILE_NAMES = {
    HUGGINGFACE: ("textuner-model.zip", "application/zip"),
    PTH: ("textuner-model.pth", "application/octet-stream"),
    ONNX: ("model.onnx", "application/octet-stream"),
    ONNX_INT8: ("model_quantized.onnx", "application/octet-stream"),
    WEB: ("classifier.html", "text/html"),
    BUNDLE: ("textuner-bundle.zip", "application/zip"),
}
# Of the columns of what was made, so that the accuracy's change fits on its button.
WIDTHS = (5, 6, 5)
TITLES = {ONNX: "ONNX float32", ONNX_INT8: "ONNX int8", WEB: "Web page"}

IN_TRANSFORMERS = """import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "textuner-model"  # the unpacked zip
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
batch = tokenizer(["A text to label"], truncation=True, padding=True, return_tensors="pt")
with torch.inference_mode():
    probabilities = model(**batch).logits.softmax(dim=-1)[0]
print(model.config.id2label[int(probabilities.argmax())], float(probabilities.max()))
"""
WITHOUT_TORCH = """pip install onnxruntime tokenizers numpy
python predict.py "A text to label"
python predict.py FILE.csv --text COLUMN > labelled.csv
"""
IN_TEXTUNER = """python -m core predict textuner-bundle.zip FILE.csv --text COLUMN --out labelled.csv
"""


def main() -> None:
    st.set_page_config(page_title="Export – Textuner", layout="wide")
    st.title("Export")
    models = usable_models()
    if not models:
        teach()
        return
    st.write("Take a model away, in the form in which it will be used.")
    model = choose_model(models)
    try:
        offer_weights(model)
        offer_made(model)
        offer_push(model)
        show_card(model)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
    show_use()


def teach() -> None:
    st.write(
        "Here a trained model becomes a file: a Hugging Face folder, weights, ONNX, a web page that "
        "classifies by itself, or a bundle with all of them. No training has finished yet."
    )
    if st.button("Train a model", type="primary", icon=":material/model_training:"):
        st.switch_page(TRAIN_PAGE)


def choose_model(models: list[Model]) -> Model:
    by_id = {model.id: model for model in models}
    linked = st.query_params.get("run")
    if linked is not None and linked not in by_id:
        st.warning(
            "The run of this link has no model to take away, or is not kept here. Choose another one.",
            icon=":material/link_off:",
        )
    chosen = st.selectbox(
        "Model",
        list(by_id),
        index=list(by_id).index(linked) if linked in by_id else 0,
        format_func=lambda id: by_id[id].title,
        key="run_choice",
        on_change=follow_choice,
        help="The runs that ended with a model, the newest first; then models from files.",
    )
    return by_id[chosen]


def follow_choice() -> None:
    st.query_params["run"] = st.session_state["run_choice"]


# Weights, made at the click


def offer_weights(model: Model) -> None:
    st.subheader("For Python", anchor=False)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        st.markdown("**Hugging Face folder**")
        st.caption(
            "The usual form: `config.json` with the classes, `model.safetensors`, the tokenizer, and a model "
            "card."
        )
        offer(model, None, HUGGINGFACE, "Download the folder")
    with right.container(border=True, height="stretch"):
        st.markdown("**State dict**")
        st.caption(
            "The weights alone, for `torch.load(file, weights_only=True)` and `load_state_dict` of a model "
            "of the same configuration."
        )
        offer(model, None, PTH, "Download the weights")


def offer(model: Model, made: Made | None, form: str, label: str, main_one: bool = False) -> None:
    name, kind = FILE_NAMES[form]
    st.download_button(
        label,
        lambda: content_of(model, made, form),
        name,
        kind,
        on_click="ignore",
        icon=":material/download:",
        type="primary" if main_one else "secondary",
        key=f"get_{form}",
    )


def content_of(model: Model, made: Made | None, form: str) -> bytes:
    """The file, put together at the click; until then the server holds nothing of it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        if made is None:
            exports.export_model(model, form, out)
        else:
            exports.write_made(model, made, form, out)
        return out.read_bytes()


# What takes longer, made once and kept


def offer_made(model: Model) -> None:
    st.subheader("For everywhere else", anchor=False)
    made = exports.kept(model)
    if made is None:
        offer_making(model)
        return
    show_bundle(model, made)
    for column, form in zip(st.columns(WIDTHS, gap="small"), MADE, strict=True):
        with column.container(border=True, height="stretch"):
            show_made(model, made, form)
    tell_lacking(made)
    if st.button("Make them again", type="tertiary", icon=":material/refresh:"):
        make(model)


def offer_making(model: Model) -> None:
    st.write(
        "**ONNX** runs without PyTorch, in many languages; as **int8** it is a quarter of the size. The "
        "**web page** is one file that classifies in a browser, offline. The **bundle** is one zip with all "
        "forms, the card, and a `predict.py` that needs only onnxruntime, tokenizers and numpy."
    )
    st.caption(
        "Making them takes a minute or so for a small model. Their answers are compared with PyTorch's "
        f"{checked_on(model)}, and what is made is kept with the model."
    )
    if st.button(MAKE, type="primary", icon=":material/deployed_code:"):
        make(model)


def checked_on(model: Model) -> str:
    if model.run is not None:
        return "on the test texts"
    return "on a few texts of ours, since the model's own are not at hand"


def make(model: Model) -> None:
    try:
        with st.status("Making the files", expanded=True) as status:
            exports.make(model, lambda step: tell(status, step))
            status.update(label="Made", state="complete")
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.rerun()


def tell(status: st.delta_generator.DeltaGenerator, step: str) -> None:
    status.update(label=escape_markdown(step))
    st.caption(escape_markdown(step))


def show_bundle(model: Model, made: Made) -> None:
    with st.container(border=True):
        st.markdown("**Bundle**")
        st.caption(
            "One zip with everything: folder, calibration, card, report, ONNX files, `predict.py`, web page, "
            "and the sha256 of each file. Dropped on the Predict page of any Textuner, it answers there."
        )
        if made.lacking:
            missing = ", ".join(TITLES[form] for form in MADE if form in made.lacking)
            st.caption(f":orange-badge[:material/warning: without: {missing}]")
        offer(model, made, BUNDLE, "Download the bundle", main_one=True)


def show_made(model: Model, made: Made, form: str) -> None:
    st.markdown(f"**{TITLES[form]}**")
    if form in made.lacking:
        st.caption(":orange-badge[:material/warning: not made] The reason stands below.")
        return
    st.caption(f"{size(made.file(form).stat().st_size)}. {facts_of(made, form)}")
    offer(model, made, form, button_of(made, form))


def tell_lacking(made: Made) -> None:
    """Each reason once: what one form lacks, those that are made of it lack, too."""
    for reason in dict.fromkeys(made.lacking.values()):
        forms = ", ".join(TITLES[form] for form in MADE if made.lacking.get(form) == reason)
        st.warning(f"**{forms}.** {explain(UserError(*reason))}", icon=":material/warning:")


def button_of(made: Made, form: str) -> str:
    if form == WEB:
        return "Download the web page"
    if form == ONNX:
        return "Download ONNX float32"
    return f"Download ONNX int8 ({change_of(made)})"


def change_of(made: Made) -> str:
    if made.change is None:
        return "accuracy not measured"
    points = round(100 * made.change, 1)
    return "±0.0 points" if points == 0 else f"{points:+.1f} points".replace("-", "−")


def facts_of(made: Made, form: str) -> str:
    if form == WEB:
        return "One file with the 8-bit model inside. It opens from the disk and needs no network."
    parity = made.parities[form]
    alike = (
        f"The same label as PyTorch for {parity.labels_equal:,} of {count(parity.texts, 'text')} (odd ones "
        f"among them); probabilities differ by at most {parity.largest_difference:.2g}."
    )
    if form == ONNX:
        return alike
    if made.change is None:
        return f"{alike} What it changes in accuracy is not measured: no test texts are at hand."
    return (
        f"{alike} Accuracy on the test texts: {100 * parity.accuracy_torch:.1f}% before, "
        f"{100 * parity.accuracy_onnx:.1f}% after."
    )


# On the hub


def offer_push(model: Model) -> None:
    st.subheader("On the Hugging Face hub", anchor=False)
    # Another key for each token: with the old one goes what was typed, on the page and in the server.
    turn = st.session_state.setdefault("token_turn", 0)
    with st.form("hub"):
        left, right = st.columns(2, gap="medium")
        repo_id = left.text_input(
            "Repository",
            placeholder="owner/name",
            max_chars=hub.LONGEST_NAME,
            key="repo_id",
            help="Your user name on the hub, or an organisation's, and a new name.",
        )
        token = right.text_input(
            "Access token",
            type="password",
            autocomplete="off",
            max_chars=hub.LONGEST_TOKEN,
            key=f"token_{turn}",
            help="One with the right to write, from huggingface.co/settings/tokens. It is used for this "
            "one push and kept nowhere.",
        )
        private = st.toggle(
            "Private", value=True, key="private", help="Only the owner can see the repository."
        )
        st.caption(what_is_sent(model))
        wanted = st.form_submit_button("Push to the hub", icon=":material/cloud_upload:")
    if wanted:
        # A push takes minutes; while it lasts the session does not hold the token either.
        del st.session_state[f"token_{turn}"]
        push(model, repo_id.strip(), token, private)
    tell_outcome(model)


def what_is_sent(model: Model) -> str:
    also = ", the ONNX files" if onnx_files(model) else ""
    return (
        f"The Hugging Face folder{also} and the model card go there in one commit. The card names the "
        "classes and describes the data; no texts go with it."
    )


def onnx_files(model: Model) -> dict[str, Path]:
    """By their path in the repository; none before they are made."""
    made = exports.kept(model)
    if made is None:
        return {}
    return {exports.NAMES[form]: made.file(form) for form in (ONNX, ONNX_INT8) if form not in made.lacking}


def push(model: Model, repo_id: str, token: str, private: bool) -> None:
    outcome = {"model": model.id, "address": "", "error": ""}
    try:
        extra = onnx_files(model)
        with st.status("Asking the hub") as status:
            outcome["address"] = hub.push(
                model.folder,
                exports.card_of(model, tuple(extra)),
                repo_id,
                token,
                private,
                progress=lambda step: status.update(label=escape_markdown(step)),
                extra=extra,
            )
    except UserError as error:
        outcome["error"] = explain(error)
    finally:
        # Even when the tab is closed meanwhile, which ends the push.
        st.session_state["token_turn"] += 1
    st.session_state["pushed"] = outcome
    st.rerun()


def tell_outcome(model: Model) -> None:
    outcome = st.session_state.get("pushed")
    if outcome is None or outcome["model"] != model.id:
        return
    if outcome["error"]:
        st.error(outcome["error"], icon=":material/error:")
        return
    st.success("The model is on the hub.", icon=":material/cloud_done:")
    st.link_button("Open it there", outcome["address"], icon=":material/open_in_new:")


# The card, and how to go on


def show_card(model: Model) -> None:
    with st.expander("The model card", icon=":material/description:"):
        st.caption(
            "It goes into folder and bundle as README.md, in the form that the Hugging Face hub reads."
        )
        st.code(exports.card_of(model), language=None, wrap_lines=True, height=400)


def show_use() -> None:
    with st.expander("How to use the files", icon=":material/terminal:"):
        st.caption("The Hugging Face folder, in Python with transformers")
        st.code(IN_TRANSFORMERS, language="python")
        st.caption("The unpacked bundle, without PyTorch")
        st.code(WITHOUT_TORCH, language="bash")
        st.caption("The bundle, in Textuner on another machine")
        st.code(IN_TEXTUNER, language="bash")


if "routed" not in st.session_state:
    # Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    with suppress(StreamlitAPIException):
        st.switch_page("streamlit_app.py", query_params=st.query_params.to_dict() | {"page": "Export"})
main()
