"""Processes that live exactly as long as a run: its worker, and what the environment wants beside it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from pgdurable_core.errors import PgDurableError
from pgdurable_core.worker.processes import GuardedProcess

# How long a command beside a run may take until it has said its first word, or is taken to be ready without one.
READY_SECONDS = 2.0
LOOK_EVERY = 0.1
SECOND_CALL = 0.3


class CompanionError(PgDurableError):
    """A process that a run needs ended before the run did."""


class Companion:
    """A command with its children in a process group of their own, which dies with us, whatever kills us.

    Ctrl-C of the terminal does not reach it: its owner ends it, after what depends on it.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, grace: float = 10.0
    ) -> None:
        self.name = name
        self.said: deque[str] = deque(maxlen=20)
        self._grace = grace
        # The programs of our own virtual environment first, whether or not it was activated.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._process = GuardedProcess(command, env=environment, cwd=str(cwd), on_lines=self._keep)
        self._ends = threading.Event()
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)
        self._reader.start()

    def __enter__(self) -> Companion:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(at_once=isinstance(error, KeyboardInterrupt))

    def wait_ready(self) -> None:
        """Return when it has printed a line, or after two seconds of silence; raise when it has ended."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.said and time.monotonic() < deadline:
            self.check()
            time.sleep(0.02)
        self.check()

    def check(self) -> None:
        """Raise CompanionError, with its last words, when it has ended."""
        code = self._process.exit_code
        if code is not None:
            words = "\n".join(self.said) or "it said nothing"
            raise CompanionError(f"{self.name} ended with status {code}", detail=words)

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to end, and end it after a grace; `at_once` asks twice, on which a worker gives up its steps."""
        if self._ends.is_set():
            return
        self._ends.set()
        self._reader.join()
        if at_once and self._process.exit_code is None:
            self._process.terminate()
            time.sleep(SECOND_CALL)
        self._process.stop(grace=self._grace)
        self._process.close()

    def _read(self) -> None:
        while not self._ends.is_set():
            self._process.pump(LOOK_EVERY)
            if self._process.exit_code is not None:
                self._process.drain()
                return

    def _keep(self, _stream: str, lines: list[str]) -> None:
        self.said.extend(lines)


def beside(command: str | Sequence[str], folder: Path) -> Companion:
    """Start what an environment wants beside its runs; text goes through the shell."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    shown = command if isinstance(command, str) else " ".join(command)
    return Companion(f"the command beside the run ({shown})", words, cwd=folder, grace=2.0)


def run_worker_beside(dsn: str, *, sql: int = 2, python: int = 2) -> Companion:
    """Start a worker for one run; the DSN travels in its environment, where `ps` does not show a password."""
    command = [
        # -P: what lies in the working folder must not be taken for a library.
        *(sys.executable, "-P", "-m", "pgdurable_core.cli", "worker", "--dsn", "env:PGDURABLE_RUN_DSN"),
        *("--sql", str(sql), "--python", str(python), "--name", f"run-{os.getpid()}"),
        "--with-parent",
    ]
    return Companion("the worker of this run", command, cwd=Path.cwd(), env={"PGDURABLE_RUN_DSN": dsn})
