"""Whatever becomes of tabs and servers, the training goes on and its link shows it, in a real browser."""

import os
import re
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.browser.conftest import IN_CI, wait_until

if not IN_CI:
    pytest.importorskip("pytest_playwright", reason="pytest-playwright is needed for the browser tests")
from playwright.sync_api import Page, expect  # noqa: E402

from core.data.labels import LabeledTexts  # noqa: E402
from core.data.splits import Splits  # noqa: E402
from core.data.storage.datasets import save_dataset  # noqa: E402
from core.learning.config import TrainingConfig  # noqa: E402
from core.runs.training import run_events, states, store  # noqa: E402
from tests.tiny import LABEL2ID, TEXTS  # noqa: E402

PATIENCE = 60 * 1000
PHONE = {"width": 420, "height": 900}

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def config(tiny):
    """A training of some seconds; asked for before the app, whose server needs the tiny model too."""
    return TrainingConfig(
        model=tiny, epochs=60, batch_size=1, learning_rate=1e-3, max_length=16, evaluations_per_epoch=1
    )


@pytest.fixture
def saved(app):
    """A hundred short texts in words that the tiny model knows."""
    pairs = [
        (f"{first} {second}", LABEL2ID[label])
        for label, texts in TEXTS.items()
        for first in texts
        for second in texts
    ]
    parts = [
        LabeledTexts([text for text, _ in part], [label for _, label in part], LABEL2ID)
        for part in (pairs[::2], pairs[1::4], pairs[3::4])
    ]
    return save_dataset("short texts", Splits(*parts, how="by hand"), [], {"file": "short.csv"})


def test_a_reload_and_a_telephone_show_the_same_live_run(config, app, saved, page, new_context):
    run = store.create_run(config, saved)
    page.goto(f"{app.address}/?run={run.id}")
    wait_until(lambda: evaluations(run) > 2, 90, "three evaluations")
    with held_at(app, run):
        page.reload()
        phone = new_context(viewport=PHONE).new_page()
        phone.goto(f"{app.address}/?run={run.id}")
        for tab in (page, phone):
            expect(tab.get_by_text(f"Step {last_step(run):,} of ")).to_be_visible()
            expect_charts_from_the_start(tab, run)
        wide = phone.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], "the page is wider than the telephone"
    for tab in (page, phone):
        expect_badge(tab, "running")


def test_a_killed_server_takes_no_training_with_it_and_the_line_goes_on(
    config, app, saved, page, new_context
):
    run = store.create_run(config, saved)
    second = store.create_run(replace(config, epochs=10), saved)
    page.goto(f"{app.address}/?run={run.id}")
    wait_until(lambda: evaluations(run) > 2, 90, "three evaluations")
    with held_at(app, run):
        # A browser asks the server for what draws charts when the first one comes, and never again: a tab
        # that found no server at that moment needs a reload.
        expect_charts_from_the_start(page, run)
    (trainer,) = app.processes(run.id)
    app.kill()
    step = last_step(run)
    wait_until(lambda: last_step(run) > step, 30, "a step after the server's end")
    with held_at(app, run):
        app.start()
        other = new_context().new_page()
        other.goto(f"{app.address}/?run={run.id}")
        for tab in (other, page):  # The old tab comes back by itself.
            expect(tab.get_by_text(f"Step {last_step(run):,} of ")).to_be_visible()
            expect_badge(tab, "running")
            expect_charts_from_the_start(tab, run)
        assert app.processes(run.id) == [trainer], "still the same process trains"
    wait_until(lambda: states.state(run).status == "finished", 240, "the end of the training")
    for tab in (other, page):
        expect_badge(tab, "finished")
        expect_charts_from_the_start(tab, run)
        # It has left the line, although nothing else on the page is drawn again.
        expect(tab.get_by_role("heading", name="Waiting in line")).to_have_count(0)
    app.kill()
    wait_until(lambda: states.state(second).status == "finished", 90, "the end of the run in line")
    app.start()
    assert [event["type"] for event in run_events.events_of(run)].count("started") == 1
    page.goto(f"{app.address}/?run={second.id}")
    expect_badge(page, "finished")


@contextmanager
def held_at(app, run):
    """The trainer stands still meanwhile: a tiny model would be through before a page has loaded."""
    (trainer,) = app.processes(run.id)
    os.kill(trainer, signal.SIGSTOP)
    try:
        assert states.state(run).status == "running", "held too late to see anything"
        yield
    finally:
        os.kill(trainer, signal.SIGCONT)


def expect_badge(page: Page, words: str) -> None:
    expect(page.locator(".stMarkdownBadge").filter(has_text=words)).to_be_visible()


def expect_charts_from_the_start(page: Page, run) -> None:
    """Both charts, whose words begin with the first loss and the first score."""
    events = run_events.events_of(run)
    loss = next(event["loss"] for event in events if event["type"] == "step")
    accuracy = next(event["accuracy"] for event in events if event["type"] == "evaluated")
    for words in (f"Training loss: from {loss:.3f} ", f"Accuracy: from {accuracy:.1%} "):
        shown = page.get_by_role("button", name=re.compile(f"^Show data: .*{re.escape(words)}"))
        chart = page.get_by_test_id("stFullScreenFrame").filter(has=shown)
        expect(chart.locator("canvas, svg.marks").first).to_be_visible()


def evaluations(run) -> int:
    return sum(event["type"] == "evaluated" for event in run_events.events_of(run))


def last_step(run) -> int:
    return max((event["step"] for event in run_events.events_of(run) if event["type"] == "step"), default=0)
