"""The rows of the engine's views as values, one class per view, one field per column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgdurable_core.graph.model import JsonValue

InstanceStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
StepStatus = Literal[
    "waiting",
    "ready",
    "running",
    "sleeping",
    "retrying",
    "completed",
    "failed",
    "skipped",
    "upstream_failed",
    "removed",
    "cancelled",
]

CheckLevel = Literal["ok", "warn", "bad"]

FINISHED_INSTANCE: frozenset[InstanceStatus] = frozenset({"completed", "failed", "cancelled"})
FINISHED_STEP: frozenset[StepStatus] = frozenset(
    {"completed", "failed", "skipped", "upstream_failed", "removed", "cancelled"}
)


@dataclass(frozen=True, slots=True)
class EngineRow:
    """What a database says about the engine in it."""

    schema_version: int
    version: str
    draining: bool
    environment: str | None
    endpoint: str | None
    system_identifier: str | None
    database_oid: int | None
    is_test: bool


@dataclass(frozen=True, slots=True)
class ServerRow:
    """Where a connection leads."""

    database: str
    role: str
    version: str
    port: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """`df.workflows`."""

    namespace: str
    name: str
    version: int
    is_paused: bool
    schedule: str | None
    timezone: str
    next_run_at: datetime | None
    step_count: int
    doc: str | None
    owner: str | None
    tags: list[str] | None
    plan_hash: str
    created_at: datetime
    created_by: str
    actor: str | None


@dataclass(frozen=True, slots=True)
class MissingConnectionRow:
    """`df.missing_connections`: a step that names a connection which this database does not know."""

    namespace: str
    workflow: str
    key: str
    connection: str
    source: str | None


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """`df.instances`."""

    instance_id: str
    namespace: str
    workflow: str
    version: int
    label: str | None
    run_key: str | None
    status: InstanceStatus
    logical_date: datetime | None
    params: Mapping[str, JsonValue] | None
    error: JsonValue
    failed_step: str | None
    submitted_by: str
    actor: str | None
    reason: str | None
    traceparent: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    is_cancelling: bool

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_INSTANCE


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """How far an instance is; a retry that took effect is the next generation, one that did not is counted.

    `is_new` says that it was made since the asking transaction began.
    """

    instance_id: str
    status: InstanceStatus
    generation: int
    is_cancelling: bool
    is_new: bool
    refused_retries: int

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_INSTANCE


@dataclass(frozen=True, slots=True)
class StepRow:
    """`df.steps`: also the steps that have not been reached."""

    instance_id: str
    scope_id: int | None
    step: int
    key: str
    map_index: int | None
    kind: str
    class_: str | None
    status: StepStatus
    attempt: int | None
    max_attempts: int | None
    result: JsonValue
    row_count: int | None
    error: JsonValue
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None
    pid: int | None
    sql_text: str | None
    source: str | None
    rule: str | None
    after: list[str] | None
    doc: str | None
    reason: str | None

    @property
    def label(self) -> str:
        """Return the key, with its place in the map: `load[3]`."""
        return self.key if self.map_index is None or self.map_index < 0 else f"{self.key}[{self.map_index}]"

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_STEP


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """`df.attempts`."""

    instance_id: str
    scope_id: int
    step: int
    key: str
    map_index: int | None
    generation: int
    attempt: int
    status: str
    error: JsonValue
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """`df.events`."""

    event_id: int
    at: datetime
    instance_id: str | None
    workflow: str | None
    key: str | None
    kind: str
    actor: str | None
    reason: str | None
    detail: JsonValue


@dataclass(frozen=True, slots=True)
class LogRow:
    """`df.logs`."""

    log_id: int
    at: datetime
    instance_id: str
    scope_id: int
    step: int
    key: str
    map_index: int | None
    attempt: int
    stream: str
    line: str


@dataclass(frozen=True, slots=True)
class RenderedRow:
    """`df.render_workflow`: one statement, command or set of arguments; without one for a step that does nothing."""

    key: str
    statement: int | None
    kind: str
    class_: str | None
    each: str | None
    role: str | None
    source: str | None
    text: str | None
    detail: Mapping[str, JsonValue] | None
    open_names: list[str]
    problem: str | None

    @property
    def label(self) -> str:
        """Return the key, with brackets when the step is mapped."""
        return self.key if self.each is None else f"{self.key}[]"


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """`df.workers`."""

    worker_id: int
    name: str
    host: str
    pid: int
    version: str
    started_at: datetime
    last_beat_at: datetime
    is_alive: bool
    sessions: int | None


@dataclass(frozen=True, slots=True)
class PurgeableRow:
    """What a purge would remove of one workflow: `instances` or `run_keys`."""

    what: str
    namespace: str
    workflow: str
    count: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Purged:
    """How much a purge removed, and whether that was all."""

    instances: int = 0
    run_keys: int = 0
    versions: int = 0
    plans: int = 0
    modules: int = 0
    is_over: bool = False

    def __add__(self, other: Purged) -> Purged:
        return Purged(
            self.instances + other.instances,
            self.run_keys + other.run_keys,
            self.versions + other.versions,
            self.plans + other.plans,
            self.modules + other.modules,
            other.is_over,
        )

    def __str__(self) -> str:
        counts = {
            "instances": self.instances,
            "run keys": self.run_keys,
            "old versions": self.versions,
            "plans": self.plans,
            "modules": self.modules,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "instances")


@dataclass(frozen=True, slots=True)
class RunKeyRow:
    """`df.run_keys`: `purged_end_at` is set once the instance is purged."""

    run_key: str
    instance_id: str
    status: str
    purged_end_at: datetime | None


@dataclass(frozen=True, slots=True)
class QueueRow:
    """What is ready to run: how many steps, and since when the oldest waits."""

    count: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line of `df.doctor`: what was looked at, how it is, what was found, and what to do about it."""

    check: str
    level: CheckLevel
    detail: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class LateRow:
    """Steps of one key that are due and that nobody takes; `count` is above 1 where they are mapped."""

    instance_id: str
    workflow: str
    logical_date: datetime | None
    key: str
    kind: str
    count: int
    since: datetime


def error_text(error: JsonValue) -> str | None:
    """Put a stored error on one line: `23505 duplicate key ...`; the message alone without an SQLSTATE."""
    if error is None:
        return None
    if not isinstance(error, Mapping):
        return str(error)
    message = str(error.get("message") or "").strip()
    first = message.splitlines()[0] if message else "no message"
    state = error.get("sqlstate")
    return f"{state} {first}" if state else first
