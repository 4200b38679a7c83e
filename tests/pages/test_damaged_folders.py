"""Every file of a finished run damaged in every way: no page, no command and no line of runs breaks by it."""

import ctypes
import json
import os
import secrets
import shutil
import sys

import pytest
from filelock import FileLock

from core.base.errors import UserError
from core.cli import main as command_line
from core.runs.results import cleaning
from core.runs.training import queue, states, store, worker
from pages.ui.feedback import STATUS
from tests.pages.opening import DATA, PREDICT, RUNS, TRAIN, clean, open_page, words
from tests.pages.seeding import make_dataset, make_run

JSON_FILES = ("config.json", "events.jsonl", "report.json", "dataset/dataset.json", "model/config.json")
FILES = (
    *JSON_FILES,
    "dataset/splits.parquet",
    "dataset/rejected.jsonl",
    "predictions.parquet",
    "log.txt",
    "run.lock",
    "trainer.pid",
    "stop",
    "model/model.safetensors",
    "model/tokenizer.json",
    "snapshots/40/manifest.json",
)
FOLDERS = ("", "dataset", "model", "snapshots")


def gone(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(path):
    shutil.rmtree(path) if path.is_dir() else path.write_bytes(b"")
    if not path.exists():
        path.mkdir()


def torn(path):
    content = path.read_bytes()
    path.write_bytes(content[: min(len(content) // 2, 300)])


def binary(path):
    path.write_bytes(bytes(range(256)) * 40)


def unreadable(path):
    path.chmod(0)


def another_kind(path):
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("a file")
    else:
        path.unlink()
        path.mkdir()


def broken_link(path):
    gone(path)
    path.symlink_to("/nowhere/at/all")


def link_elsewhere(path):
    elsewhere = store.runs_root().parent / f"elsewhere-{secrets.token_hex(4)}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


ANY = (gone, empty, unreadable, another_kind, broken_link, link_elsewhere)
OF_FILES = (torn, binary)

# What a JSON file may hold instead: the values of the whole file, or of each line of it.


def each_line(change):
    def damage(path):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        path.write_text("\n".join(json.dumps(change(json.loads(line))) for line in lines) + "\n")

    return damage


def leaves(change):
    """Change every value that is no list or object."""

    def walk(value):
        if isinstance(value, dict):
            return {name: walk(inner) for name, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else change(value)

    return walk


def keeps_turns(change):
    """Change all fields but those that make an event one."""

    def damage(value):
        kept = {name: value[name] for name in ("type", "time") if isinstance(value, dict) and name in value}
        return change(value) | kept if kept else change(value)

    return damage


JSON_WAYS = {
    "a list": each_line(lambda value: []),
    "a number": each_line(lambda value: 7),
    "null": each_line(lambda value: None),
    "an empty object": each_line(lambda value: {}),
    "fields without values": each_line(leaves(lambda value: None)),
    "words for numbers": each_line(leaves(str)),
    "numbers for words": each_line(leaves(lambda value: 3)),
    "lists for values": each_line(leaves(lambda value: [value])),
    "below zero": each_line(leaves(lambda value: -1.5 if isinstance(value, int | float) else value)),
    "far too large": each_line(leaves(lambda value: 1e300 if isinstance(value, int | float) else value)),
    "no number": each_line(leaves(lambda value: float("nan") if isinstance(value, int | float) else value)),
    "half a character": each_line(
        leaves(lambda value: value + "\ud83d" if isinstance(value, str) else value)
    ),
    "nothing but its turns": each_line(keeps_turns(lambda value: {})),
    "turns with words for numbers": each_line(keeps_turns(leaves(str))),
    "turns with far too large": each_line(keeps_turns(leaves(lambda value: 1e300))),
    "lists without entries": each_line(lambda value: shorten_lists(value)),
    "deep": lambda path: path.write_text("[" * 100_000),
}


def shorten_lists(value):
    if isinstance(value, dict):
        return {name: shorten_lists(inner) for name, inner in value.items()}
    return [shorten_lists(inner) for inner in value[1:]] if isinstance(value, list) else value


WAYS = {way.__name__: (way, (*FILES, *FOLDERS)) for way in ANY}
WAYS["gone"] = (gone, (*FILES, *FOLDERS[1:]))
WAYS |= {way.__name__: (way, FILES) for way in OF_FILES}
WAYS |= {name: (way, JSON_FILES) for name, way in JSON_WAYS.items()}

SHOWN_ON = {
    "": (TRAIN, PREDICT, "Report"),
    "config.json": (TRAIN, PREDICT, "Settings"),
    "events.jsonl": (TRAIN, PREDICT, "Curves"),
    "run.lock": (TRAIN, "Report"),
    "report.json": (TRAIN, PREDICT, "Report", "Curves", "Settings"),
    "predictions.parquet": ("Mistakes",),
    "log.txt": (TRAIN,),
    "dataset": (TRAIN, PREDICT, "Settings"),
    "dataset/dataset.json": (TRAIN, PREDICT, "Settings"),
    "model": (TRAIN, PREDICT, "Report"),
    "model/config.json": (PREDICT,),
    "model/model.safetensors": (TRAIN, PREDICT, "Report"),
}
"""The pages, and the views of the Runs page, that show what a file holds."""


@pytest.fixture
def no_special_rights():
    """Takes from root, for the thread of the test, the right to read what may not be read."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may read everything here")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, now = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    now[:] = before[:]
    now[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, effective
    assert libc.capset(header, now) == 0
    yield
    assert libc.capset(header, before) == 0


def whole_run(dataset, held):
    """A finished run with all the files that a run may have."""
    run = make_run("finished", dataset, held)
    with FileLock(run.folder / "run.lock"):
        pass
    (run.folder / "model" / "tokenizer.json").write_text("{}")
    (run.folder / "trainer.pid").write_text("1")
    (run.folder / "stop").touch()
    (run.folder / "snapshots" / "40").mkdir(parents=True)
    (run.folder / "snapshots" / "40" / "manifest.json").write_text("{}")
    return run


def copied(run, number):
    """The same run again, under another id and with another number."""
    folder = run.folder.with_name(secrets.token_hex(11))
    shutil.copytree(run.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"number": number}))
    return store.find_run(folder.name)


def state_of(run):
    return next(states.state(found) for found in store.list_runs() if found.id == run.id)


@pytest.fixture
def damaged(request, held, no_special_rights):
    """file → a run in which this file is damaged in the way of the test, all beside one that waits."""
    way, files = WAYS[request.param]
    dataset = make_dataset()
    whole = whole_run(dataset, held)
    runs = {file: copied(whole, number) for number, file in enumerate(files, 2)}
    shutil.rmtree(whole.folder)
    for file, run in runs.items():
        way(run.folder / file)
    make_run("queued", dataset, held)
    yield runs
    for file, run in runs.items():
        if request.param == "unreadable" and run.folder.exists():
            (run.folder / file).chmod(0o700)


each_way = pytest.mark.parametrize("damaged", WAYS, indirect=True)
QUICK_WAYS = ("torn", "fields without values")
"""One of each sort; all the others open hundreds of pages."""
on_every_page = pytest.mark.parametrize(
    "damaged",
    [way if way in QUICK_WAYS else pytest.param(way, marks=pytest.mark.slow) for way in WAYS],
    indirect=True,
)


@each_way
def test_only_what_tells_of_the_run_makes_it_a_damaged_one(damaged, request):
    way = request.node.callspec.params["damaged"]
    for file, run in damaged.items():
        status = state_of(run).status
        if file == "" or (file, way) in ALWAYS_TELLING:
            assert status == "damaged", file
        elif file in ("config.json", "events.jsonl", "run.lock"):
            assert status in ("damaged", "finished", "interrupted"), file
        else:
            assert status == "finished", file
        assert (status == "finished") != bool(state_of(run).reason), file
        assert REASONS.get((file, way), "") in state_of(run).reason


REASONS = {
    ("", "broken_link"): "a link to another place",
    ("", "link_elsewhere"): "a link to another place",
    ("", "another_kind"): "a file, and not a folder",
    ("config.json", "gone"): "config.json is missing",
    ("config.json", "unreadable"): "config.json cannot be read (PermissionError)",
    ("events.jsonl", "gone"): "events.jsonl is missing",
    ("run.lock", "another_kind"): "run.lock is a folder or a link",
    ("run.lock", "unreadable"): "run.lock cannot be opened (Permission denied)",
}


ALWAYS_TELLING = {
    (file, way)
    for file in ("config.json", "events.jsonl")
    for way in (*(way.__name__ for way in (*ANY, *OF_FILES)), "a list", "a number", "null", "an empty object")
} - {("config.json", "link_elsewhere"), ("events.jsonl", "link_elsewhere"), ("events.jsonl", "torn")}


@on_every_page
def test_every_page_opens_with_such_runs_in_its_lists(damaged):
    for page in (DATA, TRAIN, RUNS, PREDICT):
        clean(open_page(page))


@on_every_page
def test_every_page_shows_such_a_run(damaged):
    for file, run in damaged.items():
        status = STATUS[state_of(run).status]
        for place in SHOWN_ON.get(file, ("Report",)):
            if place in (TRAIN, PREDICT):
                app = open_page(place, run=run.id)
            else:
                app = open_page(RUNS, run=run.id)
                if place != "Report":
                    app.session_state["view"] = place
                    app.run()
            assert not app.exception, (file, place, app.exception[0].message)
            assert place == PREDICT or f"[{status.icon} {status.words}]" in words(app), (file, place)


@each_way
def test_the_command_line_lists_such_runs(damaged, capsys):
    assert command_line.main(["runs"]) == 0
    capsys.readouterr()
    assert command_line.main(["runs", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert {run.id: rows[run.id]["status"] for run in damaged.values()} == {
        run.id: state_of(run).status for run in damaged.values()
    }


@each_way
def test_the_worker_passes_such_runs_by_and_drains_the_line(damaged, monkeypatch):
    trained = []

    def train(run, card):
        trained.append(run.id)
        queue.cancel(run)
        return 0

    monkeypatch.setattr(worker, "_train", train)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    (waiting,) = store.waiting_runs()
    # One whose events lack their end looks like one whose process was lost, and goes on as such.
    lost = {run.id for run in store.lost_runs()}
    events = {
        run.folder: contents(run.folder / "events.jsonl") for run in damaged.values() if run.id not in lost
    }
    worker.main()
    assert trained == [waiting.id]
    assert events == {folder: contents(folder / "events.jsonl") for folder in events}


def contents(path):
    try:
        return path.read_bytes()
    except OSError as error:
        return type(error)


@each_way
def test_such_runs_are_deleted_and_links_are_not_followed(damaged, request):
    cleaning.sweep()
    for file, run in damaged.items():
        assert cleaning.bytes_of(run) >= 0
        if request.node.callspec.params["damaged"] == "unreadable":
            (run.folder / file).chmod(0o700)
        assert store.delete_run(run.id) >= 0
        assert not run.folder.exists(), file
        assert not run.folder.is_symlink(), file
    if request.node.callspec.params["damaged"] == "link_elsewhere":
        assert len(list(store.runs_root().parent.glob("elsewhere-*"))) == len(damaged)


def test_a_folder_that_may_not_be_read_is_deleted_or_said_to_be_undeletable(held, no_special_rights):
    run = whole_run(make_dataset(), held)
    run.folder.chmod(0)
    with pytest.raises(UserError, match="ermi"):
        store.delete_run(run.id)
    run.folder.chmod(0o700)
    assert store.delete_run(run.id) > 0
