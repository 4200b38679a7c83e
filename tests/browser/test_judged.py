"""A click on a cell of the confusion matrix, or on a bin of the reliability diagram, shows its texts."""

from contextlib import ExitStack

import pytest
from playwright.sync_api import Page, expect

from core.runs.results.evaluated_texts import BEFORE, answers_of
from core.runs.training.run import Run
from tests.pages.seeding import make_dataset, make_run

MANY = tuple(f"intent_{number}" for number in range(77))


@pytest.fixture
def runs(app):
    """Two runs, of 77 classes and of three; the second is the newer one."""
    with ExitStack() as held:
        yield [
            make_run("finished", make_dataset("Many", MANY, 3), held, labels=MANY),
            make_run("finished", make_dataset("Few"), held),
        ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_click_shows_the_texts_of_a_cell_and_of_a_bin(scheme, app, runs, page: Page):
    many, few = runs
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 1280, "height": 2400})
    page.goto(f"{app.address}/Runs?run={many.id}")
    click_a_mistake(page, many)
    choose_newest(page, "Few")
    click_a_mistake(page, few)
    page.get_by_role("tab", name="Confidence").click()
    last = answers_of(few, "test").reliability().query("when == @BEFORE").iloc[-1]
    marks(page, "point", f"Temperature: {BEFORE}; Confidence above: {last['from']:.1%}").click()
    expect(page.get_by_text(f"{last['texts']:.0f} texts, ")).to_be_visible()
    expect(page.get_by_role("combobox", name="Temperature")).to_have_value("Before")


def click_a_mistake(page: Page, run: Run) -> None:
    """Click the fullest cell that is no right answer; its texts are shown, and only they."""
    # By force: a number may lie over the middle of the cell, and a person clicks just there.
    answers = answers_of(run, "test")
    pairs = answers.mistakes().value_counts(["label", "predicted"])
    (true, predicted), number = pairs.index[0], pairs.iloc[0]
    marks(page, "rect mark", f"Predicted label: {predicted}; True label: {true};").click(force=True)
    expect(page.get_by_text(f"{number} texts, the surest answer first.")).to_be_visible()
    for box, label in (("True label of the cell", true), ("Answer of the cell", predicted)):
        expect(page.get_by_role("combobox", name=box)).to_have_value(label)


def marks(page: Page, kind: str, beginning: str):
    return page.locator(f'path[aria-roledescription="{kind}"][aria-label*="{beginning}"]')


def choose_newest(page: Page, name: str) -> None:
    """Select the first row of the table of runs, which is drawn on a canvas."""
    page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 52})
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
