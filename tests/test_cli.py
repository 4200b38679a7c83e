"""The command line, as a person or a script runs it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

from core.cli.main import main
from core.learning.config import TrainingConfig
from core.runs.training import store
from tests.serving.hub_stand_in import hub_stand_in
from tests.tiny import TEXTS

PROJECT = Path(__file__).resolve().parents[1]


def core(*arguments, expect=0):
    """Run a command in this process, which has loaded what commands need; returns (output, errors)."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as ended:  # argparse's way to end, after --help too
            code = ended.code
    words = [stream.buffer.getvalue().decode() for stream in (out, err)]
    assert expect is None or code == expect, words[1]
    return words


def core_process(*arguments, expect=0, typed=None):
    """Run a command as a person does, in a process of its own; returns (output, errors)."""
    done = subprocess.run(
        [sys.executable, "-m", "core", *map(str, arguments)],
        cwd=PROJECT,
        env=os.environ,
        input=typed,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert expect is None or done.returncode == expect, done.stderr
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


@pytest.mark.slow
@pytest.mark.process
def test_train_predict_evaluate_export_and_list(trained, files):
    for name in ("run", "folder", "test", "train_seconds", "samples_per_second", "tokens_per_second"):
        assert trained[name]
    assert {"accuracy", "macro_f1"} <= set(trained["test"])
    assert (trained["device"], trained["precision"]) != ("", "")

    out = files / "out.csv"
    for run, source in (
        (core, trained["folder"]),
        (core, Path(trained["folder"]) / "model"),
        (core_process, trained["run"]),
    ):
        run("predict", source, files / "test.csv", "--text", "message", "--out", out, "--raw")
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
    for name in ("loss", "brier", "ece", "auroc", "mcc"):
        assert json.loads(printed)[name] == pytest.approx(trained["test"][name], abs=1e-5)
        low, high = json.loads(printed)["intervals"][name]
        assert low <= json.loads(printed)[name] <= high
    (Path(trained["folder"]) / "model" / "calibration.json").write_text('{"temperature": 3}')
    printed, _ = core(
        "evaluate", trained["run"], files / "test.csv", "--text", "message", "--label", "class", "--json"
    )
    calibrated = json.loads(printed)
    assert calibrated["loss"] == pytest.approx(trained["test"]["loss"], abs=1e-5)
    assert (calibrated["temperature"], calibrated["calibrated"]["loss"] == calibrated["loss"]) == (3.0, False)

    core(
        "predict", trained["run"], files / "test.csv", "--text", "message", "--out", out, "--spreadsheet-safe"
    )
    assert "'=0" in out.read_text()

    # Scores on what it was trained on are not taken for its scores, wherever the rows go.
    for name, is_said in (("train", True), ("test", False)):
        for where in ("-", files / f"{name}-scored.csv"):
            arguments = [files / f"{name}.csv", "--text", "message", "--label", "class", "--out", where]
            _, said = core("predict", trained["run"], *arguments)
            assert ("the scores are too good" in said) == is_said

    core("export", trained["run"], "--format", "pth", "--out", files / "model.pth")
    core("export", trained["run"], "--format", "huggingface", "--out", files / "model.zip")
    assert (files / "model.pth").stat().st_size > 1000
    assert not list(files.glob(".*.part"))

    # A zip of the model stands for the run, and leaves nothing behind.
    arguments = [files / "test.csv", "--text", "message", "--label", "class", "--json"]
    scores = [
        json.loads(core("evaluate", model, *arguments)[0]) for model in (trained["run"], files / "model.zip")
    ]
    assert scores[0] == scores[1]
    core("export", trained["run"], "--format", "bundle", "--out", files / "bundle.zip")
    assert json.loads(core_process("evaluate", files / "bundle.zip", *arguments)[0]) == scores[0]
    core("export", files / "bundle.zip", "--format", "pth", "--out", files / "again.pth")
    saved, again = (torch.load(files / name, weights_only=True) for name in ("model.pth", "again.pth"))
    assert list(saved) == list(again) and all(torch.equal(saved[name], again[name]) for name in saved)
    (files / "evil.zip").write_bytes((files / "model.zip").read_bytes()[:-30])
    assert "a whole zip file" in core("evaluate", files / "evil.zip", *arguments, expect=1)[1]
    assert not (Path(os.environ["TEXTUNER_HOME"]) / "models").exists()

    (row,) = json.loads(core("runs", "--json")[0])
    assert (row["id"], row["status"], row["position"]) == (trained["run"], "finished", None)


@pytest.mark.process
def test_runs_are_compared(trained, textuner_home):
    folder = Path(trained["folder"])
    shutil.copytree(folder, folder.with_name("A" * 22))
    printed, _ = core("compare", trained["run"], "A" * 22)
    assert "test texts in common" in printed
    assert "right on the same texts" in printed
    printed, _ = core("compare", trained["run"], "A" * 22, "--json")
    found = json.loads(printed)
    assert found["texts"] == trained["test"]["texts"]
    assert [run["accuracy"] for run in found["runs"]] == [trained["test"]["accuracy"]] * 2
    assert found["differences"][0]["p"] == 1.0
    assert "2 to 8 runs" in core("compare", trained["run"], expect=1)[1]


@pytest.mark.slow
@pytest.mark.process
def test_a_forecast_is_measured_printed_and_leaves_no_data_set(files, tiny, textuner_home):
    arguments = [files / "train.csv", "--text", "message", "--label", "class", "--model", tiny]
    arguments += ["--max-length", 32, "--batch-size", 8]
    out, _ = core("forecast", *arguments, "--epochs", 2, "--json")
    found = json.loads(out.splitlines()[-1])
    assert found["seconds"] == pytest.approx(sum(found["parts"].values()))
    assert found["memory_bytes"] > 100_000_000
    assert not any((textuner_home / "datasets").iterdir())
    out, _ = core("forecast", *arguments, "--epochs", 50)
    assert re.match(r"about .* s and .*B of memory", out)
    # The training of the same files, as of any others, has its forecast.
    trained, _ = core("train", *arguments, "--epochs", 2, "--json")
    folder = Path(json.loads(trained.splitlines()[-1])["folder"])
    assert json.loads((folder / "forecast.json").read_text())["parts"] == found["parts"]
    _, err = core("forecast", *arguments, "--epochs", 0, expect=1)
    assert "epochs is 0" in err


def test_every_command_explains_itself():
    commands = re.findall(r"^    ([a-z]+)", core("--help")[0], re.MULTILINE)
    assert {"train", "forecast", "predict", "evaluate", "export", "push", "runs", "device"} <= set(commands)
    for command in commands:
        assert f"python -m core {command}" in core(command, "--help")[0]


@pytest.mark.process
def test_a_saved_data_set_is_studied(dataset):
    out, _ = core("study", dataset.id, "baselines", "--json")
    found = json.loads(out.splitlines()[-1])
    assert (found["dataset"], found["status"], found["judged"]) == (dataset.id, "finished", 10)
    assert found["scores"]["all"]["majority"]["accuracy"] == 0.5
    out, _ = core("study", dataset.id, "curve")
    assert "texts: macro F1" in out
    assert "The second half of the texts added" in out
    _, err = core("study", dataset.id, "trained", "--run", "a" * 22, expect=1)
    assert "no such run" in err
    _, err = core("study", "a" * 22, "baselines", expect=1)
    assert "saved data set" in err


TOKEN = "hf_thisTokenMustBeNowhereAfterwards"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hugging-face"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with hub_stand_in() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def weighty(dataset):
    """A run with a model that is good enough to be sent."""
    run = store.create_run(TrainingConfig(), dataset)
    (run.folder / "model").mkdir()
    (run.folder / "model" / "config.json").write_text("{}")
    (run.folder / "model" / "model.safetensors").write_bytes(bytes(range(256)))
    return run


@pytest.mark.process
@pytest.mark.parametrize("given", ["typed", "in the environment"])
def test_a_model_goes_to_the_hub_with_its_card_and_the_token_stays_nowhere(
    hub, weighty, tmp_path, monkeypatch, given
):
    if given != "typed":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    typed = f"{TOKEN}\n" if given == "typed" else ""
    out, err = core_process("push", weighty.id, "--to", "owner/name", "--private", typed=typed)
    assert out.strip() == f"{hub.address}/owner/name"
    assert hub.created["visibility"] == "private"
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert hub.committed["model.safetensors"] == bytes(range(256))
    card = hub.committed["README.md"].decode()
    assert card.startswith("---\n")
    assert "pipeline_tag: text-classification" in card
    assert TOKEN not in out + err
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(TOKEN.encode() in content for content in kept)


@pytest.mark.process
def test_a_push_that_cannot_be_is_said(hub, weighty):
    assert "a name like owner/name" in core_process("push", weighty.id, "--to", "../x", typed="", expect=1)[1]
    assert "an access token" in core_process("push", weighty.id, "--to", "owner/name", typed="", expect=1)[1]
    hub.refuse["/api/repos/create"] = 401
    _, err = core_process("push", weighty.id, "--to", "owner/name", typed=TOKEN, expect=1)
    assert "a token that the hub knows" in err
    assert TOKEN not in err
    # No option takes one: it would be in the list of processes.
    assert "--token" not in core_process("push", "--help")[0]


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--no-header"], "the columns 'column_1', 'column_2', 'column_3'"),
        (["--delimiter", "none"], "the columns 'note,message,class'"),
        (["--skip-lines", 1, "--header"], "'good'"),
        (["--encoding", "utf-99"], "'utf-99'"),
    ],
)
def test_a_file_is_read_as_the_options_say(files, options, words):
    _, err = core("train", files / "train.csv", "--text", "message", "--label", "class", *options, expect=1)
    assert words in err


