"""The bytes of a file that somebody dropped on a page."""

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile


def take_out(uploaded: UploadedFile) -> bytes:
    """The bytes of an upload, which then leave the server's memory: there they would stay with the tab."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, uploaded.file_id)
    return uploaded.getvalue()
