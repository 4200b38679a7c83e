"""Take pictures of every page: python tests/screenshots.py FOLDER [--readme] [--only WORD].

Starts the app on a port of its own with a home of its own, fills that home with data sets and runs in every
state, and photographs each page at 1280 and 420 pixels, light and dark. One real training (of the sample,
with the embedded model) is among the runs, so that the Predict page can answer.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from filelock import FileLock  # noqa: E402

from core.base.home import home  # noqa: E402
from core.data.labels import ColumnMapping, guess_mapping, label_texts  # noqa: E402
from core.data.quality.fixes import Fix  # noqa: E402
from core.data.reading.files import read_table  # noqa: E402
from core.data.splits import SplitPlan, split_by_percent  # noqa: E402
from core.data.storage.datasets import Dataset, relabel, save_dataset  # noqa: E402
from core.data.storage.sample import read_sample  # noqa: E402
from core.data.storage.uploads import keep_fixes, keep_upload  # noqa: E402
from core.learning import pretrained  # noqa: E402
from core.learning.config import TrainingConfig  # noqa: E402
from core.learning.evaluation.calibration import Calibration, write_calibration  # noqa: E402
from core.learning.suggestions import suggest  # noqa: E402
from core.runs.results import exports  # noqa: E402
from core.runs.results.models import usable_models  # noqa: E402
from core.runs.tasks import data_checks, forecasts, labellings  # noqa: E402
from core.runs.training import queue, states  # noqa: E402
from core.runs.training.run import Run  # noqa: E402
from core.serving import imported_models  # noqa: E402
from core.serving.file_labelling.plan import Plan  # noqa: E402
from tests.pages.data_checks import make_check  # noqa: E402
from tests.pages.seeding import make_dataset, make_exports, make_labelling, make_run  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
README_PICTURE = PROJECT / ".github" / "screenshot.png"
MAIN = "[data-testid=stMainBlockContainer]"
CHART = "[data-testid=stVegaLiteChart]"
DRAWN = f"""() => !document.querySelector("[data-testid=stSkeleton]")
    && [...document.querySelectorAll("{CHART}")].every((chart) => chart.querySelector("canvas, svg"))
"""
"""Whether no part of the page is still to come, in the browser's language."""
WIDTHS = (1280, 420)
SCHEMES = ("light", "dark")
MANY = tuple(f"{kind}_{thing}" for kind in ("lost", "late", "wrong", "new", "old", "my", "any") for thing in (
    "card", "book", "fee", "desk", "film", "room", "map", "bill", "key", "form", "shelf"
))  # fmt: skip
HOSTILE = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1)) :red[x] $\\alpha$",
    "مرحبا ![](http://a.example)",
)
BAD_ROWS = b"".join(b"%d,the same words,%d.5\n" % (i, i) for i in range(60))
BAD_TABLE = b"id,text,label\n" + BAD_ROWS + b"broken\n"
DIRTY_ROWS = [
    f'{label},"{text} ({place})"'
    for place in ("main library", "branch in the north", "branch by the sea", "reading room", "music room")
    for label, text in (
        ("praise", "Thank you for the quick help at the desk yesterday"),
        ("praise", "What a lovely evening of readings, we shall come back"),
        ("Praise ", "The new chairs by the window are a joy to sit in"),
        ("complaint", "<p>The heating has been off since Monday &amp; nobody answers</p>"),
        ("complaint", "My reminder came after I had returned the book"),
        ("complaint", "I was charged twice, please write to jane.doe@example.org or call +44 20 7946 0958"),
        ("question", "When do you open on **Sundays** in the summer?"),
        ("question", "Can I borrow the telescope for a week?"),
        ("question", "Wann haben Sie am Sonntag im Sommer für Kinder geöffnet?"),
    )
]
DIRTY_TABLE = "\n".join(
    [
        "label,message",
        *DIRTY_ROWS,
        *DIRTY_ROWS[:7],
        *(row.replace("Thank", "Thanks").replace("My r", "The r") for row in DIRTY_ROWS[:9]),
        "praise,Thanks!",
        'question,"Thank you for the quick help at the desk yesterday (main library)"',
        "other thing,https://library.example/opening-hours",
        ",A message without a label",
        "complaint,",
        "lonely",
    ]
).encode()
HOSTILE_TABLE = ",".join([*HOSTILE, "n" * 90]).encode() + b"\n" + b"a <b>text</b>,:red[x],=1+1,4\n" * 3
LETTERS = b"id,text,confidence\n1,Where is my book?,=1+1\n2,Thank you so much!,high\n3,,x\n"
TEXTS = {
    "long": "The library was open, but the desk was closed and nobody could say when it would open again. "
    * 40,
    "right-to-left": "متى تفتح المكتبة يوم الأحد؟ מתי אתם פותחים When do you open?",
    "no-spaces": "図書館は日曜日に何時に開きますか？图书馆星期天几点开门？ห้องสมุดเปิดกี่โมง Thank you!",
}
"""Texts that are hard to show."""

