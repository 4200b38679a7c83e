"""What all tests share: a home of their own, and a model small enough to train in a second."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is loaded. The workers share the cores: threads of each would wait for the others'.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import core.learning  # noqa: F401 - its settings come before torch
from tests.examples import IN_CI, QUICK_EXAMPLES
from tests.processes import processes_of
from tests.tiny import tiny_splits, write_tiny_model

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test asks a hub, unless it says where one is.
os.environ["HF_HUB_OFFLINE"] = "1"
# A shell starts what is put in the background with Ctrl-C ignored, and children inherit that: a test that
# interrupts one would wait for an end that never comes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("quick", max_examples=QUICK_EXAMPLES, deadline=None)
settings.load_profile("ci" if IN_CI else "quick")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# Marks of all tests of a folder directly under tests/.
MARKS_OF_FOLDERS = {"browser": "browser", "faults": "process"}
# Seconds for a test that waits for processes, a browser or a long computation; a hanging one is still ended.
LONG_TIMEOUT = 1200


def pytest_collection_modifyitems(items) -> None:
    tests = Path(__file__).parent
    for item in items:
        mark = MARKS_OF_FOLDERS.get(item.path.relative_to(tests).parts[0])
        if mark:
            item.add_marker(mark)
        long = any(map(item.get_closest_marker, ("process", "browser", "slow")))
        if long and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT))


@pytest.fixture(autouse=True)
def textuner_home(tmp_path, monkeypatch) -> Path:
    """An empty home for every test: nothing is read from or written to the person's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("TEXTUNER_HOME", str(home))
    return home


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """What keeps the locks of runs and jobs at work."""
    with ExitStack() as locks:
        yield locks


@pytest.fixture
def nothing_left_running(textuner_home):
    """Ends the processes that the test started and left."""
    yield
    for process in processes_of(textuner_home):
        process.kill()


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """A folder of models with one in it: `tiny`, a two-layer BERT with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(folder)
    return folder.parent


@pytest.fixture(scope="session")
def tiny_model(tiny_models, tmp_path_factory) -> Path:
    """A model folder of the tiny model, trained on the ten texts. Not to be changed by a test."""
    from core.learning.config import TrainingConfig
    from core.learning.training.hooks import Hooks
    from core.learning.training.train import train_classifier

    folder = tmp_path_factory.mktemp("trained") / "model"
    settings = {"epochs": 10, "batch_size": 4, "learning_rate": 5e-3, "max_length": 16}
    config = TrainingConfig(model="local/tiny", precision="fp32", **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTUNER_MODELS", str(tiny_models))
        train_classifier(tiny_splits(), config, folder, Hooks(lambda _: None, lambda: False))
    return folder


@pytest.fixture
def tiny(tiny_models, monkeypatch) -> str:
    """The name in the catalogue of a two-layer BERT with random weights."""
    monkeypatch.setenv("TEXTUNER_MODELS", str(tiny_models))
    return "local/tiny"


@pytest.fixture
def splits():
    """Six training, two validation and two test texts in two classes."""
    return tiny_splits()


@pytest.fixture
def dataset(splits):
    """The ten texts as a saved data set."""
    from core.data.storage.datasets import save_dataset

    return save_dataset("ten texts", splits, [], {"file": "ten.csv"})


@pytest.fixture
def no_worker(monkeypatch):
    """Nobody drains the line of runs."""
    monkeypatch.setattr("core.runs.training.engines.start_worker", lambda: None)
