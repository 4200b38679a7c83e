"""ONNX, the web page and the bundle, made once and kept."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, explain, size
from core.runs.results import export_words, exports
from core.runs.results.exports import BUNDLE, MADE, Made
from core.runs.results.models import Model
from pages.ui.export.download import offer
from pages.ui.feedback import show_error
from pages.ui.tab import StatusContainer

MAKE = "Make the ONNX files and the bundle"
# Of the columns of what was made, so that the accuracy's change fits on its button.
WIDTHS = (5, 6, 5)


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
        show_error(error)
        return
    st.rerun()


def tell(status: StatusContainer, step: str) -> None:
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
            missing = ", ".join(export_words.TITLES[form] for form in MADE if form in made.lacking)
            st.caption(f":orange-badge[:material/warning: without: {missing}]")
        offer(model, made, BUNDLE, "Download the bundle", main_one=True)


def show_made(model: Model, made: Made, form: str) -> None:
    st.markdown(f"**{export_words.TITLES[form]}**")
    if form in made.lacking:
        st.caption(":orange-badge[:material/warning: not made] The reason stands below.")
        return
    st.caption(f"{size(made.file(form).stat().st_size)}. {export_words.facts_of(made, form)}")
    offer(model, made, form, export_words.button_of(made, form))


def tell_lacking(made: Made) -> None:
    """Each reason once: what one form lacks, those that are made of it lack, too."""
    for reason, forms in export_words.lacking(made).items():
        st.warning(f"**{forms}.** {explain(UserError(*reason))}", icon=":material/warning:")
