"""A model that comes in a zip from somewhere else: read with distrust, kept under `home()/models/<id>`.

Nothing in the zip is trusted: not its names, its sizes, nor what it says of itself. Only files of `TAKEN` are
written, each under a name of ours, in pieces and up to a cap; pickles and code are never read. What is kept
has the shape of a run: `model/` is a Hugging Face folder, and the rest lies beside it.
"""

import base64
import hashlib
import json
import logging
import re
import secrets
import shutil
import stat
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from core.base import folders
from core.base.disk import full_is_said
from core.base.errors import UserError
from core.base.formatting import count, shorten
from core.base.formatting import size as in_words
from core.base.home import home
from core.base.ids import is_id
from core.base.json_forms import Count, Timestamp, load, read_as
from core.learning.pretrained import FILES, WEIGHTS

log = logging.getLogger(__name__)

MODEL, CARD, REPORT, MANIFEST, NOTE = "model", "README.md", "report.json", "manifest.json", "import.json"

BESIDE = (CARD, REPORT)
"""Taken, but not files of the model: they lie beside its folder."""

MB = 1_000_000
TAKEN = {
    "config.json": MB,
    WEIGHTS: 4_000 * MB,
    "tokenizer.json": 100 * MB,
    "tokenizer_config.json": 10 * MB,
    "special_tokens_map.json": MB,
    "vocab.txt": 100 * MB,
    "vocab.json": 100 * MB,
    "merges.txt": 100 * MB,
    "calibration.json": MB,
    CARD: 10 * MB,
    REPORT: 100 * MB,
}
"""The files that are taken, and the most bytes of each."""
MODEL_FILES = tuple(name for name in TAKEN if name not in BESIDE)