@pytest.mark.process
def test_rows_that_cannot_be_used_are_counted(files, tiny):
    (files / "test.csv").write_text(
        "message,class\na fine day,good\nwe hate it,bad\n,good\na day,odd\na,b,c\n"
    )
    arguments = ["--text", "message", "--label", "class", "--model", tiny, "--epochs", 1, "--max-length", 32]
    _, err = core("train", files / "train.csv", "--test", files / "test.csv", *arguments, "--json")
    assert "2 rows" in err
    assert "1 row" in err


@pytest.fixture
def detached(files, tiny):
    """The id of a run that was started without waiting for it."""
    long = ["--model", tiny, "--epochs", 100, "--batch-size", 1, "--learning-rate", 0.001, "--max-length", 32]
    out, _ = core_process(
        "train", files / "train.csv", "--text", "message", "--label", "class", *long, "--detach"
    )
    yield out.strip()
    core("stop", out.strip(), "--now", expect=None)


def listed(run):
    out, _ = core("runs", "--json")
    return next(row for row in json.loads(out) if row["id"] == run)


def listed_when(run, condition):
    for _ in range(60):
        row = listed(run)
        if condition(row):
            return row
        time.sleep(0.3)
    raise AssertionError(row)


@pytest.mark.process
def test_a_detached_run_is_watched_killed_resumed_stopped_and_deleted(detached):
    running = listed_when(detached, lambda row: row["step"] > 0)
    assert running["status"] == "running"
    assert (running["position"], running["total_steps"]) == (None, 100 * 48)
    assert Path(running["folder"]).name == detached
    core("resume", detached, expect=1)
    # Three times lost: after the third it waits for a person.
    for _ in range(3):
        pid = listed_when(detached, lambda row: row["pid"])["pid"]
        os.kill(pid, signal.SIGKILL)
        listed_when(detached, lambda row, dead=pid: row["pid"] != dead)
    lost = listed_when(detached, lambda row: row["status"] == "interrupted")
    assert lost["pid"] is None
    core("resume", detached, "--detach")
    listed_when(detached, lambda row: row["pid"])
    core("delete", detached, expect=1)
    core("stop", detached)
    out, _ = core("wait", detached, "--json", expect=1)
    ended = json.loads(out.splitlines()[-1])
    assert (ended["run"], ended["status"]) == (detached, "stopped")
    assert ended["test"]["accuracy"] >= 0
    _, words = core("delete", "--older-than", 1)
    assert "0 runs deleted" in words
    _, words = core("delete", "--older-than", 0)
    assert "1 run deleted" in words
    assert "0 bytes freed" not in words
    assert json.loads(core("runs", "--json")[0]) == []


