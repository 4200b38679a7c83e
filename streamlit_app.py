"""The router: page settings, the list of pages, and the page that was asked for."""

import streamlit as st

st.set_page_config(page_title="Textuner", page_icon=".streamlit/icon.svg", layout="wide")
st.logo(".streamlit/logo.svg", icon_image=".streamlit/icon.svg", size="large")

DATA = st.Page(
    "pages/1_Data.py",
    title="Data",
    icon=":material/table_view:",
    help="Read a table of texts and labels, check it, and save it as a data set.",
    default=True,
)
TRAIN = st.Page(
    "pages/2_Train.py",
    title="Train",
    icon=":material/model_training:",
    help="Fine-tune a model on a data set and watch it learn.",
)
RUNS = st.Page(
    "pages/3_Runs.py",
    title="Runs",
    icon=":material/insights:",
    help="Every training so far: its scores, where it goes wrong, its settings.",
)
PREDICT = st.Page(
    "pages/4_Predict.py",
    title="Predict",
    icon=":material/label:",
    help="Classify a text or a whole file, and take the model away.",
)

page = st.navigation([DATA, TRAIN, RUNS, PREDICT])
if page == DATA and "run" in st.query_params:
    # A shared link is /?run=<id>.
    st.switch_page(TRAIN, query_params={"run": st.query_params["run"]})
page.run()
