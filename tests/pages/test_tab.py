"""The contract with Streamlit: what it keeps for a tab, and gives no public access to, is where it was."""

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from pages.ui.tab import forget_fragments

CHANGED = "Streamlit has changed what it does not document: mend pages/ui/tab.py"


def test_an_upload_that_is_taken_out_is_in_memory_no_more(monkeypatch):
    managers = []
    remove_file = MemoryUploadedFileManager.remove_file

    def watched(self, session_id, file_id):
        held = bool(self.get_files(session_id, [file_id]))
        remove_file(self, session_id, file_id)
        managers.append((held, bool(self.get_files(session_id, [file_id]))))

    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", watched)

    def page():
        import streamlit as st

        from pages.ui.tab import UploadedFile, take_out

        if uploaded := st.file_uploader("File"):
            st.text(isinstance(uploaded, UploadedFile))
            st.text(take_out(uploaded).decode())

    app = AppTest.from_function(page).run()
    app.file_uploader[0].set_value(("a.csv", b"text,label", "text/csv")).run()
    assert not app.exception, CHANGED
    assert [text.value for text in app.text] == ["True", "text,label"], CHANGED
    assert managers == [(True, False)], CHANGED


def test_fragments_that_are_forgotten_can_be_asked_for_no_more():
    def page():
        import streamlit as st
        from streamlit.runtime.scriptrunner import get_script_run_ctx

        from pages.ui.tab import forget_fragments

        @st.fragment
        def clock():
            st.caption("12:00")

        clock()
        storage = get_script_run_ctx().fragment_storage
        known = storage.ids_registered_after(0)
        st.text(sum(map(storage.contains, known)))
        forget_fragments()
        st.text(sum(map(storage.contains, known)))

    app = AppTest.from_function(page).run()
    assert not app.exception, CHANGED
    assert [text.value for text in app.text] == ["1", "0"], CHANGED


def test_what_shows_work_in_progress_is_of_this_type():
    def page():
        import streamlit as st

        from pages.ui.tab import StatusContainer

        st.text(isinstance(st.status("Working"), StatusContainer))

    app = AppTest.from_function(page).run()
    assert not app.exception, CHANGED
    assert [text.value for text in app.text] == ["True"], CHANGED


def test_without_a_tab_nothing_is_asked_of_streamlit():
    forget_fragments()
