"""What Streamlit keeps for one browser tab and gives no public access to: uploaded files and fragments.

The only module that reaches for what Streamlit does not document. `tests/pages/test_tab.py` holds what is
used here; tests/pages/test_pages.py (an upload leaves the memory) and tests/faults/test_server.py (a timer
is refused) hold what comes of it.
"""

from streamlit.elements.lib.mutable_status_container import StatusContainer
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

__all__ = ["StatusContainer", "UploadedFile", "forget_fragments", "take_out"]


def take_out(uploaded: UploadedFile) -> bytes:
    """The bytes of an upload, which then leave the server's memory: there they would stay with the tab."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, uploaded.file_id)
    return uploaded.getvalue()


def forget_fragments() -> None:
    """Drop the fragments of the page that the tab leaves; what their timers still ask for is then refused.

    A timer of the page that is left can fire until the browser knows of the next page. Streamlit accepts
    its request as long as it holds the fragment, and answers it, after the next page, as a run of the page
    that was left: the browser then clears the whole page, and nothing draws it again.
    """
    context = get_script_run_ctx()
    if context:
        context.fragment_storage.clear()
