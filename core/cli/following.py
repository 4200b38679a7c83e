"""A run followed on the command line to its end, and its result."""

import json
import signal
import sys
import time

from tqdm import tqdm

from core.runs.results import outputs
from core.runs.training import queue, run_events, states
from core.runs.training.run import Run


def follow(run: Run) -> None:
    """Show the run's progress until it ends; Ctrl-C asks it to stop and goes on watching."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        print("stopping at the next step; the best weights so far are kept", file=sys.stderr)
        # What was interrupted may hold what cancelling needs: it is done in turn.
        asked.append(number)

    previous = signal.signal(signal.SIGINT, ask)
    try:
        with tqdm(unit=" steps", file=sys.stderr) as bar:
            # A lost run is about to be resumed, or to be called interrupted.
            while states.state(run).live or states.is_lost(run):
                if asked:
                    queue.cancel(run)
                    asked.clear()
                # Should the worker have been lost, the next look starts another.
                queue.ensure_worker()
                _show_progress(bar, run)
                time.sleep(0.5)
            _show_progress(bar, run)
    finally:
        signal.signal(signal.SIGINT, previous)


def _show_progress(bar: tqdm, run: Run) -> None:
    for event in run_events.follow(run):
        if event["type"] == "started":
            bar.total = event["total_steps"]
        elif event["type"] == "step":
            bar.n = event["step"]
            bar.set_postfix_str(f"loss {event['loss']:.3f}", refresh=False)
    bar.refresh()


def tell_result(run: Run, as_json: bool) -> int:
    """Print how the run ended and its scores. Returns the exit code: 0 if it finished."""
    state, report = states.state(run), outputs.report_of(run)
    if as_json:
        print(
            json.dumps({"run": run.id, "folder": str(run.folder), "status": state.status, **(report or {})})
        )
    if state.status != "finished" or report is None:
        print(f"error: the run is {state.status}: {state.reason} {state.remedy}".rstrip(), file=sys.stderr)
        return 1
    if as_json:
        return 0
    scores = report["test"] or report["validation"]
    if scores:
        split = "test" if report["test"] else "validation"
        print(f"{split} accuracy {scores['accuracy']:.4f}, macro F1 {scores['macro_f1']:.4f}")
    print(f"run {run.id} in {run.folder}")
    return 0
