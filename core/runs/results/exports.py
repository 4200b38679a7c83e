"""A model in every form in which it can be taken away; what takes long to make is kept beside the model.

    <run>/exports/<mark>/   model.onnx  model_quantized.onnx  index.html  made.json

The mark changes with the weights. State dict, zip and bundle are put together when they are asked for: that
is quick, and they have the calibration and the card of that moment.
"""

import hashlib
import json
import logging
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.base import folders
from core.base.disk import NoSpace, full_is_said, whole_file
from core.base.errors import UserError
from core.base.json_forms import Count, read_as
from core.data.storage.datasets import load_splits
from core.learning import pretrained
from core.learning.evaluation.calibration import read_calibration
from core.runs.results import bundle_contents, outputs, report_file
from core.runs.results.models import Model
from core.serving import imported_models
from core.serving.export import bundle as bundle_file
from core.serving.export.onnx_export import FILE_NAMES, Parity, Sample, export_onnx
from core.serving.web_page.web_page import write_web_page

log = logging.getLogger(__name__)

PTH, HUGGINGFACE, ONNX, ONNX_INT8, WEB, BUNDLE = FORMATS = (
    "pth",
    "huggingface",
    "onnx",
    "onnx-int8",
    "web",
    "bundle",
)
MADE = (ONNX, ONNX_INT8, WEB)
"""What takes long, and is kept."""

FOLDER = "exports"
NOTE = "made.json"
FILES = {ONNX: "model.onnx", ONNX_INT8: "model_quantized.onnx", WEB: bundle_file.PAGE}
NAMES = {ONNX: FILE_NAMES["fp32"], ONNX_INT8: FILE_NAMES["int8"], WEB: bundle_file.PAGE}
"""In the bundle."""
_TITLES = {ONNX: "ONNX float32", ONNX_INT8: "ONNX int8", WEB: "Web page"}
_PRECISIONS = {ONNX: "fp32", ONNX_INT8: "int8"}

NEUTRAL = (
    "The parcel came on Tuesday.",
    "Could somebody tell me when the next train leaves?",
    "This was better than I had expected, and I would do it again.",
    "Nobody answered my letter, so I am writing once more.",
    "Please change the address on my account.",
    "It rained all week.",
    "Three of the five lamps in the hall do not work any more, and the stairs are dark in the evening.",
    "Thank you.",
)
"""To compare a model's forms by when its own test texts are not at hand."""


@dataclass(frozen=True)
class Made:
    """What was made of a model and is kept."""

    folder: Path
    parities: dict[str, Parity]
    """By form; of ONNX and ONNX_INT8 those that were made."""
    lacking: dict[str, tuple[str, str, str]]
    """What could not be made: expected, found and remedy, by form."""
    measured: Count
    """Test texts that the accuracies of int8 were measured on; 0 when there were none."""
    calibration: str
    """Of the page."""

    def file(self, form: str) -> Path:
        """The file of one of `MADE`.

        Raises:
            UserError: it could not be made.
        """
        if form in self.lacking:
            raise UserError(*self.lacking[form])
        return self.folder / FILES[form]

    @property
    def change(self) -> float | None:
        """By how much int8 changes the accuracy on the test texts, -1 to 1; None where it is not measured."""
        parity = self.parities.get(ONNX_INT8)
        if parity is None or parity.accuracy_onnx is None or parity.accuracy_torch is None:
            return None
        return parity.accuracy_onnx - parity.accuracy_torch


