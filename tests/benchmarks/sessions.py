"""People at their browsers, each a loop that does one thing over and over and notes how long it took."""

import asyncio
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, Page

from core.runs.training import store
from core.runs.training.events import read_events

PATIENCE_SECONDS = 60
LOOK_SECONDS = 2.0
TYPE_SECONDS = 3.0
READ_SECONDS = 5.0
TEXTS = ("a warm and clever film", "nothing happens, slowly", "the best of them", "dull from start to end")

# Set before the click, so that no answer is too fast to be seen.
HEAR_ANSWER = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    window.answered = new Promise(done => {
        let ran = false;
        new MutationObserver((changes, observer) => {
            const state = app.getAttribute('data-test-script-state');
            ran = ran || state === 'running';
            if (ran && state === 'notRunning') { observer.disconnect(); done(); }
        }).observe(app, {attributes: true});
    });
}"""


@dataclass
class Times:
    """Seconds that each action took, in the order of their ends."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def of(self, action: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[action].append(time.perf_counter() - started)


@dataclass(frozen=True)
class Scene:
    """What all sessions share."""

    browser: Browser
    address: str
    live_run: str
    """Id of the run at work."""
    finished_run: str
    """Id of a run with a model."""
    upload: Path
    """A table to upload."""
    upload_rows: int
    times: Times
    leave: asyncio.Event
    """Set when everybody should go home."""

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than until it is time to leave."""
        try:
            await asyncio.wait_for(self.leave.wait(), seconds)
        except TimeoutError:
            return

    async def new_page(self) -> Page:
        """A tab of a browser profile of its own."""
        page = await (await self.browser.new_context(viewport={"width": 1280, "height": 900})).new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        return page

    async def open(self, page: Page, path: str, name: str) -> None:
        """Open an address, and wait for its title; the first thing of a page's own script."""
        with self.times.of(f"open {name}"):
            await page.goto(f"{self.address}{path}", wait_until="commit")
            await page.locator("h1").first.wait_for()


async def watch(scene: Scene) -> None:
    """Follow the live run by its link."""
    page = await scene.new_page()
    await scene.open(page, f"/?run={scene.live_run}", "Train (live run)")
    progress = page.get_by_test_id("stProgress")
    await progress.wait_for()
    await page.get_by_test_id("stVegaLiteChart").first.wait_for()
    while not scene.leave.is_set():
        await scene.pause(LOOK_SECONDS)
        shown = re.search(r"Step ([\d,]+) of", await progress.inner_text())
        if shown:
            age = age_of(scene.live_run, int(shown.group(1).replace(",", "")))
            scene.times.seconds["live view, behind by"].append(age)
    await page.context.close()


def age_of(run_id: str, step: int) -> float:
    """Seconds since there has been something newer to show than this step."""
    for event in read_events(store.find_run(run_id).folder / "events.jsonl"):
        if event["type"] == "step" and event["step"] > step:
            return max(0.0, time.time() - event["time"])
    return 0.0


async def upload(scene: Scene) -> None:
    """Upload a large table, wait until it is checked, look at other pages, and again."""
    page = await scene.new_page()
    while not scene.leave.is_set():
        await scene.open(page, "/", "Data")
        await upload_once(scene, page)
        await scene.pause(READ_SECONDS)
        await scene.open(page, "/Runs", "Runs")
        await scene.pause(READ_SECONDS)
    await page.context.close()


async def upload_once(scene: Scene, page: Page) -> None:
    """From the choice of the file to its Save button."""
    await page.locator("input[type=file]").wait_for(state="attached")
    with scene.times.of("upload, until checked"):
        with scene.times.of("upload, until shown"):
            with scene.times.of("upload, until the page answers"):
                await page.locator("input[type=file]").set_input_files(scene.upload)
                await page.get_by_text("Check what was read").wait_for()
            await page.get_by_text(f"{scene.upload_rows:,} rows", exact=True).first.wait_for()
        await page.get_by_role("button", name="Save", exact=True).wait_for()


async def predict(scene: Scene) -> None:
    """Type a text every few seconds and have it labelled."""
    page = await scene.new_page()
    await scene.open(page, f"/Predict?run={scene.finished_run}", "Predict")
    numbers = random.Random(len(scene.times.seconds))
    while not scene.leave.is_set():
        await predict_once(scene, page, f"{numbers.choice(TEXTS)} {numbers.randrange(1000)}")
        await scene.pause(TYPE_SECONDS)
    await page.context.close()


async def predict_once(scene: Scene, page: Page, text: str) -> None:
    """From the click to the answer."""
    await page.get_by_label("Text", exact=True).fill(text)
    await page.evaluate(HEAR_ANSWER)
    with scene.times.of("predict a text"):
        await page.get_by_role("button", name="Label it").click()
        await page.evaluate("window.answered")
        await page.get_by_text("with a probability of").wait_for()