PAGES = {name.lower(): f"/{name}" for name in ("Check", "Train", "Runs", "Compare", "Predict", "Export")} | {
    "data": "/"
}


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as held, sync_playwright() as playwright:
        os.environ["TEXTUNER_HOME"] = folder
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with serve() as address:
            if arguments.readme:
                take_readme_picture(browser, address)
                return
            out = Path(arguments.folder)
            out.mkdir(parents=True, exist_ok=True)
            camera = Camera(browser, address, out, arguments.only)
            for name, path in PAGES.items():
                camera.take(f"{name}-empty", path)
            for name, path, click in seed(held):
                camera.take(name, path, click)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default="screenshots")
    parser.add_argument("--readme", action="store_true", help="only the README's picture")
    parser.add_argument("--only", default="", help="only pictures whose name contains this")
    return parser.parse_args()


class Camera:
    """Photographs one address after the other, in every width and colour scheme."""

    def __init__(self, browser: Browser, address: str, out: Path, only: str) -> None:
        self.browser = browser
        self.address = address
        self.out = out
        self.only = only

    def take(self, name: str, path: str, click: str | None = None) -> None:
        if self.only not in name:
            return
        for width in WIDTHS:
            for scheme in SCHEMES:
                with open_page(self.browser, self.address + path, width, scheme) as page:
                    if click:
                        use(page, click)
                    photograph(page, self.out / f"{name}-{width}-{scheme}.png", width)


def use(page: Page, what: str) -> None:
    """Step by step: write a "text: ...", open a "summary: ...", flip a "switch: ...", or click."""
    for step in what.split(" > "):
        if step.startswith("text: "):
            page.get_by_label("Text", exact=True).fill(step.removeprefix("text: "))
        elif step.startswith("summary: "):
            page.locator("summary", has_text=step.removeprefix("summary: ")).click()
        elif step.startswith("switch: "):
            page.get_by_text(step.removeprefix("switch: ")).click()
        elif page.get_by_role("tab", name=step).count():
            page.get_by_role("tab", name=step).click()
        elif page.get_by_role("button", name=step).count():
            page.get_by_role("button", name=step).first.click()
        settle(page)


