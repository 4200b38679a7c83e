"""The command line, as a person or a script runs it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TEXTS

PROJECT = Path(__file__).resolve().parents[1]


def core(*arguments, expect=0):
    """Run a command; returns (standard output, standard error)."""
    done = subprocess.run(
        [sys.executable, "-m", "core", *map(str, arguments)],
        cwd=PROJECT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def files(tmp_path):
    rows = [
        (f"{text} {'day ' * i}", label) for label, texts in TEXTS.items() for text in texts for i in range(6)
    ]
    for name, part in (("train", rows), ("test", rows[::5])):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [("note", "message", "class"), *((f"={i}", *row) for i, row in enumerate(part))]
            )
    return tmp_path


@pytest.fixture
def trained(files, tiny):
    """What `train --json` printed last."""
    fast = ["--model", tiny, "--epochs", 1, "--batch-size", 8, "--learning-rate", 0.005, "--max-length", 32]
    columns = ["--text", "message", "--label", "class"]
    out, _ = core("train", files / "train.csv", "--test", files / "test.csv", *columns, *fast, "--json")
    return json.loads(out.splitlines()[-1])


def test_train_predict_evaluate_export_and_list(trained, files):
    for name in ("run", "folder", "test", "train_seconds", "samples_per_second", "tokens_per_second"):
        assert trained[name]
    assert {"accuracy", "macro_f1"} <= set(trained["test"])
    assert (trained["device"], trained["precision"]) != ("", "")

    out = files / "out.csv"
    for source in (trained["run"], trained["folder"], Path(trained["folder"]) / "model"):
        core("predict", source, files / "test.csv", "--text", "message", "--out", out)
    with out.open(encoding="utf-8", newline="") as file:
        labelled = list(csv.DictReader(file))
    with (files / "test.csv").open(encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))
    assert [{name: row[name] for name in given[0]} for row in labelled] == given
    assert {row["predicted_label"] for row in labelled} <= set(TEXTS)
    assert all(0.5 <= float(row["confidence"]) <= 1 for row in labelled)

    printed, _ = core(
        "evaluate", trained["run"], files / "test.csv", "--text", "message", "--label", "class", "--json"
    )
    assert json.loads(printed)["accuracy"] == pytest.approx(trained["test"]["accuracy"])
    right = sum(row["predicted_label"] == row["class"] for row in labelled) / len(labelled)
    assert json.loads(printed)["accuracy"] == pytest.approx(right)

    core(
        "predict", trained["run"], files / "test.csv", "--text", "message", "--out", out, "--spreadsheet-safe"
    )
    assert "'=0" in out.read_text()

    core("export", trained["run"], "--format", "pth", "--out", files / "model.pth")
    core("export", trained["run"], "--format", "huggingface", "--out", files / "model.zip")
    assert (files / "model.pth").stat().st_size > 1000
    assert not list(files.glob(".*.part"))

    (row,) = json.loads(core("runs", "--json")[0])
    assert (row["id"], row["status"], row["position"]) == (trained["run"], "finished", None)


def test_device_says_where_and_why():
    told = json.loads(core("device", "--json")[0])
    assert told["device"] in ("cuda", "mps", "cpu")
    assert "because" in told["reason"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text", "nope", "--label", "class"], "the column 'nope'"),
        (["--text", "message", "--label", "class", "--epochs", "0", "--batch-size", "0"], "epochs is 0"),
        (["--text", "message", "--label", "class", "--model", "../../etc"], "catalogue"),
        (["--text", "message", "--label", "note"], "label"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_one(files, arguments, words):
    out, err = core("train", files / "train.csv", *arguments, expect=1)
    assert out == ""
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in err


def test_files_and_runs_that_are_not_there(files):
    _, err = core("predict", "a" * 22, files / "test.csv", "--text", "message", "--out", "x", expect=1)
    assert "no such run" in err
    assert not (PROJECT / "x").exists()
    _, err = core("train", files / "none.csv", "--text", "a", "--label", "b", expect=1)
    assert err.startswith("error:")


def test_rows_that_cannot_be_used_are_counted(files, tiny):
    (files / "test.csv").write_text(
        "message,class\na fine day,good\nwe hate it,bad\n,good\na day,odd\na,b,c\n"
    )
    arguments = ["--text", "message", "--label", "class", "--model", tiny, "--epochs", 1, "--max-length", 32]
    _, err = core("train", files / "train.csv", "--test", files / "test.csv", *arguments, "--json")
    assert "2 rows" in err
    assert "1 row" in err
