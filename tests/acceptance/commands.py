"""The command as a user runs it: in a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Pgdurable:
    """Runs `pgdurable` in a folder, with nothing of the developer's own environment that could steer it."""

    folder: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        return [sys.executable, "-m", "pgdurable_core.cli", *map(str, arguments)]

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AIRFLOW"))}
        return {**kept, "PGDURABLE_HOME": str(self.home), "COLUMNS": "150", **self.environment}

    def __call__(
        self, *arguments: str | Path, typed: str | None = None, timeout: float = 120, **environment: str
    ) -> Said:
        done = subprocess.run(
            self.command(arguments),
            cwd=self.folder,
            env={**self.environ(), **environment},
            input="" if typed is None else typed,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def typed(self, answer: str, *arguments: str | Path, timeout: float = 60) -> Said:
        """Run a command at a terminal where a person types `answer`; everything it shows is in `out`."""
        here, there = pty.openpty()
        process = subprocess.Popen(
            self.command(arguments),
            cwd=self.folder,
            env={**self.environ(), "TERM": "xterm"},
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            # A shell's background job, as these tests may be, ignores Ctrl-C, and hands that on.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        os.close(there)
        os.write(here, f"{answer}\n".encode())
        shown = b""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                # Linux answers EIO when the last process has closed its side of a terminal (pty(7)).
                read = os.read(here, 65536)
            except OSError:
                break
            if not read:
                break
            shown += read
        os.close(here)
        return Said(process.wait(timeout=5), shown.decode(errors="replace").replace("\r\n", "\n"), "")

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command that is to be interrupted; its process leads a session of its own."""
        return subprocess.Popen(
            self.command(arguments),
            cwd=self.folder,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
