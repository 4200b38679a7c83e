"""Imports point one way, and pages that only show things stay light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = {
    "base": set(),
    "charts": {"base"},
    "data": {"base"},
    "learning": {"data", "base"},
    "serving": {"learning", "data", "charts", "base"},
    "runs": {"serving", "learning", "data", "charts", "base"},
    "cli": {"runs", "serving", "learning", "data", "base"},
    "__main__": {"cli"},
    "__init__": set(),
}
"""What each room of core may import beside itself."""
MOST_MODULES = 13
MOST_LINES_OF_A_PAGE = 150


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


def page_files() -> list[Path]:
    return sorted((PROJECT / "pages").rglob("*.py"))


FOLDERS = sorted({path.parent for path in core_files() + page_files()})


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_core_imports_point_one_way(path):
    part = path.relative_to(PROJECT / "core").parts[0].removesuffix(".py")
    imported = {name.split(".")[1] for name in imported_modules(path) if name.startswith("core.")}
    assert imported <= ROOMS[part] | {part}
    assert not any(name.split(".")[0] == "streamlit" for name in imported_modules(path))
    # Icons, colour directives and files of pages belong to the pages.
    assert not re.search(r":material/|-background\[|pages/\d_", path.read_text(encoding="utf-8"))
    if part == "data":
        assert not {"torch", "transformers"} & {name.split(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("path", page_files(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_sections_know_only_their_own_page(path):
    imported = {name for name in imported_modules(path) if name.startswith("pages.")}
    shared = {shared.stem for shared in (PROJECT / "pages" / "ui").glob("*.py")}
    assert all(name.startswith("pages.ui.") or name == "pages.ui" for name in imported)
    folders = {name.split(".")[2] for name in imported if name.count(".") > 2} - shared
    own = path.stem.split("_")[-1].lower() if path.parent.name == "pages" else path.parent.name
    assert folders <= {own} - {"ui"}


@pytest.mark.parametrize("page", sorted((PROJECT / "pages").glob("*.py")), ids=lambda page: page.stem)
def test_a_page_is_short(page):
    assert len(page.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_A_PAGE


@pytest.mark.process
def test_modules_of_pages_and_commands_do_not_load_what_takes_long():
    modules = (
        "core.charts",
        "core.cli.main",
        "core.data.reading.streaming",
        "core.data.storage.datasets",
        "core.learning.config",
        "core.learning.evaluation.calibration",
        "core.learning.evaluation.comparison",
        "core.learning.evaluation.full_report",
        "core.learning.evaluation.metrics",
        "core.learning.pretrained",
        "core.runs.results.bundle_contents",
        "core.runs.results.comparison",
        "core.runs.results.evaluated_texts",
        "core.runs.results.facts",
        "core.runs.results.models",
        "core.runs.results.report_file",
        "core.runs.tasks.data_checks",
        "core.runs.training.engines",
        "core.runs.training.queue",
        "core.runs.training.store",
        "core.serving.attribution",
        "core.serving.export.hub",
        "core.serving.export.onnx_export",
        "core.serving.export.predict_script",
        "core.serving.file_labelling",
        "core.serving.imported_models",
        "core.serving.loading",
        "core.serving.report.report_page",
        "core.serving.similar_texts",
        "core.serving.spreadsheets",
        "core.serving.web_page.web_page",
    )
    sections = [
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for path in page_files()
        if path.parent.name != "pages"
    ]
    modules = (*modules, *sections)
    heavy = {"torch", "transformers", "pydantic"}
    check = f"import sys, {', '.join(modules)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_folder_holds_few_modules():
    crowded = {
        str(folder): sum(1 for path in folder.glob("*.py") if path.stem != "__init__") for folder in FOLDERS
    }
    assert {folder: modules for folder, modules in crowded.items() if modules > MOST_MODULES} == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(PROJECT)))
def test_the_readme_of_a_folder_names_its_files(folder):
    there = {path.name for path in folder.iterdir() if path.is_file()} - {"__init__.py", "README.md"}
    said = (folder / "README.md").read_text(encoding="utf-8")
    assert {name for name in there if f"`{name}`" not in said} == set()
    named = set(re.findall(r"^\| `([\w.]+\.\w+)` \|", said, re.MULTILINE))
    assert named - there == set()


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
    assert readers == {"onnx_process", "bundle_predict"}


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


def test_the_readme_of_the_tests_names_folders_and_helpers():
    tests = PROJECT / "tests"
    said = (tests / "README.md").read_text(encoding="utf-8")
    folders = {f"{path.name}/" for path in tests.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    helpers = {path.name for path in tests.glob("*.py") if not path.name.startswith(("test_", "__"))}
    assert {name for name in folders | helpers if f"`{name}`" not in said} == set()
    assert set(re.findall(r"^\| `([\w.]+/?)`", said, re.MULTILINE)) >= folders | helpers
