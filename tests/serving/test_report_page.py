"""The report as one HTML file: what is in it, and that nothing that people wrote does anything in it."""

import json
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.formatting import percent
from core.charts.elements import MEANINGS
from core.cli import main as cli
from core.learning.evaluation.calibration import set_threshold
from core.runs.results import outputs
from core.runs.results.report_file import report_of_run
from core.runs.training.run import own_dataset
from core.serving.report import report_page
from tests.pages.seeding import LABELS, make_dataset, make_run

ATTACKS = (
    "<script>document.title = 'broken in'</script>",
    '"><img src="http://127.0.0.1:9/x.png" onerror="document.title=1">',
    "</svg></style><iframe src='http://127.0.0.1:9/'>",
    "{{7*7}}{% raw %}",
    '" onmouseover="document.title=1" x="',
    "my_<img src=x onerror=document.title=1>_label",
)
ALLOWED = set(
    """html head meta title link style body main h1 h2 h3 p b ul li div span table thead tbody tr th td bdi
    wbr figure figcaption svg g path line text rect defs clippath""".split()  # noqa: SIM905
)


def finished(held, name="Messages", labels=LABELS, **how):
    return make_run("finished", make_dataset(name, labels), held, labels=labels, **how)


class Elements(HTMLParser):
    """The names of all elements, and of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_it_has_every_part(held):
    run = finished(held)
    set_threshold(outputs.model_folder(run), 0.6)
    page = report_of_run(run)
    scores = outputs.report_of(run)["test"]
    for part in (
        "How good it is",
        "What is taken for what",
        "Classes",
        "How sure it is",
        "Kept with this model: 60.0%",
        "Where it goes wrong",
        "How it learned",
        "Settings",
        "Data card",
        "How it was judged",
        "Versions",
        percent(scores["accuracy"]),
        f"{scores['mcc']:.3f}",
        own_dataset(run).sha256,
        "always the most common class",
    ):
        assert part in page
    low, high = scores["intervals"]["accuracy"]
    assert f"{100 * low:.1f} to {100 * high:.1f}%" in page
    assert page.count('role="img" aria-label="') == page.count("<figcaption>") == page.count("<svg") == 5


def test_it_shows_at_most_50_mistakes_and_says_so(held):
    many = tuple(f"class {i}" for i in range(20))
    page = report_of_run(finished(held, labels=many))
    assert page.count('class="text"') == report_page.MOST_MISTAKES
    assert "The 50 surest of" in page


def test_texts_can_be_left_out(held):
    run = finished(held, wording="a secret {i} {split} {label}")
    assert "a secret" in report_of_run(run)
    page = report_of_run(run, texts=False)
    assert "a secret" not in page
    assert "left the texts out" in page


def test_an_older_or_unfinished_run_has_what_is_there(held):
    page = report_of_run(finished(held, form="old"))
    assert "intervals and calibration are missing" in page
    assert "How sure it is" not in page
    assert "There are no scores" in report_of_run(make_run("failed", make_dataset(), held))
    assert "There are no scores" in report_of_run(make_run("queued", make_dataset(), held))


def test_a_collapsed_run_is_said_and_one_of_which_nobody_wrote_it_down_is_counted(held):
    run = finished(held, form="collapsed")
    report = json.loads((run.folder / "report.json").read_text())
    assert report.pop("collapsed")
    for _ in range(2):
        page = report_of_run(run)
        assert "100.0% of the test texts the same label" in page and "lower learning rate" in page
        (run.folder / "report.json").write_text(json.dumps(report))


def test_long_labels_break_at_their_underscores_and_nowhere_else_than_text(held):
    page = report_of_run(finished(held, labels=("card_arrival", "card_payment")))
    assert "<bdi>card_<wbr>arrival</bdi>" in page


def test_a_run_that_cannot_be_read_is_refused(held):
    with pytest.raises(UserError):
        report_of_run(make_run("damaged", make_dataset(), held))


def test_nothing_that_people_wrote_becomes_an_element(held):
    page = report_of_run(finished(held, ATTACKS[0], ATTACKS, wording="{split}{i} {label}"))
    found = Elements(page)
    assert found.tags <= ALLOWED, found.tags - ALLOWED
    assert not any(name.startswith("on") or name in ("src", "srcset", "action") for name in found.attributes)
    assert "{{7*7}}" in page and "{{ 7" not in page
    assert "default-src 'none'" in page


def test_a_chart_cannot_fetch():
    import altair as alt

    chart = alt.Chart("http://127.0.0.1:9/x.csv").mark_point().encode(x="x:Q")
    with pytest.raises(ValueError, match="not allowed"):
        report_page.svg_of(chart)


def test_colours_are_those_of_the_pages():
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())
    theme = config["theme"]
    assert list(report_page.COLOURS) == theme["light"]["chartCategoricalColors"]
    assert list(report_page.DARK_COLOURS) == theme["dark"]["chartCategoricalColors"]
    assert len(report_page.COLOURS) == len(MEANINGS)


def test_the_command_writes_it(held, tmp_path, capsys):
    run = finished(held, wording="a secret {i} {split} {label}")
    out = tmp_path / "report.html"
    assert cli.main(["report", run.id, "--out", str(out), "--no-texts"]) == 0
    assert "a secret" not in out.read_text()
    assert cli.main(["report", run.id, "--out", str(out)]) == 0
    assert "a secret" in out.read_text()
    assert cli.main(["report", "A" * 22, "--out", str(out)]) == 1
    assert "no such run" in capsys.readouterr().err


@pytest.mark.parametrize("labels", [("שאלה", "مديح"), ("苦情", "質問"), ("a" * 300, "b")])
def test_other_scripts_and_long_labels_are_drawn(labels, held):
    page = report_of_run(finished(held, labels=labels, wording="{label} " * 500 + "{i} {split}"))
    assert all(label in page for label in labels)
    assert "…" in page