def make(
    model: Model,
    progress: Callable[[str], None] = lambda step: None,
    place: Path | None = None,
    wanted: Sequence[str] = MADE,
) -> Made:
    """Make the ONNX files and the page of a model, and keep them.

    What cannot be made is noted with its reason; the rest is made all the same.

    Args:
        progress: told each step in words; what it raises ends the making, and nothing is kept.
        place: where to keep them: a folder that is there; None for beside the model.
        wanted: some of `MADE`; ONNX_INT8 needs ONNX, and WEB both.

    Raises:
        NoSpace: the disk is full.
        UserError: the model is gone.
    """
    place = place or _room(model)
    draft = place / f"{folders.DRAFT}{secrets.token_hex(8)}"
    sample = Sample(*texts_of(model))
    made = Made(draft, {}, {}, len(sample.texts) if sample.labels else 0, _calibration(model))
    try:
        with full_is_said("the ONNX files", 2 * folders.bytes_on_disk(model.folder), place):
            draft.mkdir()
            for form in wanted:
                _try(made, form, model, sample, progress)
            _note(made)
            return _settled(made, place, mark_of(model))
    except FileNotFoundError as error:
        raise UserError(
            "a model that is still here", "one that was deleted meanwhile", "Choose another."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def kept(model: Model) -> Made | None:
    """What was made of these weights before; None when nothing was, or it is damaged."""
    folder = model.place / FOLDER / mark_of(model)
    try:
        made = read_as(folder / NOTE, Made, folder=folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s of %s cannot be read: %s", NOTE, model.id, error)
        return None
    whole = all(form in made.lacking or (folder / FILES[form]).is_file() for form in MADE)
    return made if whole else None


def export_model(
    model: Model, form: str, out: Path, progress: Callable[[str], None] = lambda step: None
) -> None:
    """Write a model in one of `FORMATS`, making what is not kept.

    Raises:
        UserError: it cannot be had in this form.
        NoSpace: the disk is full.
    """
    if form in (PTH, HUGGINGFACE):
        _write_folder(model, form, out)
        return
    made = kept(model)
    if made is None and form == BUNDLE and model.run is not None:
        made = make(model, progress)
    if made is not None:
        write_made(model, made, form, out)
        return
    with tempfile.TemporaryDirectory(prefix="textuner-") as place:
        wanted = MADE if form == BUNDLE else MADE[: MADE.index(form) + 1]
        write_made(model, make(model, progress, Path(place), wanted), form, out)


def write_made(model: Model, made: Made, form: str, out: Path) -> None:
    """Write one of `MADE`, or the bundle with all of it that there is.

    Raises:
        UserError: it could not be made.
        NoSpace: the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="textuner-") as scratch:
        if form == BUNDLE:
            others = _others(model, made, Path(scratch))
            bundle_file.write_bundle(
                model.folder, card_of(model, (bundle_file.PREDICT, *others)), others, out
            )
            return
        file = made.file(form) if form != WEB else _page(model, made, Path(scratch))
        with full_is_said("the export", file.stat().st_size, out.parent), whole_file(out) as draft:
            shutil.copyfile(file, draft)


def card_of(model: Model, files: Sequence[str] = ()) -> str:
    """The model card, as Markdown. That of a model from a file is what came with it.

    Args:
        files: what lies beside the card, by its name in the bundle.
    """
    if model.run is not None:
        return bundle_contents.card_of(model.run, files)
    place = model.place if model.folder.name == imported_models.MODEL else model.folder
    return imported_models.card_of(place) or (
        "---\nlibrary_name: transformers\npipeline_tag: text-classification\n---\n\n"
        "A text classifier that came without a description.\n"
    )


def texts_of(model: Model) -> tuple[list[str], list[int] | None]:
    """Texts to compare a model's forms by, and their classes: its test texts, or neutral ones without."""
    if model.run is not None:
        try:
            test = load_splits(model.run.folder / "dataset").test
        except UserError as error:
            log.warning("the test texts of run %s cannot be read: %s", model.id, error)
        else:
            if test is not None and len(test):
                return test.texts, test.labels
    return list(NEUTRAL), None


def mark_of(model: Model) -> str:
    """What changes when the model does; its calibration aside."""
    marks = [name + _mark(model.folder / name) for name in (*pretrained.FILES, "tokenizer_config.json")]
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()[:22]


# Making


def _room(model: Model) -> Path:
    place = model.place / FOLDER
    with full_is_said("the exports", folders.bytes_on_disk(model.folder), model.place):
        try:
            # Without parents: a run that was deleted does not come back.
            place.mkdir(exist_ok=True)
        except FileNotFoundError as error:
            raise UserError("a model that is still here", "none", "Choose another one.") from error
    folders.sweep(place)
    return place


def _try(
    made: Made,
    form: str,
    model: Model,
    sample: Sample,
    progress: Callable[[str], None],
) -> None:
    def tell(step: str) -> None:
        progress(f"{_TITLES[form]}: {step[:1].lower()}{step[1:]}")

    try:
        if form == WEB:
            tell("packing the 8-bit model with a tokenizer and a runtime")
            write_web_page(made.file(ONNX_INT8), model.folder, made.folder / FILES[WEB], _name(model))
            return
        graph = made.file(ONNX) if form == ONNX_INT8 else None
        out = made.folder / FILES[form]
        made.parities[form] = export_onnx(model.folder, out, _PRECISIONS[form], sample, tell, graph)
    except NoSpace:
        raise
    except UserError as error:
        log.warning("%s of %s was not made: %s", _TITLES[form], model.id, error)
        made.lacking[form] = (error.expected, error.found, error.remedy)


def _note(made: Made) -> None:
    facts = {
        "parities": {form: asdict(parity) for form, parity in made.parities.items()},
        "lacking": made.lacking,
        "measured": made.measured,
        "calibration": made.calibration,
    }
    (made.folder / NOTE).write_text(json.dumps(facts), encoding="utf-8")


def _settled(made: Made, place: Path, mark: str) -> Made:
    """In the place of all that was made before, of these weights or of older ones."""
    for old in place.glob("[!.]*"):
        folders.clear(folders.move_to_trash(old))
    made.folder.rename(place / mark)
    return Made(place / mark, made.parities, made.lacking, made.measured, made.calibration)


# Putting together


def _write_folder(model: Model, form: str, out: Path) -> None:
    # Imported late: the pages and the CLI's listings import this package without torch.
    from core.serving.export.model_files import export_huggingface, export_state_dict

    if form == PTH:
        export_state_dict(model.folder, out)
    else:
        export_huggingface(model.folder, card_of(model), out)


def _others(model: Model, made: Made, scratch: Path) -> dict[str, Path]:
    """What the bundle holds beside the model folder, by its name there."""
    files = {NAMES[form]: made.file(form) for form in (ONNX, ONNX_INT8) if form not in made.lacking}
    if WEB not in made.lacking:
        files[NAMES[WEB]] = _page(model, made, scratch)
    report = model.place / imported_models.REPORT
    if report.is_file() and model.folder.name == imported_models.MODEL:
        files[imported_models.REPORT] = report
    if model.run is not None and outputs.report_of(model.run) is not None:
        # Without texts: a bundle travels farther than a report that somebody sends on purpose.
        report_file.write_report(model.run, scratch / bundle_file.REPORT_PAGE, texts=False)
        files[bundle_file.REPORT_PAGE] = scratch / bundle_file.REPORT_PAGE
    return files


def _page(model: Model, made: Made, scratch: Path) -> Path:
    """The page that was made, or a new one where the calibration has been changed since."""
    page = made.file(WEB)
    if made.calibration == _calibration(model):
        return page
    write_web_page(made.file(ONNX_INT8), model.folder, scratch / FILES[WEB], _name(model))
    return scratch / FILES[WEB]


def _calibration(model: Model) -> str:
    return str(read_calibration(model.folder))


def _name(model: Model) -> str:
    return model.run.name if model.run is not None else model.title


def _mark(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
