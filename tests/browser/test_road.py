"""The whole road in a real browser: from a file to a classifier that works elsewhere."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.browser.conftest import IN_CI, wait_until
from tests.conftest import SHARED_DATA

if not IN_CI:
    pytest.importorskip("pytest_playwright", reason="pytest-playwright is needed for the browser tests")
from playwright.sync_api import Locator, Page, expect  # noqa: E402

SECOND = 1000
PATIENCE = 60 * SECOND
TRAINING_PATIENCE = 360 * SECOND
ROWS, NEW_ROWS = 240, 20
PLAIN = Path(__file__).with_name("plain_transformers.py")
TITLES = ("Data", "Check", "Train", "Runs", "Compare", "Predict", "Export")
PAGES = {"": "Data"} | {name: name for name in TITLES}

expect.set_options(timeout=PATIENCE)


def test_from_a_file_to_a_classifier_that_works_elsewhere(app, page, new_context, tmp_path):
    page.set_default_timeout(PATIENCE)
    problems = watch(page)
    save_dataset(page, app, write_training_table(tmp_path / "reviews.csv"))
    run_id = start_training(page)
    other = look_in_the_middle(page, app, new_context, run_id)
    accuracy = see_scores(page, other, run_id)
    read_report(page, accuracy)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("heading", name="Predict")).to_be_visible()
    rows = new_rows()
    shown = label_text(page, rows[0]["text"])
    answers = label_file(page, rows, tmp_path)
    folder, weights = download_model(page, tmp_path)
    check_elsewhere(folder, weights, rows, answers, shown, tmp_path)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert problems == []
    assert "Traceback" not in app.log()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_by_its_link_on_a_fresh_server(app, page, path):
    problems = watch(page)
    page.goto(f"{app.address}/{path}")
    title = "Data" if PAGES[path] == "Data" else f"{PAGES[path]} – Textuner"
    expect(page).to_have_title(re.compile(title))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    # The router's menu: the page is not the lone script that a fresh server finds in pages/.
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(len(TITLES))
    wait_until_still(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert problems == []
    assert "Traceback" not in app.log()


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        ("../../etc/passwd", "22 letters"),
        ("<img src=x onerror=alert(1)>", "22 letters"),
        ("A" * 22, "no such run"),
    ],
)
def test_a_link_to_no_run_shows_a_plain_message(app, page, hostile, words):
    problems = watch(page)
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(f"{app.address}/?run={hostile}")
    message = page.get_by_test_id("stAlert")
    expect(message).to_contain_text(words)
    expect(message).to_contain_text("What to do")
    wait_until_still(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text("root:")).to_have_count(0)
    assert problems == []


# The stations of the road


def save_dataset(page: Page, app, table: Path) -> None:
    page.goto(app.address)
    page.locator("input[type=file]").set_input_files(table)
    expect(page.get_by_text(f"{ROWS} rows", exact=True)).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("reviews is saved.")).to_be_visible()
    counts = [int(read_metric(page, f"{split} texts")) for split in ("Training", "Validation", "Test")]
    assert sum(counts) == ROWS and min(counts) > 0
    page.get_by_role("button", name="Train on it").click()


def start_training(page: Page) -> str:
    """Start two epochs and wait until steps are seen; returns the id of the run."""
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    for name, value in (("Epochs", "2"), ("Batch size (texts)", "16")):
        field = page.get_by_label(name, exact=True)
        field.fill(value)
        field.press("Enter")
    expect(page.get_by_role("combobox", name="Model")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"\?run="))
    expect(page.get_by_text("2 epochs · batches of 16")).to_be_visible()
    return page.url.partition("?run=")[2]


def look_in_the_middle(page: Page, app, new_context, run_id: str) -> Page:
    """Reload the tab and open the link elsewhere, both in mid-training; returns the other browser's page.

    The trainer is paused meanwhile: it would be through before two pages have loaded.
    """
    wait_until(lambda: steps_done(run_id)[0] > 0, 240, f"the first step: {app.log()}")
    trainer = app.processes(run_id)
    assert len(trainer) == 1, "one process trains, and it is not the server"
    os.kill(trainer[0], signal.SIGSTOP)
    step, total = steps_done(run_id)
    assert step < total, "paused too late to see anything"
    progress = f"Step {step} of {total} "
    expect(page.get_by_text(progress)).to_be_visible()
    page.reload()
    other = new_context().new_page()
    other.set_default_timeout(PATIENCE)
    other.goto(f"{app.address}/?run={run_id}")
    for tab in (page, other):
        expect(tab.get_by_text(progress)).to_be_visible()
        expect(tab.locator(".stMarkdownBadge").filter(has_text="running")).to_be_visible()
    os.kill(trainer[0], signal.SIGCONT)
    return other


def steps_done(run_id: str) -> tuple[int, int]:
    """Steps that the run has reported, and steps in all."""
    from core.runs.training import run_events, store

    events = run_events.events_of(store.find_run(run_id))
    total = next((event["total_steps"] for event in events if event["type"] == "started"), 0)
    return max((event["step"] for event in events if event["type"] == "step"), default=0), total


def see_scores(page: Page, other: Page, run_id: str) -> str:
    """Wait for the end, which both tabs show by themselves; returns the test accuracy as shown."""
    from core.runs.results import outputs
    from core.runs.training import store

    for tab in (page, other):
        expect(metric(tab, "Test accuracy")).to_be_visible(timeout=TRAINING_PATIENCE)
        expect(tab.locator(".stMarkdownBadge").filter(has_text="finished")).to_be_visible()
    report = outputs.report_of(store.find_run(run_id))
    shown = read_metric(page, "Test accuracy")
    assert shown == f"{100 * report['test']['accuracy']:.1f}%"
    other.close()
    return shown


def read_report(page: Page, accuracy: str) -> None:
    page.get_by_role("button", name="Judge it").click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    expect(metric(page, "Accuracy")).to_have_text(accuracy)
    expect(page.get_by_role("heading", name="Confusion matrix")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()


def label_text(page: Page, text: str) -> tuple[str, float]:
    """The label and its probability in percent, as the page shows them."""
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Label it").click()
    sentence = page.get_by_text("with a probability of")
    expect(sentence).to_be_visible(timeout=2 * PATIENCE)
    label = page.get_by_role("heading", level=3).first.inner_text().strip()
    percent = re.search(r"([\d.]+)%", sentence.inner_text())
    return label, float(percent.group(1))


def label_file(page: Page, rows: list[dict[str, str]], folder: Path) -> list[dict[str, str]]:
    """Label the rows as a file, and read what comes back, with and without the spreadsheet's protection."""
    table = write_table(folder / "new.csv", rows)
    page.get_by_role("tab", name="A file").click()
    page.locator("input[type=file]").set_input_files(table)
    expect(page.get_by_text(f"{NEW_ROWS} rows, 3 columns")).to_be_visible()
    # The column that the model was trained on, not the first one.
    expect(page.get_by_test_id("stMultiSelect").locator("[data-tag]")).to_have_text(["text"])
    page.get_by_role("button", name=f"Label {NEW_ROWS} rows").click()
    expect(page.get_by_text(f"{NEW_ROWS} rows labelled.")).to_be_visible()
    expect(page.get_by_text("1 cell changed")).to_be_visible()
    protected = read_table(download(page, "Download CSV", folder / "protected.csv"))
    page.get_by_text("Safe for spreadsheets").click()
    expect(page.get_by_text("1 cell changed")).to_have_count(0)
    answers = read_table(download(page, "Download CSV", folder / "answers.csv"))
    assert list(answers[0]) == [*rows[0], "predicted_label", "confidence"]
    assert [{name: row[name] for name in rows[0]} for row in answers] == rows
    differing = [(a["note"], b["note"]) for a, b in zip(answers, protected, strict=True) if a != b]
    assert differing == [("=1+1", "'=1+1")]
    return answers


