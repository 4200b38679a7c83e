"""The router: page settings, the list of pages, and the page that was asked for."""

import streamlit as st

from core.runs.training import queue

st.set_page_config(page_title="Textuner", page_icon=".streamlit/icon.svg", layout="wide")
st.logo(".streamlit/logo.svg", icon_image=".streamlit/icon.svg", size="large")

PAGES = {
    "Data": st.Page(
        "pages/1_Data.py",
        title="Data",
        icon=":material/table_view:",
        help="Read a table of texts and labels, check it, and save it as a data set.",
        default=True,
    ),
    "Check": st.Page(
        "pages/5_Check.py",
        title="Check",
        icon=":material/fact_check:",
        help="A baseline, labels that are probably wrong, and whether more texts would help.",
    ),
    "Train": st.Page(
        "pages/2_Train.py",
        title="Train",
        icon=":material/model_training:",
        help="Fine-tune a model on a data set and watch it learn.",
    ),
    "Runs": st.Page(
        "pages/3_Runs.py",
        title="Runs",
        icon=":material/insights:",
        help="Every training so far: its scores, where it goes wrong, its settings.",
    ),
    "Compare": st.Page(
        "pages/7_Compare.py",
        title="Compare",
        icon=":material/compare_arrows:",
        help="Runs beside each other, and whether one is really better than another.",
    ),
    "Predict": st.Page(
        "pages/4_Predict.py",
        title="Predict",
        icon=":material/label:",
        help="Classify a text or a whole file.",
    ),
    "Export": st.Page(
        "pages/6_Export.py",
        title="Export",
        icon=":material/outbox:",
        help="Take a model away: weights, ONNX, a web page, or all in one bundle.",
    ),
}

# Whatever page is opened: runs that wait, or were lost, go on.
queue.ensure_worker()
st.session_state["routed"] = True
page = st.navigation(list(PAGES.values()))
params = st.query_params.to_dict()
# A shared link is /?run=<id>; a page that was opened before the router names itself (see there).
wanted = params.pop("page", "Train" if "run" in params else "Data")
if page == PAGES["Data"] and wanted in PAGES and wanted != "Data":
    st.switch_page(PAGES[wanted], query_params=params)
page.run()