LARGEST_UPLOAD = 500 * MB
"""Bytes of a zip that comes through the browser, whose bytes the server holds for a moment."""
LARGEST_CONTENT = 4_000 * MB
"""Bytes of all that is taken."""
MOST_ENTRIES = 1_000
MOST_RATIO = 50
"""Times that a file of more than 1 MB may grow when it is unpacked; weights hardly do, words do 10 times."""
MOST_CLASSES = 10_000

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_CODE = ("auto_map", "custom_pipelines", "trust_remote_code", "quantization_config")
"""Keys of a configuration by which a library would load code, or packages, that this project does not."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, UnicodeError)
_CHUNK = 1 << 20
_AT_ONCE = 4 << 20
"""Bytes that are read of a zip at once at most: its table of contents, too, which it sizes itself."""
_AGAIN = "Make the bundle again where the model comes from, and do not change it."


@dataclass(frozen=True)
class Imported:
    """A model that was taken from a file."""

    id: str
    name: str
    """What the file was called: for showing, never for a path."""
    place: Path
    """Its own folder, in which `model/` is the Hugging Face folder."""
    added: Timestamp
    """Seconds since 1970."""
    not_taken: Count
    """Files of the zip that were left in it."""

    @property
    def folder(self) -> Path:
        """The Hugging Face folder."""
        return self.place / MODEL


@dataclass(frozen=True)
class Unpacked:
    """What was taken from a zip."""

    sha256: dict[str, str]
    """Of each file taken, by name."""
    not_taken: int


def keep(source: Path | IO[bytes], name: str) -> Imported:
    """Take a model from a zip for good; the same model twice is kept once.

    Args:
        source: a whole bundle, or a zip of a Hugging Face folder with safetensors weights.
        name: what its owner calls it.

    Raises:
        UserError: anything of it is unsafe, damaged or lacking, or it gives no answers. Nothing is kept then.
        NoSpace: the disk is full.
    """
    root = _root()
    root.mkdir(parents=True, exist_ok=True)
    folders.sweep(root)
    draft = root / f"{folders.DRAFT}{secrets.token_hex(8)}"
    try:
        with full_is_said("this model", LARGEST_UPLOAD, root):
            unpacked = unpack(source, draft)
            id = _id_of(unpacked)
            if not _is_whole(root / id):
                check_answers(draft / MODEL)
                _settle(draft, root / id, name, unpacked)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return find(id)


def unpack(source: Path | IO[bytes], into: Path) -> Unpacked:
    """Take the known files of a zip into a new folder, after all checks but that of its answers.

    Raises:
        UserError: anything of it is unsafe, damaged or lacking.
    """
    with _opened(source) as archive:
        entries = archive.infolist()
        _check_entries(entries)
        named = _named(entries)
        taken = {name: named[name] for name in TAKEN if name in named}
        _check_lacking(taken, named)
        expected = _manifest(archive, named)
        (into / MODEL).mkdir(parents=True)
        found, total = {}, 0
        for name, entry in taken.items():
            found[name], size = _copy(archive, entry, _place(into, name), TAKEN[name])
            total += size
            if total > LARGEST_CONTENT:
                raise _too_much("a model", LARGEST_CONTENT)
    if expected is not None:
        _check_manifest(expected, found)
    _check_settings(into / MODEL)
    others = sum(not entry.is_dir() for entry in entries) - len(taken) - (MANIFEST in named)
    return Unpacked(found, others)


def check_answers(folder: Path) -> None:
    """Load the model once and let it answer: the weights fit the configuration, and the words the weights.

    Raises:
        UserError: they do not.
    """
    # Imported late: it loads torch.
    from core.serving.classifier import Classifier

    classifier = Classifier.load(folder)
    try:
        probabilities = classifier.predict(["", "a", "a b. " * 1000]).probabilities
    except (RuntimeError, IndexError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise UserError(
            "a model that answers for short and for long texts",
            f"one that does not ({type(error).__name__}: {shorten(str(error), 200)})",
            "See that model_max_length in tokenizer_config.json is what the model can read.",
        ) from error
    if not (abs(probabilities.sum(axis=1) - 1) < 1e-3).all():
        raise UserError("weights that are numbers", "some that are none (nan)", "Choose another model.")


def list_imported() -> list[Imported]:
    """All models taken from files, newest first."""
    found = []
    for place in _root().glob("*"):
        with suppress(UserError):
            found.append(find(place.name))
    return sorted(found, key=lambda model: model.added, reverse=True)


def find(id: str) -> Imported:
    """The model of this id.

    Raises:
        UserError: the id is malformed, or no whole model is kept under it.
    """
    place = _root() / id if is_id(id) else None
    if place is None or not _is_whole(place):
        raise UserError("a model taken from a file", "none that is kept here", "Take it from its file again.")
    try:
        return read_as(place / NOTE, Imported, id=id, place=place)
    except (OSError, ValueError) as error:
        log.warning("%s of model %s cannot be read: %s", NOTE, id, error)
        return Imported(id, f"(cannot be read) {id}", place, added=0.0, not_taken=0)


def delete(id: str) -> int:
    """Delete a model. Returns the bytes freed.

    Raises:
        UserError: there is none of this id, or it may not be deleted.
    """
    return folders.clear(folders.move_to_trash(find(id).place))


def card_of(place: Path) -> str | None:
    """The model card that came with a model; None when there was none."""
    try:
        return (place / CARD).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


# Keeping


def _root() -> Path:
    return home() / "models"


def _is_whole(place: Path) -> bool:
    return not place.is_symlink() and all((place / MODEL / name).is_file() for name in FILES)


def _settle(draft: Path, place: Path, name: str, unpacked: Unpacked) -> None:
    # Half a character in a name of a file cannot be shown.
    shown = name[-200:].encode("utf-8", "replace").decode()
    note = {"name": shown, "added": time.time(), "not_taken": unpacked.not_taken}
    (draft / NOTE).write_text(json.dumps(note), encoding="utf-8")
    if place.exists() and not _is_whole(place):
        folders.clear(folders.move_to_trash(place))
    try:
        draft.rename(place)
    except OSError:
        # Somebody may have kept the same model meanwhile, which then stays.
        if not _is_whole(place):
            raise


def _id_of(unpacked: Unpacked) -> str:
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(unpacked.sha256.items()))
    return base64.urlsafe_b64encode(hashlib.sha256(lines.encode()).digest()).decode()[:22]


def _place(into: Path, name: str) -> Path:
    return into / name if name in BESIDE else into / MODEL / name


# The zip


class _Measured:
    """A file of which nobody reads much at once, whatever sizes stand in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _AT_ONCE:
            raise _too_many()
        return self._file.read(_AT_ONCE if size < 0 else size)


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[zipfile.ZipFile]:
    file = source.open("rb") if isinstance(source, Path) else source
    try:
        with file, zipfile.ZipFile(_Measured(file)) as archive:
            yield archive
    except _BROKEN as error:
        raise UserError(
            "a whole zip file",
            f"none, or one that is damaged or cut off ({shorten(str(error) or type(error).__name__, 100)})",
            "Choose a bundle, or a zip of a Hugging Face folder, and copy or download it again if it is one.",
        ) from error


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_ENTRIES:
        raise _too_many()
    for entry in entries:
        problem = _problem_of(entry)
        if problem:
            shown = shorten(ascii(entry.orig_filename)[1:-1], 100)
            raise UserError("a zip of plain files", f"{problem} ({shown})", _AGAIN)
    twice = [
        name for name, times in Counter(entry.filename.casefold() for entry in entries).items() if times > 1
    ]
    if twice:
        raise UserError(
            "a zip that has each name once",
            f"{shorten(ascii(twice[0])[1:-1], 100)} more than once",
            _AGAIN,
        )


