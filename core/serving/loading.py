"""A classifier is loaded beside whatever else goes on: torch alone takes a second or two to come in."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.serving.classifier import Classifier

_SHORT = "a"


def load_ahead(folder: Path) -> Future[Classifier]:
    """Begin to load a model folder in a thread, and come back at once.

    Returns:
        What will hold the classifier, uncalibrated and warmed up, or the error that came of it.
    """
    loaded: Future[Classifier] = Future()
    # It ends with the server, which need not wait for it.
    Thread(target=_load, args=(folder, loaded), name="load-ahead", daemon=True).start()
    return loaded


def _load(folder: Path, loaded: Future[Classifier]) -> None:
    try:
        from core.serving.classifier import Classifier

        classifier = Classifier.load(folder, calibrated=False)
        # The first pass through a network builds what all later ones use.
        classifier.predict([_SHORT])
        loaded.set_result(classifier)
    except BaseException as error:  # noqa: BLE001 - a thread's boundary: whoever asks for the result gets it
        loaded.set_exception(error)
