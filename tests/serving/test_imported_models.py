"""Zips from somewhere else: whatever is wrong with one is said, and nothing of it is kept."""

import hashlib
import io
import json
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.base.errors import UserError
from core.learning.evaluation.calibration import Calibration, read_calibration
from core.learning.pretrained import WEIGHTS
from core.serving import imported_models
from core.serving.classifier import Classifier
from tests.tiny import TEXTS

ALL_TEXTS = [text for texts in TEXTS.values() for text in texts]


@pytest.fixture
def parts(tiny_model) -> dict[str, bytes]:
    """The files of a sound model."""
    return {file.name: file.read_bytes() for file in tiny_model.iterdir() if file.is_file()}


def zipped(parts: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def renamed(content: bytes, old: str, new: str) -> bytes:
    """The zip with another name of the same length in both of its places."""
    assert len(old) == len(new)
    assert content.count(old.encode()) >= 2
    return content.replace(old.encode(), new.encode())


def with_entry(parts: dict[str, bytes], entry: zipfile.ZipInfo, content: bytes = b"x") -> bytes:
    file = io.BytesIO(zipped(parts))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, content)
    return file.getvalue()


def keep(content: bytes, name: str = "model.zip") -> imported_models.Imported:
    return imported_models.keep(io.BytesIO(content), name)


def refused(content: bytes, words: str, home: Path) -> None:
    with pytest.raises(UserError, match=words):
        keep(content)
    assert imported_models.list_imported() == []
    # Nothing is left, inside or outside of where models are kept.
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert not list(home.parent.glob("evil*"))


def test_a_model_is_taken_and_answers_as_before(parts, tiny_model, textuner_home):
    parts |= {"calibration.json": b'{"temperature": 2.0}', "README.md": b"# Card", "run.sh": b"rm -rf /"}
    found = keep(zipped(parts), "../../<b>my</b> model.zip")
    assert found.name == "../../<b>my</b> model.zip"
    assert found.place.parent == textuner_home / "models"
    assert found.not_taken == 1
    assert imported_models.card_of(found.place) == "# Card"
    assert read_calibration(found.folder) == Calibration(2.0)
    expected = Classifier.load(tiny_model, calibrated=False).predict(ALL_TEXTS).probabilities
    answers = Classifier.load(found.folder, calibrated=False).predict(ALL_TEXTS).probabilities
    assert np.array_equal(answers, expected)
    assert {path.name for path in found.folder.iterdir()} <= set(imported_models.TAKEN)


def test_the_same_model_twice_is_kept_once_and_deleted_for_good(parts):
    first, again = keep(zipped(parts)), keep(zipped(parts, zipfile.ZIP_DEFLATED), "other.zip")
    assert [first] == imported_models.list_imported()
    assert again == first
    assert imported_models.delete(first.id) > len(parts["model.safetensors"])
    assert imported_models.list_imported() == []
    with pytest.raises(UserError, match="none that is kept"):
        imported_models.delete("../../../etc")


def test_a_folder_in_the_zip_and_what_a_mac_adds(parts):
    wrapped = {f"my model/{name}": content for name, content in parts.items()}
    assert keep(zipped(wrapped | {"__MACOSX/._config.json": b"x"})).not_taken == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("evil/file.txt", "/tmp/evil.txt"),
        ("evil/file.txt", "../../evil.tx"),
        ("evil/file.txt", "a/../../evil."),
        ("evil/file.txt", "..\\evil\\a.txt"),
        ("evil/file.txt", "C:/evil/a.txt"),
        ("evil/file.txt", "vocab.txt\0abc"),
    ],
)
def test_names_that_are_paths(old, new, parts, textuner_home):
    refused(renamed(zipped(parts | {old: b"x"}), old, new), "a name that", textuner_home)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices(kind, parts, textuner_home):
    del parts["tokenizer_config.json"]
    link = zipfile.ZipInfo("tokenizer_config.json")
    link.external_attr = (kind | 0o777) << 16
    refused(with_entry(parts, link, b"/etc/passwd"), "a link or a device", textuner_home)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["config.json", "CONFIG.json"])
def test_a_name_twice(name, parts, textuner_home):
    refused(with_entry(parts, zipfile.ZipInfo(name)), "each name once", textuner_home)


def test_encrypted_entries(parts, textuner_home):
    content = bytearray(zipped(parts))
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1
    refused(bytes(content), "an encrypted file", textuner_home)


def test_unusual_packing(parts, textuner_home):
    refused(zipped(parts, zipfile.ZIP_LZMA), "an unusual way", textuner_home)


def test_a_bomb_of_zeros(parts, textuner_home):
    parts["tokenizer.json"] = b"0" * 20_000_000
    refused(zipped(parts, zipfile.ZIP_DEFLATED), "zip bomb", textuner_home)


def test_a_file_that_is_longer_than_it_says(parts, textuner_home):
    """The size that stands in the zip is not believed: neither more nor less is written."""
    parts["tokenizer.json"] = b"0" * 20_000_000
    content = zipped(parts, zipfile.ZIP_DEFLATED)
    refused(content.replace(struct.pack("<L", 20_000_000), struct.pack("<L", 99)), "zip", textuner_home)


def test_more_than_the_cap(parts, textuner_home, monkeypatch):
    monkeypatch.setitem(imported_models.TAKEN, "model.safetensors", 1000)
    refused(zipped(parts), "model.safetensors of at most 1.0 kB", textuner_home)
    monkeypatch.setitem(imported_models.TAKEN, "model.safetensors", 10**9)
    monkeypatch.setattr(imported_models, "LARGEST_CONTENT", 5000)
    refused(zipped(parts), "a model of at most 5.0 kB", textuner_home)


