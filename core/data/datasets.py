"""Data sets on disk: one folder each, written whole or not at all."""

import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.data.labels import LabeledTexts
from core.data.splits import Splits
from core.data.tables import RejectedRow
from core.errors import UserError
from core.home import home

logger = logging.getLogger(__name__)

ID = re.compile(r"[A-Za-z0-9_-]{22}")
PARTS = ("train", "validation", "test")
NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Dataset:
    """A saved data set: what is in its folder, without the texts."""

    id: str
    name: str
    created: float
    folder: Path
    label2id: dict[str, int]
    counts: dict[str, int]
    class_counts: dict[str, dict[str, int]]
    how: str
    removed: dict[str, int]
    rejected: int
    sha256: str
    source: dict


def save_dataset(name: str, splits: Splits, rejected: list[RejectedRow], source: dict) -> Dataset:
    """Write a data set into a folder of its own under `<home>/datasets` and return it."""
    id = secrets.token_urlsafe(16)
    root = _root()
    root.mkdir(parents=True, exist_ok=True)
    parts = {part: getattr(splits, part) for part in PARTS}
    dataset = Dataset(
        id=id,
        name=name.strip()[:NAME_CHARACTERS] or "Data set",
        created=time.time(),
        folder=root / id,
        label2id=splits.train.label2id,
        counts={part: len(texts) for part, texts in parts.items()},
        class_counts={part: texts.class_counts() for part, texts in parts.items()},
        how=splits.how,
        removed=splits.removed,
        rejected=len(rejected),
        sha256=_sha256(splits),
        source=source,
    )
    temporary = root / f".{id}"
    temporary.mkdir()
    try:
        _write(temporary, dataset, splits, rejected)
        temporary.rename(dataset.folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return dataset


def _root() -> Path:
    return home() / "datasets"


def _rows(splits: Splits) -> list[tuple[str, str, str]]:
    rows = []
    for part in PARTS:
        texts = getattr(splits, part)
        names = texts.id2label
        rows += [(part, text, names[label]) for text, label in zip(texts.texts, texts.labels, strict=True)]
    return rows


def _sha256(splits: Splits) -> str:
    digest = hashlib.sha256()
    for row in _rows(splits):
        for value in row:
            data = value.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _write(folder: Path, dataset: Dataset, splits: Splits, rejected: list[RejectedRow]) -> None:
    columns = list(zip(*_rows(splits), strict=True))
    table = pa.table(
        {n: pa.array(c, pa.large_string()) for n, c in zip(("split", "text", "label"), columns, strict=True)}
    )
    pq.write_table(table, folder / "splits.parquet")
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in rejected)
    (folder / "rejected.jsonl").write_text(lines, encoding="utf-8")
    facts = asdict(dataset)
    del facts["folder"]
    (folder / "dataset.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_dataset(folder: Path) -> Dataset:
    """What `dataset.json` in this folder says."""
    try:
        facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        return Dataset(folder=folder, **facts)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            "a saved data set", f"a folder that cannot be read ({error})", "Save it again."
        ) from error


def load_splits(folder: Path) -> Splits:
    """The texts and labels of a saved data set."""
    dataset = read_dataset(folder)
    table = pq.read_table(folder / "splits.parquet")
    splits, texts, labels = (table[name].to_pylist() for name in ("split", "text", "label"))
    parts = {part: LabeledTexts([], [], dataset.label2id) for part in PARTS}
    for split, text, label in zip(splits, texts, labels, strict=True):
        parts[split].texts.append(text)
        parts[split].labels.append(dataset.label2id[label])
    return Splits(**parts, how=dataset.how, removed=dataset.removed)


def list_datasets() -> list[Dataset]:
    """All saved data sets, newest first; damaged folders are skipped with a logged warning."""
    found = []
    for folder in _root().glob("*"):
        if not ID.fullmatch(folder.name):
            continue
        try:
            found.append(read_dataset(folder))
        except UserError as error:
            logger.warning("Skipped %s: %s", folder, error)
    return sorted(found, key=lambda dataset: dataset.created, reverse=True)


def find_dataset(id: str) -> Dataset:
    """The data set with this id."""
    if not isinstance(id, str) or not ID.fullmatch(id) or not (_root() / id).is_dir():
        raise UserError(
            "the id of a saved data set", "one that is not there", "Choose a data set from the list."
        )
    return read_dataset(_root() / id)


def delete_dataset(id: str) -> None:
    """Delete a data set and its folder."""
    shutil.rmtree(find_dataset(id).folder)


def copy_dataset(dataset: Dataset, to: Path) -> None:
    """Copy the folder of a data set to `to`."""
    shutil.copytree(dataset.folder, to, dirs_exist_ok=True)