def _problem_of(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry is not one of a plain file or folder; None when it is."""
    # The name as it stands in the file: zipfile cuts it at a zero byte.
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    if not name or "\\" in name or "\0" in name or name.startswith("/") or re.match("[A-Za-z]:", name):
        return "a name that is a path of its own"
    if ".." in name.split("/"):
        return "a name that leads out of the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    if entry.flag_bits & 0x1:
        return "an encrypted file"
    if entry.compress_type not in _METHODS:
        return "a file packed in an unusual way"
    return None


def _named(entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The files at the top, or in the one folder at the top that holds a config.json."""
    files = {entry.filename: entry for entry in entries if not entry.is_dir()}
    if "config.json" in files:
        return files
    tops = [name for name in files if PurePosixPath(name).match("*/config.json") and name.count("/") == 1]
    top = tops[0].removesuffix("config.json") if len(tops) == 1 else ""
    return {name.removeprefix(top): entry for name, entry in files.items() if name.startswith(top)}


def _check_lacking(taken: dict[str, zipfile.ZipInfo], named: dict[str, zipfile.ZipInfo]) -> None:
    missing = [name for name in FILES if name not in taken]
    pickles = [name for name in named if PurePosixPath(name).suffix.lower() in _PICKLES]
    if WEIGHTS in missing and pickles:
        raise UserError(
            f"weights as {WEIGHTS}",
            f"a pickle ({shorten(ascii(pickles[0])[1:-1], 60)}), which can run any program when it is read",
            "Save the model with save_pretrained of transformers, which writes safetensors.",
        )
    if missing:
        raise UserError(
            f"a zip with {', '.join(FILES)}",
            f"no {', '.join(missing)}",
            "Choose a bundle of Textuner, or a zip of a Hugging Face folder with its weights in one file.",
        )


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, to: Path, most: int) -> tuple[str, int]:
    """Unpack a file piece by piece. Returns its sha256 and its bytes."""
    digest, written = hashlib.sha256(), 0
    with archive.open(entry) as source, to.open("xb") as target:
        while piece := source.read(_CHUNK):
            written += len(piece)
            if written > most:
                raise _too_much(to.name, most)
            if written > max(MB, MOST_RATIO * entry.compress_size):
                raise UserError(
                    "files that do not grow without end when they are unpacked",
                    f"{to.name}, which grows more than {MOST_RATIO} times: a zip bomb",
                    _AGAIN,
                )
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest(), written


def _manifest(archive: zipfile.ZipFile, named: dict[str, zipfile.ZipInfo]) -> dict[str, str] | None:
    """The sha256 of each file as the bundle gives them; None when it gives none."""
    if MANIFEST not in named:
        return None
    with archive.open(named[MANIFEST]) as file:
        content = file.read(MB + 1)
    if len(content) > MB:
        raise _too_much(MANIFEST, MB)
    try:
        return {str(name): str(facts["sha256"]) for name, facts in json.loads(content)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"a {MANIFEST} with a sha256 of each file", f"none ({type(error).__name__})", _AGAIN
        ) from error


def _check_manifest(expected: dict[str, str], found: dict[str, str]) -> None:
    for name in TAKEN:
        if found.get(name) != expected.get(name):
            raise UserError(
                f"{name} as {MANIFEST} describes it",
                "no such file" if name not in found else "another one: it was damaged or changed",
                _AGAIN,
            )


# What is in it


def _check_settings(folder: Path) -> None:
    config = _object(folder / "config.json")
    for name in ("config.json", "tokenizer_config.json"):
        settings = _object(folder / name) if (folder / name).is_file() else {}
        asked = [key for key in _CODE if settings.get(key)]
        # Such a value may name a repository of compiled code.
        asked += [key for key, value in settings.items() if "implementation" in key and "/" in str(value)]
        if asked:
            raise UserError(
                f"a {name} that needs no code of its own",
                f"one that asks for it ({shorten(asked[0], 60)})",
                "Such models are not read here: code from a file could do anything.",
            )
    _check_classes(config)


def _check_classes(config: dict[str, Any]) -> None:
    names = config.get("id2label")
    if (
        not isinstance(names, dict)
        or not 2 <= len(names) <= MOST_CLASSES
        or set(names) != {str(number) for number in range(len(names))}
    ):
        raise UserError(
            f"a text classifier: a config.json whose id2label names 2 to {MOST_CLASSES:,} classes from 0 on",
            "none" if not isinstance(names, dict) else count(len(names), "class", "classes"),
            "Choose a model that was fine-tuned for classification.",
        )
    if not all(isinstance(name, str) and name.strip() for name in names.values()):
        raise UserError("a name for every class", "a class without one", _AGAIN)


def _object(file: Path) -> dict[str, Any]:
    try:
        content = load(file)
    except (ValueError, RecursionError) as error:
        raise UserError(f"a {file.name} in JSON", f"none ({type(error).__name__})", _AGAIN) from error
    if not isinstance(content, dict):
        raise UserError(f"an object in {file.name}", f"a {type(content).__name__}", _AGAIN)
    return content


def _too_many() -> UserError:
    return UserError(f"a zip of at most {MOST_ENTRIES:,} files", "more than that", _AGAIN)


def _too_much(what: str, most: int) -> UserError:
    return UserError(f"{what} of at most {in_words(most)}", "more than that", "Choose a smaller model.")