def download_model(page: Page, folder: Path) -> tuple[Path, Path]:
    """The unpacked Hugging Face folder, and the file of weights."""
    page.get_by_role("button", name="Take it away").click()
    expect(page.get_by_role("heading", name="Export")).to_be_visible()
    archive = download(page, "Download the folder", folder / "model.zip")
    weights = download(page, "Download the weights", folder / "model.pth")
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder / "model")
    files = {path.name for path in (folder / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files
    return folder / "model", weights


def check_elsewhere(
    folder: Path,
    weights: Path,
    rows: list[dict[str, str]],
    answers: list[dict[str, str]],
    shown: tuple[str, float],
    tmp_path: Path,
) -> None:
    """Folder and weights give in plain transformers what the page showed and the file held."""
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps([row["text"] for row in rows]), encoding="utf-8")
    command = [sys.executable, "-I", str(PLAIN), str(folder), str(weights), str(texts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    elsewhere = json.loads(done.stdout.splitlines()[-1])
    assert not [name for name in elsewhere["modules"] if name.split(".")[0] in ("core", "streamlit")]
    for source in ("folder", "weights"):
        labels, probabilities = elsewhere[source]["labels"], elsewhere[source]["probabilities"]
        confidence = [max(row) for row in probabilities]
        assert labels == [row["predicted_label"] for row in answers], source
        assert confidence == pytest.approx([float(row["confidence"]) for row in answers], abs=1e-4), source
        assert labels[0] == shown[0]
        assert 100 * confidence[0] == pytest.approx(shown[1], abs=0.05 + 0.01)


# Reading the page


def watch(page: Page) -> list[str]:
    """Uncaught errors and error messages of the browser's console, as they come."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))

    def hear(message):
        # Under a page's own address Streamlit first looks for its server there, and then at the root.
        expected = "404" in message.text and "/_stcore/" in message.location["url"]
        if message.type == "error" and not expected:
            problems.append(f"{message.text} ({message.location['url']})")

    page.on("console", hear)
    return problems


def metric(page: Page, label: str) -> Locator:
    """The value of the metric with exactly this label."""
    named = page.get_by_test_id("stMetricLabel").get_by_text(label, exact=True)
    return page.get_by_test_id("stMetric").filter(has=named).get_by_test_id("stMetricValue")


def read_metric(page: Page, label: str) -> str:
    # What the script has not drawn anew stays on the page for a moment beside what it has.
    expect(metric(page, label)).to_have_count(1)
    return metric(page, label).inner_text()


def wait_until_still(page: Page) -> None:
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def download(page: Page, button: str, to: Path) -> Path:
    with page.expect_download(timeout=2 * PATIENCE) as started:
        page.get_by_role("button", name=button).click()
    started.value.save_as(to)
    return to


# Tables


def write_training_table(path: Path) -> Path:
    """Real sentences where they are at hand, else the first rows of the sample."""
    real = SHARED_DATA / "sst2" / "train.csv"
    if real.is_file():
        return write_table(path, read_table(real)[:ROWS])
    from core.data.storage.sample import SAMPLE

    return write_table(path, read_table(SAMPLE)[:ROWS])


def new_rows() -> list[dict[str, str]]:
    """Rows to label, with cells that careless reading or writing would change."""
    notes = ["007", "", "NA", "1.50", " spaced ", 'say "so"', "two\nlines", "ä, ß; 東京", "=1+1", "True"]
    texts = [
        "A warm and clever film that I would watch again tomorrow.",
        "Nothing happens, slowly, and then it happens twice.",
        'He said: "I loved it, every minute".',
        "word " * 400 + "end",
        "Übermäßig lang, aber schön.",
    ]
    texts += [f"Scene {i} was the best of them." for i in range(len(texts), NEW_ROWS)]
    notes += [f"row {i}" for i in range(len(notes), NEW_ROWS)]
    pairs = zip(texts, notes, strict=True)
    return [{"id": f"{i:03}", "text": text, "note": note} for i, (text, note) in enumerate(pairs)]


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
