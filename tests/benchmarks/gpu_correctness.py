"""The section `correctness`: whether what the GPU computes is right; see `gpu_checks`."""

from pathlib import Path

from tests.benchmarks.gpu_setup import Report, Settings


def measure(settings: Settings, report: Report) -> None:
    """Report each check."""
    from tests.benchmarks.gpu_checks import check

    check(settings.device, settings.model("minilm"), Path(settings.scratch) / "data", report)