def test_too_many_entries(parts, textuner_home):
    many = parts | {f"{i}.txt": b"" for i in range(imported_models.MOST_ENTRIES)}
    refused(zipped(many), "at most 1,000 files", textuner_home)


def test_a_table_of_contents_that_would_fill_the_memory(parts, textuner_home):
    """It is refused by its size, before any of it is read."""
    content = zipped(parts)
    end, start = content.index(b"PK\x05\x06"), content.index(b"PK\x01\x02")
    table = content[start:end] + b"\0" * (5 << 20)
    last = bytearray(content[end:])
    last[12:16] = struct.pack("<L", len(table))
    refused(content[:start] + table + last, "at most 1,000 files", textuner_home)


@pytest.mark.parametrize("cut", [0, 10, 3000])
def test_no_zip_or_half_of_one(cut, parts, textuner_home):
    refused(zipped(parts)[:cut], "a whole zip file", textuner_home)


def test_a_changed_byte(parts, textuner_home):
    content = bytearray(zipped(parts))
    content[content.index(parts["model.safetensors"]) + 5000] ^= 1
    refused(bytes(content), "damaged", textuner_home)


class Evil:
    def __reduce__(self):
        return (open, ("evil.txt", "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "archive/data.pkl", "x.PT"])
def test_pickles_as_weights(name, parts, textuner_home):
    del parts["model.safetensors"]
    refused(zipped(parts | {name: pickle.dumps(Evil())}), "a pickle .*can run any program", textuner_home)


def test_a_pickle_beside_the_weights_is_left_in_the_zip(parts):
    assert keep(zipped(parts | {"pytorch_model.bin": pickle.dumps(Evil())})).not_taken == 1


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_what_is_lacking(name, parts, textuner_home):
    del parts[name]
    refused(zipped(parts), f"no {name}", textuner_home)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config.json", {"auto_map": {"AutoModel": "evil--x"}}, "auto_map"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil", None]}}, "auto_map"),
        ("config.json", {"quantization_config": {"quant_method": "x"}}, "quantization_config"),
        ("config.json", {"attn_implementation": "evil/kernels"}, "attn_implementation"),
        ("config.json", {"id2label": None}, "id2label"),
        ("config.json", {"id2label": {"0": "only"}}, "1 class"),
        ("config.json", {"id2label": {"1": "a", "2": "b"}}, "id2label"),
        ("config.json", {"id2label": {"0": "a", "1": "\ud800"}}, "in JSON"),
        ("config.json", {"id2label": {"0": "a", "1": " "}}, "a class without"),
        ("config.json", {"id2label": {"0": "a", "1": "b", "2": "c"}}, "classifier"),
        ("config.json", {"hidden_size": 64}, "a whole model folder|weight"),
        ("config.json", {"vocab_size": 10**6}, "a whole model folder|weight"),
        ("tokenizer_config.json", {"model_max_length": 100_000}, "short and for long texts"),
        ("tokenizer_config.json", {"model_max_length": "x"}, "a damaged one"),
    ],
)
def test_settings_that_do_not_fit_or_ask_for_code(file, change, words, parts, textuner_home):
    parts[file] = json.dumps(json.loads(parts[file]) | change).encode()
    refused(zipped(parts), words, textuner_home)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000])
def test_settings_that_are_none(content, parts, textuner_home):
    refused(zipped(parts | {"config.json": content}), "config.json", textuner_home)


def test_weights_that_are_no_numbers(parts, textuner_home):
    from safetensors.torch import load, save

    weights = load(parts["model.safetensors"])
    weights["classifier.bias"] += float("nan")
    refused(zipped(parts | {"model.safetensors": save(weights)}), "nan", textuner_home)


def manifest(parts: dict[str, bytes]) -> bytes:
    files = {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in parts.items()}
    return json.dumps({"files": files}).encode()


def test_a_manifest_that_fits_and_ones_that_do_not(parts, textuner_home):
    right = manifest(parts)
    for change in (
        {"vocab.txt": b"one more"},
        {"tokenizer_config.json": parts["tokenizer_config.json"] + b" "},
        {"manifest.json": b"[]"},
        {"manifest.json": b'{"files": {"config.json": 1}}'},
    ):
        refused(zipped(parts | {"manifest.json": right} | change), "manifest.json", textuner_home)
    without = {name: content for name, content in parts.items() if name != "tokenizer_config.json"}
    refused(zipped(without | {"manifest.json": right}), "no such file", textuner_home)
    assert keep(zipped(parts | {"manifest.json": right})).not_taken == 0


def test_a_calibration_that_makes_no_sense_is_passed_over(parts):
    found = keep(zipped(parts | {"calibration.json": b'{"temperature": -1}'}))
    assert read_calibration(found.folder) == Calibration()


@pytest.mark.parametrize(
    "note",
    [
        "{",
        "[]",
        '{"name": "a", "added": 1.0}',
        '{"name": 3, "added": 1.0, "not_taken": 0}',
        '{"name": "half a \\ud83d", "added": 1.0, "not_taken": 0}',
        '{"name": "a", "added": 1' + "0" * 400 + ', "not_taken": 0}',
        '{"name": "a", "added": NaN, "not_taken": 0}',
        '{"name": "a", "added": 1.0, "not_taken": -1}',
    ],
    ids=lambda note: note[:40],
)
def test_a_damaged_note_is_no_damaged_model(parts, note):
    found = keep(zipped(parts))
    (found.place / imported_models.NOTE).write_text(note)
    (again,) = imported_models.list_imported()
    assert (again.id, again.name) == (found.id, f"(cannot be read) {found.id}")
    (found.folder / WEIGHTS).unlink()
    assert imported_models.list_imported() == []
    assert keep(zipped(parts)).name == "model.zip"
