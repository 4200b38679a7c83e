"""What was made of a model to take away, in sentences."""

from core.base.formatting import count
from core.runs.results.exports import MADE, ONNX, ONNX_INT8, WEB, Made

TITLES = {ONNX: "ONNX float32", ONNX_INT8: "ONNX int8", WEB: "Web page"}


def button_of(made: Made, form: str) -> str:
    """What the button says that downloads one of `exports.MADE`."""
    if form == WEB:
        return "Download the web page"
    if form == ONNX:
        return "Download ONNX float32"
    return f"Download ONNX int8 ({_change_of(made)})"


def _change_of(made: Made) -> str:
    if made.change is None:
        return "accuracy not measured"
    points = round(100 * made.change, 1)
    return "±0.0 points" if points == 0 else f"{points:+.1f} points".replace("-", "−")


def facts_of(made: Made, form: str) -> str:
    """How its answers compare with PyTorch's."""
    if form == WEB:
        return "One file with the 8-bit model inside. It opens from the disk and needs no network."
    parity = made.parities[form]
    alike = (
        f"The same label as PyTorch for {parity.labels_equal:,} of {count(parity.texts, 'text')} (odd ones "
        f"among them); probabilities differ by at most {parity.largest_difference:.2g}."
    )
    if form == ONNX:
        return alike
    if made.change is None or parity.accuracy_torch is None or parity.accuracy_onnx is None:
        return f"{alike} What it changes in accuracy is not measured: no test texts are at hand."
    return (
        f"{alike} Accuracy on the test texts: {100 * parity.accuracy_torch:.1f}% before, "
        f"{100 * parity.accuracy_onnx:.1f}% after."
    )


def lacking(made: Made) -> dict[tuple[str, str, str], str]:
    """Why something could not be made (expected, found, remedy) → the forms that it concerns.

    Each reason stands once: what one form lacks, those that are made of it lack, too.
    """
    return {
        reason: ", ".join(TITLES[form] for form in MADE if made.lacking.get(form) == reason)
        for reason in dict.fromkeys(made.lacking.values())
    }
