"""The stacks' processes: started one by one, at work in turn, stopped in between."""

import json
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tests.benchmarks.workload import PROJECT, Job


class Child:
    """A stack's process, loaded and warmed up.

    Between orders it is stopped by a signal: threads that wait for work in a busy loop, as OpenMP's do, would
    take the others' time.

    Raises:
        SystemExit: the process ended without an answer, or gave none in time; with the last lines that it
            wrote.
    """

    module = "tests.benchmarks.stacks"
    """What the process runs."""

    def __init__(self, job: Job, environment: Mapping[str, str]) -> None:
        self.job = job
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, json.dumps(asdict(job))],
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def answer(self, limit: float | None = None) -> dict[str, Any]:
        """What it says next; waits for it, for at most so many seconds."""
        # It says one line at a time: none is left in the buffer, which `select` does not see.
        if not select.select([self._process.stdout], [], [], limit)[0]:
            raise SystemExit(self._last_words(f"gave no answer in {limit:.0f} seconds"))
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise SystemExit(self._last_words("ended without an answer"))
        return json.loads(line)

    def pause(self) -> None:
        """Take it off the processor until it is asked again."""
        self._process.send_signal(signal.SIGSTOP)

    def work(self, seconds: float, limit: float | None = None) -> dict[str, Any]:
        """Let it work for at least so long, and take it off the processor again."""
        return self._in_turn(limit, seconds=seconds)

    def end(self, limit: float | None = None) -> dict[str, Any]:
        """Let it finish. Returns its last words."""
        self._order(seconds=0)
        answer = self.answer(limit)
        self.close()
        return answer

    def close(self) -> None:
        """See the process off, whatever it does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.close()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def kill(self) -> None:
        """End it at once; `close` still follows."""
        self._process.kill()

    def _last_words(self, fault: str) -> str:
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").splitlines()[-12:]
        return "\n".join([f"{self.job.stack} {fault}:", *last])

    def _in_turn(self, limit: float | None = None, **order: float) -> dict[str, Any]:
        self._order(**order)
        answer = self.answer(limit)
        self.pause()
        return answer

    def _order(self, **order: float) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
