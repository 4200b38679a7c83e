"""Processes that Linux has ended for lack of memory. Standard library only."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from threading import Thread

_UNIFIED, _LEGACY = "memory.events", "memory.oom_control"
"""Where control groups count them: version 2, with the groups inside; and version 1, each group its own."""


def memory_kills(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """How many there were so far: in this process's control group, else on the whole machine.

    The nearest group that counts, since a child is of its parent's group; what other containers do is not
    taken for the child's end. None where nobody counts, as on other systems than Linux.
    """
    for file in (*_files(proc, groups), proc / "vmstat"):
        try:
            counts = dict(line.split() for line in file.read_text().splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def see_off(process: Popen[bytes], kills_before: int | None, memory_ran_out: Callable[[], None]) -> None:
    """Wait for a process in the background: so it stays behind as no zombie, and lack of memory is said.

    Args:
        kills_before: what `memory_kills` gave before its start.
        memory_ran_out: called when the system most likely ended it for lack of memory: it could not say so.
    """

    def wait() -> None:
        code = process.wait()
        if code == -9 and kills_before is not None and memory_kills() != kills_before:
            with suppress(OSError):
                memory_ran_out()

    Thread(target=wait, daemon=True).start()


def _files(proc: Path, groups: Path) -> Iterator[Path]:
    """The own group's counters, then those of the groups around it, as far as this container shows them."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        # See cgroups(7): hierarchy, its controllers (none in version 2), and the group's path in it.
        _, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield from _upwards(groups / "memory", group, _LEGACY)
        elif not controllers:
            yield from _upwards(groups, group, _UNIFIED)
            # Where both versions are mounted.
            yield from _upwards(groups / "unified", group, _UNIFIED)


def _upwards(root: Path, group: str, name: str) -> Iterator[Path]:
    # A path out of the container begins with "..": only what is at the mount can be seen.
    parts = [] if ".." in Path(group).parts else [part for part in group.split("/") if part]
    for depth in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:depth], name)
