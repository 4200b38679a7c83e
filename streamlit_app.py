"""The router: page settings, and the page that was asked for."""

import streamlit as st

from core.runs.training import queue
from pages.ui import navigation

st.set_page_config(page_title="Textuner", page_icon=".streamlit/icon.svg", layout="wide")
st.logo(".streamlit/logo.svg", icon_image=".streamlit/icon.svg", size="large")

# Whatever page is opened: runs that wait, or were lost, go on.
queue.ensure_worker()
navigation.run_page()
