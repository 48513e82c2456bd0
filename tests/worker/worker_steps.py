"""Claims as the engine hands them out, and a log that keeps what it is sent."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from pgdurable_core.worker.claims import Attempt, ClaimedStep, Lease, lease_clock
from pgdurable_core.worker.output import StepLog
from pgdurable_core.worker.secrets import Masker


def claim(**fields: Any) -> ClaimedStep:
    """Return a claimed step; `args_text` is JSON text, `args` a value."""
    if "args" in fields:
        fields["args_text"] = json.dumps(fields.pop("args"))
    fields["args_json"] = fields.pop("args_text", None)
    document = {
        "instance_id": "0123456789ab",
        "scope_id": 0,
        "step": 3,
        "token": 77,
        "key": "load",
        "kind": "python",
        "map_index": 2,
        "idempotency_key": "0123456789ab/3/0",
        "attempt": 2,
    } | fields
    return ClaimedStep.from_json(json.dumps(document))


def attempt(step: ClaimedStep, lease_seconds: float = 60) -> Attempt:
    return Attempt(step, Lease(1, lease_seconds, lease_clock()))


class KeptLog(StepLog):
    """A step log whose sent lines can be read."""

    def __init__(self, masker: Masker | None = None) -> None:
        self.sent: list[tuple[str, str]] = []
        super().__init__(self._keep, masker or Masker())

    def _keep(self, stream: str, lines: list[str]) -> None:
        self.sent.extend((stream, line) for line in lines)


class Modules:
    """A module store: `pin` gives the hash, `fetch` the content."""

    def __init__(self, **sources: str) -> None:
        self.by_hash: dict[tuple[str, str], str] = {}
        self.fetched: list[str] = []
        self.pins = {name.replace("__", "."): self.add(name.replace("__", "."), text) for name, text in sources.items()}

    def add(self, name: str, text: str) -> str:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.by_hash[name, sha256] = text
        return sha256

    def fetch(self, name: str, sha256: str) -> str:
        self.fetched.append(name)
        return self.by_hash[name, sha256]


def read_pids(path: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if path.exists() and len(words := path.read_text().split()) == count:
            return [int(word) for word in words]
        time.sleep(0.01)
    raise AssertionError("the callable never started")


def read_pid(path: Path) -> int:
    return read_pids(path, 1)[0]


def gone(pid: int) -> bool:
    """Whether the process ends within five seconds; a zombie has ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
