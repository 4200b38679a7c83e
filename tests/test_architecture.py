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
ADAPTERS = {
    "core/data/reading/excel/openpyxl_rows.py": ("openpyxl", "tests/data/test_openpyxl_rows.py"),
    "core/learning/models/torch_operations.py": ("torch", "tests/learning/test_torch_operations.py"),
    "pages/ui/tab.py": ("streamlit", "tests/pages/test_tab.py"),
}
"""The modules that reach for what a package keeps private: the package, and the contract test."""
UNDOCUMENTED = (
    "altair.vegalite",
    "pandas.core",
    "pyarrow.lib",
    "streamlit.delta_generator",
    "streamlit.elements",
    "streamlit.proto",
    "streamlit.runtime",
    "streamlit.web",
    "torch.native_layer_norm",
    "torch.ops",
    "transformers.modeling_utils",
)
"""What is not private by its name but in no documentation, with all that is in it."""
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


def is_private(name: str) -> bool:
    """Whether a name, as in `package.module._name`, is none that its package documents.

    The standard library is no package that comes in new versions, and documents `os._exit`.
    """
    if name.split(".")[0] in sys.stdlib_module_names:
        return False
    hidden = any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    return hidden or any(f"{name}.".startswith(f"{prefix}.") for prefix in UNDOCUMENTED)


def private_uses(path: Path) -> set[str]:
    """The private names of packages that a module uses: `package.module._name`, `?._name` of any object."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    imported = imported_names(nodes)
    own = own_names(nodes)
    uses = set(imported.values())
    for node in nodes:
        if isinstance(node, ast.Attribute):
            first, *rest = ast.unparse(node).split(".")
            if first in imported and all(map(str.isidentifier, rest)):
                uses.add(".".join([imported[first], *rest]))
            elif node.attr not in own:
                uses.add(f"?.{node.attr}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            uses |= {f"?.{name.value}" for name in node.args[1:2] if isinstance(name, ast.Constant)}
    return set(filter(is_private, uses))


def imported_names(nodes: list[ast.AST]) -> dict[str, str]:
    """The names that stand for something of another package, and what they stand for."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name if alias.asname else alias.name.split(".")[0]
                found[alias.asname or first] = first
                found[f"import {alias.name}"] = alias.name
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    ours = {"__future__", "core", "pages"}
    return {name: whole for name, whole in found.items() if whole.split(".")[0] not in ours}


def own_names(nodes: list[ast.AST]) -> set[str]:
    """The names that a module gives itself: functions, classes, fields, and what is assigned to `self`."""
    named = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    stored = [node for node in nodes if isinstance(getattr(node, "ctx", None), ast.Store)]
    named |= {node.id for node in stored if isinstance(node, ast.Name)}
    own = (node for node in stored if isinstance(node, ast.Attribute))
    return named | {node.attr for node in own if ast.unparse(node.value) in ("self", "cls")}


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


@pytest.mark.parametrize(
    "path",
    [*core_files(), *page_files(), PROJECT / "streamlit_app.py"],
    ids=lambda path: str(path.relative_to(PROJECT)),
)
def test_what_a_package_keeps_private_is_used_in_its_adapter_alone(path):
    package, _ = ADAPTERS.get(path.relative_to(PROJECT).as_posix(), (None, None))
    uses = private_uses(path)
    if package is None:
        assert uses == set(), "private names of a package: use its public ones, or its adapter"
    else:
        assert {use for use in uses if use.split(".")[0] not in (package, "?")} == set()
        assert any(use.startswith(f"{package}.") for use in uses), "it is no adapter any more"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_names_its_contract_test(adapter):
    _, contract = ADAPTERS[adapter]
    assert f"`{contract}`" in (PROJECT / adapter).read_text(encoding="utf-8")
    assert adapter in (PROJECT / contract).read_text(encoding="utf-8")


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
        "core.charts.comparison",
        "core.charts.confidence",
        "core.charts.confusion",
        "core.charts.counts",
        "core.charts.curves",
        "core.charts.probabilities",
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
        "core.runs.results.outputs",
        "core.runs.results.report_file",
        "core.runs.tasks.data_checks",
        "core.runs.training.engines",
        "core.runs.training.queue",
        "core.runs.training.states",
        "core.runs.training.store",
        "core.serving.attribution",
        "core.serving.export.hub",
        "core.serving.export.onnx_export",
        "core.serving.export.predict_script",
        "core.serving.file_labelling.labelling",
        "core.serving.file_labelling.writing",
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


@pytest.mark.parametrize(
    "page",
    [PROJECT / "streamlit_app.py", *sorted((PROJECT / "pages").glob("*.py"))],
    ids=lambda page: page.stem,
)
def test_no_value_stands_alone_in_a_page(page):
    """Streamlit would show it; the page's own docstring is the one that it spares."""
    statements = ast.parse(page.read_text(encoding="utf-8")).body[1:]
    assert [
        node.lineno
        for node in statements
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)
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
