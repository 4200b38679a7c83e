"""Errors as every page shows them."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import explain


def show_error(error: UserError) -> None:
    """Say what was expected, what was found and what to do."""
    st.error(explain(error), icon=":material/error:")
