"""Data sets on disk: a folder each, there as a whole or not at all.

<home>/datasets/<id>/   splits.parquet   columns split, text, label, line (in its file; null where not known)
                        rejected.jsonl   a row of the file that was set aside per line
                        dataset.json     everything else; written last
                        studies/         what was found out later (see `core.runs.tasks.data_checks`)
"""

import hashlib
import json
import logging
import re
import shutil
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from annotated_types import Predicate
from filelock import Timeout

from core.base import disk, folders, locks
from core.base.disk import full_is_said
from core.base.errors import UserError
from core.base.home import home
from core.base.ids import is_id, new_id
from core.base.json_forms import Count, Timestamp, WrongForm, read_as
from core.data.labels import LabeledTexts, reject
from core.data.quality.fixes import AppliedFix, done_to
from core.data.reading.text.decoding import LONE_SURROGATE
from core.data.reading.text.records import RejectedRow
from core.data.splits import Splits, check_train

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")
STUDIES = "studies"
FACTS, TEXTS, REJECTED = "dataset.json", "splits.parquet", "rejected.jsonl"
NAME_CHARACTERS = 200
Row = tuple[str, int]
"""A row of a data set: its part (train, validation, test) and its position in it, from 0."""

_OF_EACH_PART = Predicate(lambda found: set(found) == set(PARTS))


@dataclass(frozen=True)
class Dataset:
    """What is known about a saved data set, without its texts.

    `created` is in seconds since 1970; `counts` and `class_counts` are by part (train, validation, test);
    `sha256` is that of the texts and labels; `source` says which file they came from, how it was read, and
    what was done to it ("fixes", see `core.data.quality.fixes.AppliedFix`).
    """

    id: str
    name: str
    created: Timestamp
    folder: Path
    label2id: dict[str, Count]
    counts: Annotated[dict[str, Count], _OF_EACH_PART]
    class_counts: Annotated[dict[str, dict[str, Count]], _OF_EACH_PART]
    how: str
    removed: dict[str, Count]
    rejected: Count
    sha256: str
    source: dict


@dataclass(frozen=True)
class DamagedDataset:
    """A folder among the data sets that cannot be read: why, and when it was changed (seconds since 1970)."""

    id: str
    reason: str
    created: float


