"""What a worker holds: a claimed step, its lease, and how its attempt ended."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pgdurable_core.graph.model import JsonValue

StopReason = Literal["cancel", "timeout", "lease", "shutdown"]


def lease_clock() -> float:
    """Return seconds that never go back and that a suspended machine does not stop (CLOCK_BOOTTIME on Linux)."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a result is kept, in rows and bytes, as the instance captured it when it started."""

    rows: int = 10_000
    size: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ClaimedStep:
    """One answer of `df.claim_step`; `text` is that answer as it came.

    `sql` is None when names must be put into the text first, which `df.session_text` does for the step's role alone.
    """

    text: str
    instance_id: str
    scope_id: int
    step: int
    token: int
    key: str
    kind: str
    label: str
    idempotency_key: str
    attempt: int = 1
    class_: str | None = None
    role: str | None = None
    login: str | None = None
    sql: tuple[str, ...] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    command: str | None = None
    env: Mapping[str, str] | None = None
    append_env: bool = False
    cwd: str | None = None
    limits: Limits = Limits()

    @classmethod
    def from_json(cls, text: str) -> ClaimedStep:
        """Read the JSON of a claim; fields this version does not know are left to the child that gets the text."""
        raw = json.loads(text)
        env = raw.get("env")
        map_index = raw.get("map_index")
        sql = raw.get("sql")
        return cls(
            text=text,
            instance_id=raw["instance_id"],
            scope_id=raw["scope_id"],
            step=raw["step"],
            token=raw["token"],
            key=raw["key"],
            kind=raw["kind"],
            label=raw["key"] if map_index is None else f"{raw['key']}[{map_index}]",
            idempotency_key=raw["idempotency_key"],
            attempt=raw.get("attempt") or 1,
            class_=raw.get("class"),
            role=_unquoted(raw.get("role")),
            login=raw.get("login"),
            sql=None if sql is None else tuple(sql),
            settings=raw.get("settings") or {},
            modules=raw.get("modules") or {},
            command=raw.get("command"),
            env=None if env is None else {name: _as_text(value) for name, value in env.items()},
            append_env=bool(raw.get("append_env")),
            cwd=raw.get("cwd"),
            limits=_limits(raw),
        )

    @property
    def claim(self) -> list[object]:
        """Return what every report begins with: instance, scope, step, token."""
        return [self.instance_id, self.scope_id, self.step, self.token]

    def environment(self) -> dict[str, str]:
        """Return what every child is told about its step."""
        return {
            "PGDURABLE_INSTANCE_ID": self.instance_id,
            "PGDURABLE_STEP": self.label,
            "PGDURABLE_TRY_NUMBER": str(self.attempt),
            "PGDURABLE_IDEMPOTENCY_KEY": self.idempotency_key,
        }


def _limits(raw: Mapping[str, int | None]) -> Limits:
    default = Limits()
    return Limits(raw.get("max_rows") or default.rows, raw.get("max_bytes") or default.size)


def _unquoted(name: str | None) -> str | None:
    """Undo quote_ident, which the server's text of a role applies to unusual names."""
    return name[1:-1].replace('""', '"') if name and name.startswith('"') else name


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Lease:
    """How long the server lets this worker hold its claims, by this machine's clock.

    The time counts from before the request was sent, so the lease ends here no later than there. `is_lost` turns true
    a margin earlier, which is the time it takes to kill what runs.
    """

    def __init__(self, worker_id: int, seconds: float, asked_at: float) -> None:
        self.worker_id = worker_id
        self.seconds = seconds
        self.margin = min(2.0, seconds / 4)
        self._until = asked_at + seconds
        self._revoked = False

    def renewed(self, asked_at: float) -> None:
        """Count the lease from `asked_at`, unless it was lost before: what was killed stays given up."""
        if not self.is_lost:
            self._until = asked_at + self.seconds

    def revoke(self) -> None:
        """Give the lease up: the server no longer knows it."""
        self._revoked = True

    @property
    def remaining(self) -> float:
        return 0.0 if self._revoked else max(0.0, self._until - self.margin - lease_clock())

    @property
    def is_lost(self) -> bool:
        return self.remaining == 0.0


@dataclass(frozen=True, slots=True)
class Completed:
    """The step did its work; `result` is JSON text, None for SQL that returned no rows."""

    result: str | None
    row_count: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; whether there is another one is for the engine to say."""

    error: Mapping[str, JsonValue]
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Skipped:
    """The step said that there is nothing to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The executor has told the engine itself, in the transaction of the step's effects."""

    state: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nothing may be reported: the lease is lost or the worker stops at once. The engine will notice."""

    reason: str


Outcome = Completed | Failed | Skipped | Reported | Abandoned


def error(
    sqlstate: str | None, message: str, *, hint: str | None = None, detail: str | None = None
) -> dict[str, JsonValue]:
    """Return the engine's form of an error."""
    return {"sqlstate": sqlstate, "message": message, "detail": detail, "hint": hint, "context": None}


class Attempt:
    """One claimed step while it runs: its lease, and whether somebody wants it stopped. Safe between threads."""

    def __init__(self, step: ClaimedStep, lease: Lease) -> None:
        self.step = step
        self.lease = lease
        self.started = lease_clock()
        self._lock = threading.Lock()
        self._stop: StopReason | None = None

    def stop(self, reason: StopReason) -> bool:
        """Ask the executor to end the attempt; the first reason stays. Return whether this was the first."""
        with self._lock:
            first, self._stop = self._stop is None, self._stop or reason
        return first

    @property
    def stop_reason(self) -> StopReason | None:
        """Return why the attempt must end, a lost lease before anything else, or None."""
        return "lease" if self.lease.is_lost else self._stop

    def outcome_of_stop(self) -> Outcome:
        """Return how an attempt ends that was stopped for `stop_reason`."""
        match self.stop_reason:
            case "timeout":
                return Failed(error("PD408", f"step {self.step.label}: timed out"))
            case "cancel":
                return Failed(error("PD499", f"step {self.step.label}: cancelled"), retryable=False)
            case "lease":
                return Abandoned("the worker's lease ended")
            case "shutdown" | None:
                return Abandoned("the worker was stopped")
