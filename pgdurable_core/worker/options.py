"""What a worker is told, what it tells while it runs, and what it looks like from outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pgdurable_core.errors import UsageError

WorkerState = Literal["starting", "running", "draining", "stopped"]

SHORTEST_LEASE: Final = 1.0


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """Something people may want to know. `kind` is one stable word; `data` holds plain values only."""

    kind: str
    message: str
    data: Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How to run a worker.

    `sql_sessions` connections run plain SQL steps; half as many, at least one, run session and autonomous SQL.
    `python_slots` processes run python and shell steps. `lease` is in seconds: for so long the server lets claims be
    held without a heartbeat. `logins` says for a role how to log in as it: a DSN or a reference (`env:`, `file:`,
    `cmd:`). With `until_idle` the worker drains when there is nothing to do and no timer is set. `parent_pipe` is a
    descriptor whose end means the same as the parent's death. `health` is where an endpoint answers `/healthz` and
    `/metrics`: host and port, 0 for any that is free. `on_event` is called from several threads and must not raise.
    Raises UsageError for what makes no worker.
    """

    dsn: str
    sql_sessions: int = 4
    python_slots: int = 2
    lease: float = 30.0
    name: str | None = None
    until_idle: bool = False
    json_logs: bool = False
    die_with_parent: bool = False
    parent_pipe: int | None = None
    health: tuple[str, int] | None = None
    logins: Mapping[str, str] = field(default_factory=dict)
    on_event: Callable[[WorkerEvent], None] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lease) and self.lease >= SHORTEST_LEASE):
            raise UsageError(
                f"the lease must be a finite number of seconds, at least {SHORTEST_LEASE:g}, not {self.lease:g}"
            )
        for what, count in (("SQL sessions", self.sql_sessions), ("processes", self.python_slots)):
            if count < 0:
                raise UsageError(f"the number of {what} must be 0 or more, not {count}")
        if self.sql_sessions + self.python_slots == 0:
            raise UsageError("a worker needs at least one SQL session or process", hint="--sql 1 or --python 1")

    @property
    def session_slots(self) -> int:
        return 0 if self.sql_sessions == 0 else max(1, self.sql_sessions // 2)


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """One thread of the worker: which lanes it serves, what it does, and for how many seconds.

    `outcomes` counts steps by (lane, what came of them); plain SQL steps count as `ended`.
    """

    lanes: tuple[str, ...]
    state: Literal["connecting", "idle", "working"]
    label: str | None
    seconds: float
    done: int
    children: int = 0
    outcomes: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A snapshot of a worker's health.

    `lease_remaining` is in seconds, 0 when the lease is lost or not yet given; `beat_age` is how long ago the server
    gave or renewed it, None before the first time. `health_url` is where the endpoint answers, if there is one.
    """

    name: str
    state: WorkerState
    worker_id: int | None
    is_connected: bool
    lease_remaining: float
    slots: tuple[SlotStatus, ...]
    steps_done: int
    last_error: str | None
    beat_age: float | None = None
    health_url: str | None = None

    @property
    def children(self) -> int:
        """Return how many child processes run or wait for steps."""
        return sum(slot.children for slot in self.slots)