def save_dataset(name: str, splits: Splits, rejected: list[RejectedRow], source: dict) -> Dataset:
    """Write a data set into a folder of its own: first into a hidden one, which is renamed once it is whole.

    Lone surrogates, which no file can hold, are replaced by U+FFFD.

    Raises:
        NoSpace: the disk is full; nothing of the data set is left on it.
    """
    root = _root()
    root.mkdir(parents=True, exist_ok=True)
    sweep()
    id = new_id()
    parts = {part: _storable(getattr(splits, part)) for part in PARTS}
    dataset = Dataset(
        id=id,
        name=_storable_text(" ".join(name.split()))[:NAME_CHARACTERS] or "Data set",
        created=time.time(),
        folder=root / id,
        label2id=parts["train"].label2id,
        counts={part: len(texts) for part, texts in parts.items()},
        class_counts={part: texts.class_counts() for part, texts in parts.items()},
        how=splits.how,
        removed=dict(splits.removed),
        rejected=len(rejected),
        sha256=_sha256(parts),
        source=source,
    )
    hidden = root / f"{folders.DRAFT}{id}"
    size = sum(len(text) for texts in parts.values() for text in texts.texts)
    try:
        with full_is_said("this data set", size, root):
            hidden.mkdir()
            _write(hidden, dataset, parts, rejected)
            hidden.rename(dataset.folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    disk.force(root)
    return dataset


def read_dataset(folder: Path) -> Dataset:
    """What the folder of a data set says about it.

    Raises:
        UserError: the folder is damaged or not that of a data set.
    """
    try:
        return read_as(folder / FACTS, Dataset, folder=folder)
    except WrongForm as error:
        raise _damaged(folder, f"{FACTS} does not hold what it should") from error
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{FACTS}: {_in_short(error)}") from error


def load_splits(folder: Path) -> Splits:
    """The texts and labels of a saved data set, checked against their sha256.

    Raises:
        UserError: the folder is damaged or not that of a data set.
    """
    dataset = read_dataset(folder)
    try:
        parts = _read_parts(folder / TEXTS, dataset.label2id)
        if _sha256(parts) != dataset.sha256:
            raise ValueError(f"{TEXTS} is not as it was saved")
    except (OSError, ValueError, KeyError, AttributeError, pa.ArrowException) as error:
        raise _damaged(folder, f"{TEXTS}: {_in_short(error)}") from error
    return Splits(**parts, how=dataset.how, removed=dataset.removed)


def relabel(dataset_id: str, labels: Mapping[Row, str], drop: Collection[Row] = ()) -> Dataset:
    """Save a data set again with other labels on some rows, and without others; the original stays as it is.

    The new one is called "name (2)", or the next number that is free; its parts are those of the original,
    and what was done is recorded among its fixes. The rows that were dropped are among its rejected ones.

    Args:
        labels: the new label of a row, by its part and its position in it: ("train", 17). One of the data
            set's own labels. A row that is in `drop` too is dropped.
        drop: rows to leave out.

    Raises:
        UserError: the data set is gone or damaged, a row or label is not in it, nothing would change, or
            train would have fewer than two classes.
        NoSpace: the disk is full.
    """
    dataset = find_dataset(dataset_id)
    splits = load_splits(dataset.folder)
    dropped = set(drop)
    _check_rows(dataset, (*labels, *dropped), labels.values())
    changed = {row for row, label in labels.items() if row not in dropped and _label(splits, row) != label}
    if not changed and not dropped:
        raise UserError(
            "a row to change or to drop", "none", "Choose another label for a row, or drop a row."
        )
    parts = {part: _relabeled(getattr(splits, part), part, labels, dropped) for part in PARTS}
    parts = dict(zip(PARTS, _renumbered(list(parts.values())), strict=True))
    check_train(parts["train"])
    rejected = [
        *read_rejected(dataset),
        *(
            reject(getattr(splits, part), row, f"dropped by hand from {part}")
            for part, row in sorted(dropped)
        ),
    ]
    done = AppliedFix("Labels looked through by hand", len(changed), len(dropped), time.time())
    source = dataset.source | {
        "fixes": [*(before.facts() for before in done_to(dataset.source)), done.facts()]
    }
    return save_dataset(
        _next_name(dataset.name),
        replace(splits, train=parts["train"], validation=parts["validation"], test=parts["test"]),
        rejected,
        source,
    )


def read_rejected(dataset: Dataset) -> list[RejectedRow]:
    """The rows of the file that are not in the data set.

    Raises:
        UserError: the data set has been deleted meanwhile, or is damaged.
    """
    try:
        lines = (dataset.folder / REJECTED).read_text(encoding="utf-8").splitlines()
        return [RejectedRow(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(dataset.folder, f"{REJECTED}: {_in_short(error)}") from error


def list_datasets() -> list[Dataset]:
    """All saved data sets, newest first, without the damaged ones."""
    return [entry for entry in list_entries() if isinstance(entry, Dataset)]


def list_entries() -> list[Dataset | DamagedDataset]:
    """All saved data sets, newest first, and behind them the folders that cannot be read."""
    return sorted(
        _entries(), key=lambda entry: (isinstance(entry, Dataset), entry.created, entry.id), reverse=True
    )


def find_dataset(id: str) -> Dataset:
    """The data set with this id.

    Raises:
        UserError: the id is malformed, or there is no sound data set of this id.
    """
    return read_dataset(_folder(id))


def delete_dataset(id: str) -> int:
    """Delete the data set of this id, damaged or not.

    Returns:
        Bytes freed.

    Raises:
        UserError: the id is malformed, there is no data set of this id, a study of it is at work, or its
            files may not be deleted.
    """
    entry = _entry(id)
    with _no_study_at_work(entry):
        # Out of the list at once, whatever happens while the files go.
        grave = folders.move_to_trash(entry)
    return folders.clear(grave)


@contextmanager
def _no_study_at_work(entry: Path) -> Iterator[None]:
    """Keep checks of the data set from beginning meanwhile; each holds a lock for as long as it works."""
    with ExitStack() as held:
        for lock in entry.glob(f"{STUDIES}/*/lock"):
            try:
                held.enter_context(locks.hold(lock, timeout=0))
            except Timeout as error:
                raise UserError(
                    "a data set that nobody works on",
                    "one that is being checked",
                    "Wait until that has ended, or stop it on the Check page.",
                ) from error
            except (OSError, locks.LockGone):
                continue  # A link or a folder in the place of a lock keeps nobody from deleting it.
        yield


def bytes_of(id: str) -> int:
    """What deleting the data set of this id would free.

    Raises:
        UserError: the id is malformed, or there is no data set of this id.
    """
    return folders.bytes_on_disk(_entry(id))


def bytes_of_all() -> int:
    """What all data sets take on disk, with what crashes left of some."""
    return folders.bytes_on_disk(_root())


def older_than(days: float) -> list[Dataset | DamagedDataset]:
    """Data sets saved more than `days` ago, and damaged folders that have not changed since then."""
    before = time.time() - days * 24 * 3600
    return [entry for entry in list_entries() if entry.created < before]


def sweep() -> int:
    """Delete what crashes left of data sets that were being saved or deleted.

    Returns:
        Bytes freed.
    """
    # Earlier versions hid a folder by a dot before its id.
    return folders.sweep(_root(), "." + "[A-Za-z0-9_-]" * 22)


def copy_dataset(dataset: Dataset, to: Path) -> None:
    """Copy the files of a data set into the folder `to`, which is made if it is not there.

    Raises:
        UserError: the data set has been deleted meanwhile, or is damaged.
    """
    to.mkdir(parents=True, exist_ok=True)
    try:
        # The facts last, as when they were written.
        for name in (TEXTS, REJECTED, FACTS):
            shutil.copyfile(dataset.folder / name, to / name)
            disk.force(to / name)
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise _damaged(dataset.folder, _in_short(error)) from error
    disk.force(to)


def _root() -> Path:
    return home() / "datasets"


def _folder(id: str) -> Path:
    folder = _entry(id)
    if not folder.is_dir() or folder.resolve().parent != _root().resolve():
        raise _none_here()
    return folder


def _entry(id: str) -> Path:
    """What lies under this id: a folder, or what took its place."""
    path = _root() / id if is_id(id) else None
    if path is None or not (path.exists() or path.is_symlink()):
        raise _none_here()
    return path


def _none_here() -> UserError:
    return UserError(
        "a saved data set",
        "none under this link",
        "Choose one from the list of data sets, or save the file again.",
    )


def _entries() -> Iterator[Dataset | DamagedDataset]:
    for path in _root().glob("*"):
        if not is_id(path.name):
            continue
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue  # Deleted between the two looks.
        if not stat.S_ISDIR(found.st_mode):
            yield DamagedDataset(path.name, "It is a file or a link, and not a folder.", found.st_mtime)
            continue
        try:
            yield read_dataset(path)
        except UserError as error:
            logger.warning("The data set %s cannot be read: %s", path.name, error.reason)
            yield DamagedDataset(path.name, error.reason, found.st_mtime)


def _in_short(error: Exception) -> str:
    """What went wrong, without the place on this machine."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _damaged(folder: Path, reason: object) -> UserError:
    return UserError(
        "a whole data set",
        f"a damaged one ({str(reason)[:200]})",
        "Delete it, and save the data set from its file again.",
    )


def _storable_text(text: str) -> str:
    return text if text.isascii() else LONE_SURROGATE.sub("\ufffd", text)


def _storable(labeled: LabeledTexts) -> LabeledTexts:
    label2id = {_storable_text(label): number for label, number in labeled.label2id.items()}
    return replace(labeled, texts=[_storable_text(text) for text in labeled.texts], label2id=label2id)


def _rows(parts: Mapping[str, LabeledTexts]) -> Iterator[tuple[str, str, str]]:
    """Part, text and label of every row."""
    for part in PARTS:
        names = parts[part].id2label
        for text, label in zip(parts[part].texts, parts[part].labels, strict=True):
            yield part, text, names[label]


def _sha256(parts: dict[str, LabeledTexts]) -> str:
    """The hash of all rows; each value goes in with its length before it, so that none runs into the next."""
    digest = hashlib.sha256()
    for row in _rows(parts):
        values = [value.encode() for value in row]
        digest.update(b"".join(len(value).to_bytes(8, "big") + value for value in values))
    return digest.hexdigest()


def _write(
    folder: Path, dataset: Dataset, parts: dict[str, LabeledTexts], rejected: list[RejectedRow]
) -> None:
    columns = zip(("split", "text", "label"), zip(*_rows(parts), strict=True), strict=True)
    table = pa.table({name: pa.array(values, pa.large_string()) for name, values in columns})
    table = table.append_column("line", pa.chunked_array(map(_lines, parts.values()), pa.int64()))
    pq.write_table(table, folder / TEXTS)
    lines = (json.dumps(asdict(row)) + "\n" for row in rejected)
    (folder / REJECTED).write_text("".join(lines), encoding="utf-8")
    # asdict() would copy every dictionary; the folder is where the file lies, not a fact about the data.
    facts = {field.name: getattr(dataset, field.name) for field in fields(dataset) if field.name != "folder"}
    (folder / FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        disk.force(path)


def _lines(labeled: LabeledTexts) -> pa.Array:
    return (
        pa.nulls(len(labeled), pa.int64()) if labeled.lines is None else pa.array(labeled.lines, pa.int64())
    )


def _read_parts(file: Path, label2id: dict[str, int]) -> dict[str, LabeledTexts]:
    # Not `pq.read_table`, which imports pandas: a trainer would begin a quarter of a second later.
    with pq.ParquetFile(file) as stored:
        # Earlier versions kept no lines.
        names = ["split", "text", "label", *({"line"} & set(stored.schema_arrow.names))]
        table = stored.read(columns=names).select(names)
    parts = {part: LabeledTexts([], [], label2id) for part in PARTS}
    lines: dict[str, list[int | None]] = {part: [] for part in PARTS}
    columns = [column.to_pylist() for column in table.columns]
    for split, text, label, *line in zip(*columns, strict=True):
        parts[split].texts.append(text)
        parts[split].labels.append(label2id[label])
        lines[split] += line
    return {
        part: replace(labeled, lines=np.array(lines[part], dtype=np.int64))
        if len(names) > 3 and None not in lines[part]
        else labeled
        for part, labeled in parts.items()
    }


# Other labels


def _check_rows(dataset: Dataset, rows: Iterable[Row], labels: Iterable[str]) -> None:
    strangers = [row for row in rows if row[0] not in PARTS or not 0 <= row[1] < dataset.counts[row[0]]]
    unknown = [label for label in labels if label not in dataset.label2id]
    if strangers or unknown:
        found = [f"row {position} of {part}" for part, position in strangers[:3]]
        found += [f"the label {label[:80]!r}" for label in unknown[:3]]
        raise UserError(
            "rows and labels of this data set", ", ".join(found), "Load the page again and choose once more."
        )


def _label(splits: Splits, row: Row) -> str:
    part: LabeledTexts = getattr(splits, row[0])
    return part.id2label[part.labels[row[1]]]


def _relabeled(
    labeled: LabeledTexts, part: str, labels: Mapping[Row, str], dropped: set[Row]
) -> LabeledTexts:
    numbers = [
        labeled.label2id[labels[part, i]] if (part, i) in labels else number
        for i, number in enumerate(labeled.labels)
    ]
    return replace(labeled, labels=numbers).take(i for i in range(len(labeled)) if (part, i) not in dropped)


def _renumbered(parts: list[LabeledTexts]) -> list[LabeledTexts]:
    """The parts without classes that have no text in any of them."""
    used = {number for part in parts for number in part.labels}
    old = parts[0].label2id
    label2id = {label: i for i, label in enumerate(label for label in old if old[label] in used)}
    new = {old[label]: i for label, i in label2id.items()}
    return [
        replace(part, labels=[new[number] for number in part.labels], label2id=label2id) for part in parts
    ]


def _next_name(name: str) -> str:
    base = re.sub(r" \([0-9]{1,6}\)$", "", name)
    taken = {dataset.name for dataset in list_datasets()}
    return next(name for i in count(2) if (name := f"{base[: NAME_CHARACTERS - 9]} ({i})") not in taken)
