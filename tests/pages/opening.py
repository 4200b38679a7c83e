"""Opening a page without a server, and reading what it says."""

from pathlib import Path

import pandas as pd
from streamlit.testing.v1 import AppTest

from core.data.storage.uploads import keep_upload

PROJECT = Path(__file__).resolve().parents[2]
PAGES = DATA, TRAIN, RUNS, PREDICT, CHECK, EXPORT, COMPARE = tuple(
    f"pages/{number}_{name}.py"
    for number, name in enumerate(("Data", "Train", "Runs", "Predict", "Check", "Export", "Compare"), 1)
)
ATTACKS = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "$\\alpha$",
    ":red[x]",
    "![](http://a.example/x.png)",
    "مرحبا بالعالم",
    "a very long label " * 12,
)


def open_page(file: str, /, **params: str) -> AppTest:
    app = AppTest.from_file(str(PROJECT / file), default_timeout=60)
    app.query_params.update(params)
    return app.run()


def view(run, name: str) -> AppTest:
    """One of the views of a run on the Runs page."""
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = name
    app.run()
    clean(app)
    return app


def table_with(app, column: str) -> pd.DataFrame:
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def words(app: AppTest) -> str:
    """Everything that the page says, as it is sent to the browser."""
    kinds = (
        "title",
        "subheader",
        "markdown",
        "caption",
        "text",
        "error",
        "warning",
        "info",
        "success",
        "code",
    )
    return "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))


def button(app: AppTest, label: str):
    return next(button for button in app.button if button.label == label)


def button_like(app: AppTest, beginning: str):
    return next(button for button in app.button if button.label.startswith(beginning))


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def confirm_deletion(app: AppTest) -> None:
    # A browser would rerun the dialog alone; here the button that opens it is pressed again with it.
    button(app, "Delete").click()
    button_like(app, "Delete it and free").click().run()


def clean_up(app: AppTest, days: int, delete: bool = False) -> AppTest:
    # As with the dialog above: the button that opens it is pressed with each run.
    button(app, "Clean up").click().run()
    button(app, "Clean up").click()
    app.number_input(key="old_days").set_value(days).run()
    if delete:
        button(app, "Clean up").click()
        button_like(app, "Delete ").click().run()
    clean(app)
    return app


def clean(app: AppTest) -> None:
    assert not app.exception, app.exception[0].message


def upload(content: bytes | str, name: str = "table.csv") -> str:
    return keep_upload(name, content.encode() if isinstance(content, str) else content).id
