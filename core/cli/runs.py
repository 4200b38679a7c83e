"""The commands `runs`, `resume`, `wait`, `stop` and `delete`."""

import argparse
import json
import sys
from typing import Any

from core.base.errors import UserError
from core.base.formatting import count, size
from core.cli.arguments import JSON_HELP, Command, Commands, add_command
from core.cli.following import follow, tell_result
from core.runs.results import cleaning, outputs
from core.runs.training import processes, queue, run_events, states, store
from core.runs.training.run import Run


def runs(options: argparse.Namespace) -> int:
    """List all runs, newest first."""
    rows = [_row(run) for run in store.list_runs()]
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        accuracy = f"{row['accuracy']:.3f}" if row["accuracy"] is not None else "-"
        print(f"{row['id']}  {row['status']:<11}  {accuracy:>5}  {row['model'] or '-'}  {row['name'] or '-'}")
    return 0


def resume(options: argparse.Namespace) -> int:
    """Let an interrupted run go on from its last snapshot, and follow it to its end."""
    queue.resume(store.find_run(options.run))
    if options.detach:
        return 0
    return wait(options)


def wait(options: argparse.Namespace) -> int:
    """Follow a run to its end."""
    run = store.find_run(options.run)
    follow(run)
    return tell_result(run, options.json)


def stop(options: argparse.Namespace) -> int:
    """Ask a run to stop; its best weights so far are kept, and can be used at once."""
    run = store.find_run(options.run)
    state = states.state(run)
    if not state.live:
        raise UserError(
            "a run that waits or is being trained",
            f"a run that is {state.status}",
            "There is nothing to stop.",
        )
    queue.cancel(run, options.now)
    print(f"run {run.id} is {states.state(run).status}", file=sys.stderr)
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete runs that no process works on, for good, singly or by age."""
    if not options.run and options.older_than is None:
        raise UserError("the id of a run, or --older-than DAYS", "neither", "See `runs` for the ids.")
    old = cleaning.older_than(options.older_than) if options.older_than is not None else []
    done = cleaning.delete([*map(store.find_run, options.run), *old])
    cleaning.sweep()
    print(f"{count(done.deleted, 'run')} deleted, {size(done.freed)} freed", file=sys.stderr)
    for run, error in done.refused:
        print(f"error: run {run.id}: {error}", file=sys.stderr)
    return 1 if done.refused else 0


def _row(run: Run) -> dict[str, Any]:
    state, report = states.state(run), outputs.report_of(run) or {}
    scores = report.get("test") or report.get("validation") or {}
    process, (step, total_steps) = processes.trainer_of(run), run_events.progress(run)
    return {
        "id": run.id,
        "status": state.status,
        "reason": state.reason,
        "folder": str(run.folder),
        "pid": process.pid if process else None,
        "step": step,
        "total_steps": total_steps,
        "name": run.name,
        "model": "" if run.damage else run.config.model,
        "created": run.created,
        "seconds": state.seconds,
        "position": queue.position(run) if state.status == "queued" else None,
        "expected_wait": queue.expected_wait(run) if state.status == "queued" else None,
        "accuracy": scores.get("accuracy"),
        "macro_f1": scores.get("macro_f1"),
    }


def add_runs(commands: Commands) -> None:
    """The command `runs`."""
    add_command(commands, "runs", runs).add_argument("--json", action="store_true")


def add_resume(commands: Commands) -> None:
    """The command `resume`."""
    command = _add_following_command(commands, "resume", resume)
    command.add_argument("--detach", action="store_true", help="do not wait for its end")


def add_wait(commands: Commands) -> None:
    """The command `wait`."""
    _add_following_command(commands, "wait", wait)


def _add_following_command(commands: Commands, name: str, function: Command) -> argparse.ArgumentParser:
    """A command that follows a run to its end."""
    command = add_command(commands, name, function)
    command.add_argument("run", metavar="RUN")
    command.add_argument("--json", action="store_true", help=JSON_HELP)
    return command


def add_stop(commands: Commands) -> None:
    """The command `stop`."""
    command = add_command(commands, "stop", stop)
    command.add_argument("run", metavar="RUN")
    command.add_argument("--now", action="store_true", help="do not wait for the end of its step")


def add_delete(commands: Commands) -> None:
    """The command `delete`."""
    command = add_command(commands, "delete", delete)
    command.add_argument("run", metavar="RUN", nargs="*")
    command.add_argument("--older-than", type=float, metavar="DAYS", help="and all that ended before that")
