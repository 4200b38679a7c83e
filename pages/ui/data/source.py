"""The file that the page shows, and what is computed from it once per session."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.data.labels import ColumnMapping, LabeledTexts, label_texts
from core.data.quality.checks import Finding, Tokens, find_problems, profile_columns
from core.data.quality.fixes import Fix, Fixed, apply
from core.data.reading.files import read_table
from core.data.storage.uploads import find_upload
from core.data.tables import ReadOptions, RejectedRow, Table
from core.learning.config import TrainingConfig
from core.learning.pretrained import folder_on_disk
from core.learning.tokenizer import TextTokenizer

# Longer texts count as this long: how much of them is not read is plain by then.
MOST_TOKENS = 20_000


@dataclass(frozen=True)
class Source:
    """What the page shows: a file, how it is read, its columns, and what was done about its findings."""

    upload_id: str
    choice: ReadOptions
    mapping: ColumnMapping
    fixes: tuple[Fix, ...] = ()

    @property
    def unfixed(self) -> "Source":
        """The same without any fix."""
        return replace(self, fixes=())


@st.cache_resource(max_entries=3, scope="session", show_spinner="Reading the file")
def read(upload_id: str, choice: ReadOptions) -> Table:
    return read_table(find_upload(upload_id).path, choice=choice)


@st.cache_resource(max_entries=2, scope="session", show_spinner="Looking at the columns")
def profile(upload_id: str, choice: ReadOptions) -> pd.DataFrame:
    return profile_columns(read(upload_id, choice))


@st.cache_resource(max_entries=2, scope="session", show_spinner="Reading the labels")
def read_labels(source: Source) -> tuple[LabeledTexts, list[RejectedRow]]:
    return label_texts(read(source.upload_id, source.choice), source.mapping)


@st.cache_resource(max_entries=2, scope="session", show_spinner="Applying the fixes")
def fix_texts(source: Source) -> Fixed:
    return apply(read_labels(source.unfixed)[0], source.fixes)


@st.cache_resource(max_entries=3, scope="session", show_spinner="Checking the texts")
def check(source: Source) -> list[Finding]:
    _, rejected = read_labels(source.unfixed)
    tokens = Tokens(TrainingConfig().max_length, token_counter())
    return find_problems(fix_texts(source).labeled, rejected, tokens)


@st.cache_resource(show_spinner=False)
def token_counter() -> Callable[[Sequence[str]], list[int]] | None:
    """How many tokens each text has for the model that comes with the installation, if it is there."""
    try:
        folder = folder_on_disk(TrainingConfig().model)
    except UserError:
        return None
    if folder is None:
        return None
    try:
        tokenizer = TextTokenizer(folder, MOST_TOKENS)
    except UserError:
        return None
    return lambda texts: [len(ids) for ids in tokenizer.encode(texts)[0]]
