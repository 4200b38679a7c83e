"""Imports point one way, and pages that only show things stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
LEAVES = {"errors", "home", "words", "charts", "disk", "folders", "locks"}
MAY_IMPORT = {
    "data": {"data"},
    "learning": {"learning", "data"},
    "serving": {"serving", "learning", "data"},
    "runs": {"runs", "serving", "learning", "data"},
    "charts": set(),
    "words": set(),
    "errors": set(),
    "home": set(),
    "disk": set(),
    "folders": set(),
    "locks": set(),
    "__main__": {"predicting", "runs", "serving", "learning", "data"},
    "predicting": {"runs", "serving", "learning", "data"},
    "__init__": set(),
}


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def core_files() -> list[Path]:
    return sorted((PROJECT / "core").rglob("*.py"))


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_core_imports_point_one_way(path):
    part = path.relative_to(PROJECT / "core").parts[0].removesuffix(".py")
    imported = {name.split(".")[1] for name in imported_modules(path) if name.startswith("core.")}
    assert imported <= MAY_IMPORT[part] | LEAVES
    assert not any(name.split(".")[0] == "streamlit" for name in imported_modules(path))
    if part == "data":
        assert not {"torch", "transformers"} & {name.split(".")[0] for name in imported_modules(path)}


@pytest.mark.process
def test_modules_of_pages_that_only_show_do_not_load_torch():
    modules = "core.runs.training.store, core.runs.training.queue, core.runs.training.engines, core.runs.results.bundle_contents, core.learning.config, "
    modules += (
        "core.learning.pretrained, core.charts, core.data.storage.datasets, core.serving.spreadsheets, "
    )
    modules += "core.runs.tasks.studies, core.runs.results.models, core.learning.evaluation.metrics, core.learning.evaluation.calibration, "
    modules += "core.learning.evaluation.full_report, core.learning.evaluation.comparison, core.runs.results.comparison"
    modules += ", core.serving.loading, core.serving.attribution, core.serving.similar_texts"
    modules += ", core.serving.file_labelling, core.data.reading.streaming"
    modules += ", core.serving.export.onnx_export, core.serving.web_page.web_page, core.serving.export.predict_script"
    modules += ", core.runs.results.evaluated_texts, core.runs.results.facts, core.runs.results.report_file, core.serving.report.report_page"
    modules += ", core.serving.export.hub"
    modules += ", core.serving.imported_models"
    check = f"import sys, {modules}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", sorted((PROJECT / "pages").glob("*.py")), ids=lambda page: page.stem)
def test_no_string_stands_alone_in_a_page(page):
    """Streamlit would show it; the page's own docstring is the one that it spares."""
    statements = ast.parse(page.read_text(encoding="utf-8")).body[1:]
    assert [
        node.lineno
        for node in statements
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ] == []


def test_an_onnx_file_is_read_only_where_it_was_written():
    """One of an imported bundle is somebody else's: the app answers from safetensors alone."""
    readers = {
        path.stem
        for path in core_files()
        if {name.split(".")[0] for name in imported_modules(path)} & {"onnx", "onnxruntime"}
    }
    # The second is the script of a bundle, which people run themselves.
    assert readers == {"onnx_maker", "bundle_predict"}


def test_top_level_holds_nothing_else():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    visible = {name.split("/")[0] for name in listed if not name.startswith(".")}
    assert visible <= {
        "README.md",
        "requirements.txt",
        "streamlit_app.py",
        "pages",
        "core",
        "tests",
        "Dockerfile",
    }