@pytest.mark.process
def test_runs_in_line_have_a_place(detached, files, tiny):
    listed_when(detached, lambda row: row["status"] == "running")
    again = ["--model", tiny, "--epochs", 1, "--max-length", 32]
    out, _ = core("train", files / "train.csv", "--text", "message", "--label", "class", *again, "--detach")
    waiting = listed(out.strip())
    assert (waiting["status"], waiting["position"], waiting["pid"]) == ("queued", 1, None)
    core("stop", out.strip())
    assert listed(out.strip())["status"] == "stopped"
    core("stop", detached)
    core("wait", detached, expect=1)
    _, words = core("stop", detached, expect=1)
    assert "nothing to stop" in words


def predict(*arguments, given=b"", expect=0):
    """Run `predict` with bytes as standard input; returns its output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "core", "predict", *map(str, arguments)],
        cwd=PROJECT,
        input=given,
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == expect, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.process
def test_predict_reads_and_writes_streams(tiny_model, files):
    content = (files / "test.csv").read_bytes()
    out, err = predict(tiny_model, "-", "--text", "message", "--label", "class", "--classes", given=content)
    rows = list(csv.DictReader(out.splitlines()))
    assert list(rows[0])[3:] == ["predicted_label", "confidence", "probability_bad", "probability_good"]
    assert rows[0]["note"] == "'=0"
    assert re.search(r"accuracy \d\.\d{4} \(.*\) on 12 texts", err)
    assert "made safe" in err
    kept = ["--columns", "note", "--raw", "--format", "jsonl"]
    out, _ = predict(tiny_model, "-", "--text", "message", *kept, given=content)
    assert [list(json.loads(line)) for line in out.splitlines()] == [
        ["note", "predicted_label", "confidence"]
    ] * 12
    assert json.loads(out.splitlines()[0])["note"] == "=0"


@pytest.mark.process
def test_predict_answers_line_by_line(tiny_model):
    command = [sys.executable, "-m", "core", "predict", str(tiny_model), "-", "--lines", "--format", "jsonl"]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for text in (b"a fine day\n", b"\xff bad work\n", b"\n"):
            process.stdin.write(text)
            process.stdin.flush()
            # Comes before the next line goes in: nobody waits for the end.
            answer = json.loads(process.stdout.readline())
            assert set(answer) == {"text", "predicted_label", "confidence"}
        assert answer["predicted_label"] == ""
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.process
@pytest.mark.parametrize("way", ["table", "lines"])
def test_ctrl_c_with_standard_output_tells_what_was_done(tiny_model, tmp_path, way):
    source = tmp_path / "in.csv"
    source.write_text("text,n\n" + "a fine day,1\n,2\n" * 60_000)
    options = [source, "--text", "text"] if way == "table" else ["-", "--lines"]
    command = [sys.executable, "-m", "core", "predict", tiny_model, *options, "--format", "jsonl"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    env = os.environ | {"PYTHONUNBUFFERED": "1"}  # With it, a signal cuts what is being written short.
    with subprocess.Popen(list(map(str, command)), cwd=PROJECT, env=env, **pipes) as process:
        process.stdin.write(b"a fine day\n\n")
        process.stdin.flush()
        answers = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        # Standard input stays open: nobody has to end it first.
        rest = process.stdout.read()
        words = process.stderr.read().decode()
        assert process.wait(60) == 130, words
    rows = (b"".join(answers) + rest).splitlines()
    assert all(json.loads(row) for row in rows)
    assert f"stopped after {len(rows):,} rows" in words
    assert f"{len(rows) // 2:,} row" in words
    assert len(rows) < 120_000


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to ask for the peak of memory")
def test_memory_does_not_grow_with_the_file(tiny_model, tmp_path):
    # Asked of the process itself: what the system adds up for a parent begins with the parent's own memory.
    peak = "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    script = f"import re, sys; from core.cli.main import main; assert main(sys.argv[1:]) == 0; {peak}"
    peaks = []
    for rows in (20_000, 160_000):
        source = tmp_path / f"{rows}.csv"
        source.write_text("text,note\n" + "".join(f"a fine day,{i:06} {'n' * 230}\n" for i in range(rows)))
        options = ["predict", tiny_model, source, "--text", "text", "--out", source.with_suffix(".out")]
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, options)], cwd=PROJECT, capture_output=True, check=True
        )
        peaks.append(int(done.stdout) / 1000)
    # The larger file has 35 MB more, and more than twice that as a table.
    assert peaks[1] - peaks[0] < 35, f"peaks in MB: {peaks}"


@pytest.mark.process
def test_predict_goes_on_where_it_was_stopped(tiny_model, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.parquet"
    source.write_text("text,n\n" + "".join(f"a fine day {'good ' * (i % 9)},{i}\n" for i in range(30_000)))
    command = [sys.executable, "-m", "core", "predict", str(tiny_model), str(source), "--text", "text"]
    with subprocess.Popen([*command, "--out", str(out)], cwd=PROJECT, stderr=subprocess.PIPE) as process:
        parts = tmp_path / "out.parquet.parts"
        while not list(parts.glob("*.parquet")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        words = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, words
    assert "--resume" in words
    assert not out.exists()
    _, err = predict(tiny_model, source, "--text", "text", "--out", out, expect=1)
    assert "--resume" in err
    _, err = predict(tiny_model, source, "--text", "text", "--out", out, "--resume")
    assert "30000 rows" in err
    assert not parts.exists()
    import pandas as pd

    assert pd.read_parquet(out)["n"].tolist() == [str(i) for i in range(30_000)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lines", "--text", "x"], "without columns"),
        ([], "--text"),
        (["--text", "x", "--format", "parquet"], "--out"),
        (["--text", "x", "--resume"], "standard output"),
    ],
)
def test_predict_refuses_what_does_not_go_together(tiny_model, options, words):
    assert words in core("predict", tiny_model, "-", *options, expect=1)[1]
