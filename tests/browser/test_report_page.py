"""The report as one HTML file, opened from the disk: nothing that people wrote does anything in it."""

from contextlib import ExitStack

from core.runs.results.report_file import report_of_run
from tests.pages.seeding import make_dataset, make_run
from tests.serving.test_report_page import ATTACKS


def test_in_a_browser_nothing_runs_and_nothing_is_fetched(textuner_home, tmp_path, new_context):
    file = tmp_path / "report.html"
    with ExitStack() as held:
        dataset = make_dataset(ATTACKS[0], ATTACKS)
        run = make_run("finished", dataset, held, labels=ATTACKS, wording="{split}{i} {label}")
        file.write_text(report_of_run(run))
    page = new_context(viewport={"width": 420, "height": 900}, color_scheme="dark").new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(file.as_uri())
    page.wait_for_timeout(300)
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert said == []
    assert page.title() == f"{ATTACKS[0]} – report"
    assert page.locator("script, iframe, img, object, embed").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    ink = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert ink == "rgb(230, 235, 240)"