@contextmanager
def open_page(browser: Browser, url: str, width: int, scheme: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    page.locator("h1").first.wait_for(timeout=30_000)
    settle(page)
    yield page
    context.close()


def settle(page: Page) -> None:
    # A live page never stops running: it is drawn when nothing is missing and its size stays as it is.
    page.wait_for_timeout(1000)
    for words in ("Loading the model", "Taking gradients", "Reading the training texts"):
        page.get_by_text(words).first.wait_for(state="detached", timeout=60_000)
    page.wait_for_function(DRAWN, timeout=60_000)
    sizes = [0]
    while len(sizes) < 100 and (len(sizes) < 3 or len(set(sizes[-3:])) > 1):
        page.wait_for_timeout(300)
        sizes.append(page.locator(MAIN).evaluate("e => e.scrollHeight"))


def photograph(page: Page, path: Path, width: int, most: int = 5000) -> None:
    height = page.locator(MAIN).evaluate("e => e.scrollHeight")
    page.set_viewport_size({"width": width, "height": max(900, min(height + 80, most))})
    settle(page)
    page.screenshot(path=path)
    print(path)


def seed(held: ExitStack) -> Iterator[tuple[str, str, str | None]]:
    """Fill the home step by step; after each, what to photograph: name, path, click."""
    sample = save_sample()
    yield "train-measuring", f"/Train?dataset={sample.id}", None
    start = suggest("bundled", sample.counts["train"], len(sample.label2id))
    forecasts.wait(sample, start)
    yield "train-ready", f"/Train?dataset={sample.id}", None
    yield "data-columns", f"/?upload={keep_upload('sample.csv', read_sample()).id}", None
    yield "data-bad", f"/?upload={keep_upload('bad.csv', BAD_TABLE).id}", None
    yield "data-refused", f"/?upload={keep_upload('notes.pdf', b'%PDF-1.7 x').id}", None
    dirty = keep_upload("messages.csv", DIRTY_TABLE)
    yield "data-dirty", f"/?upload={dirty.id}", None
    yield (
        "data-dirty-open",
        f"/?upload={dirty.id}",
        "summary: Labels that differ > summary: Possible personal",
    )
    mapping = ColumnMapping(("message",), "label")
    keep_fixes(
        dirty, mapping, map(Fix, ("write_labels_alike", "strip_html", "drop_repeated", "keep_majority"))
    )
    yield "data-fixed", f"/?upload={dirty.id}", None
    yield "data-saved", f"/?saved={sample.id}", None
    yield "data-mended", f"/?saved={relabel(sample.id, {}, [('train', 0), ('train', 7)]).id}", None
    real = train(sample)
    held.enter_context(FileLock(home() / "worker.lock"))
    yield from seed_checks(sample, held)
    yield "train-finished", f"/Train?run={real.id}", None
    yield "runs-report", f"/Runs?run={real.id}", None
    yield "runs-mistakes", f"/Runs?run={real.id}", "Mistakes"
    yield "runs-curves", f"/Runs?run={real.id}", "Curves"
    yield "runs-delete", f"/Runs?run={real.id}", "Delete"
    yield "runs-settings", f"/Runs?run={real.id}", "Settings"
    yield (
        "predict-text",
        f"/Predict?run={real.id}",
        "text: When do you open? > Label it",
    )
    for name, text in TEXTS.items():
        yield f"predict-{name}", f"/Predict?run={real.id}", f"text: {text} > Label it"
    yield (
        "predict-why",
        f"/Predict?run={real.id}",
        "text: Thanks. When do you open? > Label it > switch: Integrated g > switch: Show the five",
    )
    write_calibration(real.folder / "model", Calibration(1.5, 0.99))
    yield "predict-unsure", f"/Predict?run={real.id}", "text: Open? Thank you > Label it"
    yield from seed_exports(real)
    messages = make_dataset("Messages")
    for status in ("failed", "interrupted", "stopped", "damaged", "running", "queued"):
        run = make_run(status, messages, held)
        yield f"train-{status}", f"/Train?run={run.id}", None
        yield f"runs-{status}", f"/Runs?run={run.id}", None
    many = make_run("finished", make_dataset("77 intents", MANY, 3), held, labels=MANY)
    yield "runs-many", f"/Runs?run={many.id}", None
    give_weights(many, MANY)
    yield from seed_files(real, many, held)
    yield "predict-many", f"/Predict?run={many.id}", "text: When do you open? > Label it"
    yield from seed_judged(held)
    hostile = make_dataset("**Bold** <b>name</b> :red[x]", HOSTILE)
    attacked = make_run("finished", hostile, held, labels=HOSTILE)
    yield "runs-hostile", f"/Runs?run={attacked.id}", None
    yield "predict-failed", f"/Predict?run={attacked.id}", "text: When do you open? > Label it"
    give_weights(attacked, HOSTILE)
    yield "predict-hostile", f"/Predict?run={attacked.id}", f"text: {' '.join(HOSTILE)} > Label it"
    yield "data-hostile", f"/?saved={hostile.id}", None
    make_old(held)
    yield "runs-full", "/Runs", None
    yield "data-full", "/", None
    yield "runs-clean-up", "/Runs", "Clean up"
    yield "data-clean-up", "/", "Clean up"


def seed_files(real: Run, many: Run, held: ExitStack) -> Iterator[tuple[str, str, str | None]]:
    """A file in, a file out: chosen, at work, ended badly, and done with few and many classes."""
    yield "file-empty", f"/Predict?run={real.id}", "A file"
    letters, sample = keep_upload("letters.csv", LETTERS), keep_upload("sample.csv", read_sample())
    yield "file-chosen", f"/Predict?run={real.id}&file={sample.id}", "A file"
    for status in ("running", "stopping", "stopped", "interrupted", "failed"):
        found = make_labelling(status, real, sample, held)
        address = f"/Predict?run={real.id}&file={sample.id}&labelling={found.id}"
        yield f"file-{status}", address, "A file"
    for name, run, upload, text, wishes in (
        ("done", real, letters, "text", {}),
        ("scored", real, sample, "text", {"label": "label"}),
        ("many", many, sample, "text", {"classes": True}),
        ("hostile", real, keep_upload("![x](http://a.example) <b>.csv", HOSTILE_TABLE), HOSTILE[1], {}),
    ):
        found = labellings.start(
            upload.name, Plan(str(upload.path), str(run.folder / "model"), (text,), **wishes)
        )
        while labellings.state(found).live:
            time.sleep(0.5)
        yield f"file-{name}", f"/Predict?run={run.id}&file={upload.id}&labelling={found.id}", "A file"


def seed_exports(real: Run) -> Iterator[tuple[str, str, str | None]]:
    """The Export page: nothing made, made, with a form that could not be; and a model from a file."""
    (model,) = (one for one in usable_models() if one.id == real.id)
    yield "export-new", f"/Export?run={real.id}", None
    yield "export-card", f"/Export?run={real.id}", "summary: The model card > summary: How to use"
    make_exports(model)
    yield "export-made", f"/Export?run={real.id}", None
    for lacking in ((exports.WEB,), exports.MADE):
        shutil.rmtree(model.place / exports.FOLDER)
        make_exports(model, lacking)
        yield f"export-lacking-{len(lacking)}", f"/Export?run={real.id}", None
    file = model.place / "model.zip"
    exports.export_model(model, exports.HUGGINGFACE, file)
    other = imported_models.keep(file, "A model with [a](http://b.example) name from *elsewhere*.zip")
    yield "export-imported", f"/Export?run={other.id}", None
    yield "predict-imported", f"/Predict?run={other.id}", "Delete it"
    yield "predict-model-file", f"/Predict?run={real.id}", "Use a model from a file"
    imported_models.delete(other.id)


def seed_checks(sample: Dataset, held: ExitStack) -> Iterator[tuple[str, str, str | None]]:
    """The Check page: at work, ended badly, and with all that it can show."""
    for status in ("running", "failed", "interrupted"):
        letters = make_dataset(f"Letters, {status}")
        make_check(letters, data_checks.BASELINES, status, held)
        make_check(letters, data_checks.CURVE, status, held)
        yield f"check-{status}", f"/Check?dataset={letters.id}", None
    for kind in (data_checks.BASELINES, data_checks.CURVE):
        data_checks.start(sample, kind)
        while data_checks.state(sample, kind).live:
            time.sleep(0.5)
    yield "check-full", f"/Check?dataset={sample.id}", None
    hostile = make_dataset("**Bold** <b>name</b> :red[x]", HOSTILE)
    for kind in (data_checks.BASELINES, data_checks.CURVE):
        make_check(hostile, kind, "finished", held)
    yield "check-hostile", f"/Check?dataset={hostile.id}", None


def seed_judged(held: ExitStack) -> Iterator[tuple[str, str, str | None]]:
    """Reports and comparisons: two classes, long texts, other scripts, one label for all, an older report."""
    reviews = make_dataset("Reviews", ("negative", "positive"), 60)
    made = [
        make_run(
            "finished", reviews, held, replace(TrainingConfig(), epochs=epochs), ("negative", "positive")
        )
        for epochs in (1, 3, 4, 6)
    ]
    for view in ("Report", "Confidence", "Mistakes"):
        yield f"runs-two-{view.lower()}", f"/Runs?run={made[0].id}", view
    for name, labels in SCRIPTS.items():
        data = make_dataset(name, labels, 20)
        wording = "{label} " + LONG_WORDS.get(name, "{split} ") * 60 + "{i} {split}"
        run = make_run("finished", data, held, labels=labels, wording=wording)
        yield f"runs-{name}", f"/Runs?run={run.id}", None
    for form in ("collapsed", "old"):
        run = make_run("finished", make_dataset(form), held, form=form)
        yield f"runs-{form}", f"/Runs?run={run.id}", None
    yield "runs-old-confidence", f"/Runs?run={run.id}", "Confidence"
    yield "compare-two", f"/Compare?runs={made[0].id},{made[1].id}", None
    yield "compare-four", f"/Compare?runs={','.join(run.id for run in made)}", None
    yield "compare-refused", f"/Compare?runs={made[0].id},{run.id}", None


SCRIPTS = {"hebrew": ("שאלה", "מחמאה", "תלונה"), "japanese": ("質問", "称賛", "苦情"), "long": ("yes", "no")}
LONG_WORDS = {
    "hebrew": "הספרייה סגורה ביום שישי ",
    "japanese": "図書館は金曜日に閉まっています。",
    "long": "very long ",
}


def make_old(held: ExitStack) -> None:
    """A data set and runs of two months ago, one of each damaged, for the clean-up to find."""
    at = time.time() - 60 * 24 * 3600
    with patch("time.time", lambda: at):
        letters, torn = make_dataset("Old letters"), make_dataset("Torn")
        runs = [make_run(status, letters, held) for status in ("finished", "failed", "damaged")]
    (torn.folder / "dataset.json").write_text("{ torn")
    for folder in (torn.folder, *(run.folder for run in runs)):
        os.utime(folder, (at, at))


def give_weights(run: Run, labels: tuple[str, ...]) -> None:
    """Weights that answer, with a head that nobody has trained."""
    # Imported here: torch takes seconds.
    from core.learning.hardware import Hardware
    from core.learning.models.interface import load_for_training
    from core.learning.tokenizer import TextTokenizer

    folder, source = run.folder / "model", pretrained.resolve("bundled")
    label2id = {label: i for i, label in enumerate(labels)}
    load_for_training(source, label2id, Hardware("cpu", "fp32", ""), seed=1).save(folder)
    TextTokenizer(source, 128).save(folder)


def save_sample() -> Dataset:
    table = read_table(read_sample())
    labeled, rejected = label_texts(table, guess_mapping(table))
    return save_dataset(
        "Library messages", split_by_percent(labeled, SplitPlan()), rejected, {"file": "sample.csv"}
    )


def train(dataset: Dataset) -> Run:
    run = queue.submit(replace(TrainingConfig(), epochs=3), dataset)
    while states.state(run).live:
        time.sleep(0.5)
    return run


def take_readme_picture(browser: Browser, address: str) -> None:
    run = train(save_sample())
    README_PICTURE.parent.mkdir(exist_ok=True)
    with open_page(browser, f"{address}/Train?run={run.id}", 1280, "light") as page:
        page.get_by_text("Trains on").wait_for(timeout=30_000)
        page.screenshot(path=README_PICTURE)
    print(README_PICTURE)


@contextmanager
def serve() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def wait_for(port: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(f"no answer on port {port} within {seconds:g} s")


if __name__ == "__main__":
    main()
