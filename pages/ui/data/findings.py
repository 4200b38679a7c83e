"""What is wrong with the texts and labels, and the fixes."""

import time
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, explain
from core.data.quality.findings import Finding, applied_in_words, is_answered
from core.data.quality.fixes import AppliedFix, Fix
from core.data.storage.uploads import find_upload, keep_fixes
from pages.ui.data.source import Source
from pages.ui.feedback import show_error


def show_fixes(source: Source, done: Sequence[AppliedFix]) -> None:
    """What the fixes did; each can be undone."""
    if not source.fixes:
        return
    with st.container(border=True, gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            words = applied_in_words(source.fixes, done)
            st.markdown(f":material/build: {words} The file itself stays as it is.")
            if len(source.fixes) > 1 and st.button("Undo all", type="tertiary", icon=":material/undo:"):
                use_fixes(source, [])
        said = {one.fix: one.words for one in done}
        for fix in source.fixes:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(said.get(fix.topic, fix.words))
                if st.button("Undo", type="tertiary", icon=":material/undo:", key=f"undo_{fix.kind}"):
                    use_fixes(source, [other for other in source.fixes if other != fix])


def use_fixes(source: Source, fixes: Sequence[Fix]) -> None:
    try:
        keep_fixes(find_upload(source.upload_id), source.mapping, fixes)
    except UserError as error:
        show_error(error)
        return
    st.rerun()


def show_findings(source: Source, findings: list[Finding]) -> None:
    """All findings but those that one of the fixes answers."""
    for finding in findings:
        if is_answered(finding, source.fixes):
            continue
        words = explain(UserError(finding.expected, finding.found, finding.remedy))
        title = escape_markdown(finding.title)
        if finding.severity == "error":
            st.error(words, title=title, icon=":material/error:")
            if finding.examples:
                with st.expander("Examples"):
                    show_examples(finding)
        else:
            with st.expander(f"{title} ({finding.count:,})", icon=":material/warning:"):
                st.markdown(words)
                offer_fixes(source, finding)
                show_examples(finding)


def offer_fixes(source: Source, finding: Finding) -> None:
    with st.container(horizontal=True):
        for offer in finding.offers:
            if st.button(offer.button, key=f"fix_{offer.fix.kind}", icon=":material/build:"):
                others = [fix for fix in source.fixes if fix != offer.fix]
                use_fixes(source, [*others, replace(offer.fix, time=time.time())])


def show_examples(finding: Finding) -> None:
    if finding.examples:
        st.caption("For example")
    with st.container(gap="xxsmall"):
        for example in finding.examples:
            st.text(example)
