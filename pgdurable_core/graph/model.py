"""The graph as values: what a workflow is, before anything runs it.

One class per object of the document (`README.md` of this room, version 1), one field per key, in the document's order.
`None` stands for "not stated": the engine then takes the graph's `defaults`, and after those its own (`Settings`).
Nothing is refused here; `check.find_problems` says what is wrong with a graph, all of it at once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar, get_args

JsonValue: TypeAlias = "Mapping[str, JsonValue] | Sequence[JsonValue] | str | int | float | bool | None"

TriggerRule = Literal[
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_done_setup_success",
    "all_skipped",
    "always",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "one_done",
    "one_failed",
    "one_success",
]
StatementClass = Literal["plain", "session", "autonomous"]
Runtime = Literal["python", "airflow"]
RunKind = Literal["sql", "check", "branch", "python", "shell", "empty"]

TRIGGER_RULES: Final[tuple[TriggerRule, ...]] = get_args(TriggerRule)
STATEMENT_CLASSES: Final[tuple[StatementClass, ...]] = get_args(StatementClass)
RUNTIMES: Final[tuple[Runtime, ...]] = get_args(Runtime)
RUN_KINDS: Final[tuple[RunKind, ...]] = get_args(RunKind)

IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# `$params.x` and `$item.x` mean the parameters and the map item, so no result can be called so.
RESERVED_NAMES: Final = frozenset({"params", "item"})

DEFAULT_RULE: Final = "all_success"
DEFAULT_RETRIES: Final = 0
DEFAULT_RETRY_DELAY: Final = "5 min"
DEFAULT_TIMEZONE: Final = "UTC"

Value = TypeVar("Value")
Fallback = TypeVar("Fallback")


def _stated(own: Value | None, fallback: Fallback) -> Value | Fallback:
    return fallback if own is None else own


@dataclass(frozen=True, slots=True)
class Sql:
    """Run SQL text; its rows are the step's result."""

    kind: ClassVar[Literal["sql"]] = "sql"
    sql: str


@dataclass(frozen=True, slots=True)
class Check:
    """Run SQL text and fail the step unless every column of the first row is true."""

    kind: ClassVar[Literal["check"]] = "check"
    sql: str


@dataclass(frozen=True, slots=True)
class Branch:
    """Run SQL text that returns the keys of the steps to follow: a row each, or one array."""

    kind: ClassVar[Literal["branch"]] = "branch"
    sql: str


@dataclass(frozen=True, slots=True)
class Python:
    """Call `module:name` on a worker; `args` are its keyword arguments."""

    kind: ClassVar[Literal["python"]] = "python"
    callable: str
    args: Mapping[str, JsonValue] = field(default_factory=dict)
    runtime: Runtime = "python"


@dataclass(frozen=True, slots=True)
class Shell:
    """Run a command on a worker; without `append_env` the environment is `env` alone."""

    kind: ClassVar[Literal["shell"]] = "shell"
    command: str
    env: Mapping[str, str] = field(default_factory=dict)
    append_env: bool = False
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """Do nothing; the engine resolves the step without visiting the queue."""

    kind: ClassVar[Literal["empty"]] = "empty"


Run: TypeAlias = Sql | Check | Branch | Python | Shell | Empty


@dataclass(frozen=True, slots=True)
class Defaults:
    """What steps take that do not state it themselves; durations as text."""

    retries: int | None = None
    retry_delay: str | None = None
    timeout: str | None = None
    pool: str | None = None
    run_as: str | None = None
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a step really gets: its own word, else the graph's default, else the engine's."""

    retries: int
    retry_delay: str
    timeout: str | None
    pool: str | None
    run_as: str | None
    connection: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step, exactly what `df.step(...)` returns.

    `statement_class` is the document's `class`; `retries` counts tries after the first.
    `source` (`dags/x.py:28`) and `doc` are shown to people and are no part of the graph's hash.
    """

    key: str
    run: Run = Empty()
    after: tuple[str, ...] = ()
    rule: TriggerRule = "all_success"
    each: str | None = None
    bind: Mapping[str, str] = field(default_factory=dict)
    retries: int | None = None
    retry_delay: str | None = None
    timeout: str | None = None
    pool: str | None = None
    run_as: str | None = None
    connection: str | None = None
    statement_class: StatementClass | None = None
    result_name: str | None = None
    source: str | None = None
    doc: str | None = None

    @property
    def upstreams(self) -> tuple[str, ...]:
        """Name every step this one waits for: `after`, then `each` where `after` does not hold it already."""
        if self.each is None or self.each in self.after:
            return self.after
        return (*self.after, self.each)

    @property
    def reference(self) -> str | None:
        """Say how SQL refers to the result, `$name.col`: `result_name`, else the key when it is an identifier."""
        if self.result_name is not None:
            return self.result_name
        return self.key if IDENTIFIER.fullmatch(self.key) and self.key not in RESERVED_NAMES else None


@dataclass(frozen=True, slots=True)
class Group:
    """A comment over the steps whose key starts with `key` and a dot; the engine knows nothing of it."""

    key: str
    doc: str | None = None


# Not slotted: `by_key` is computed once and kept in the instance's own dictionary.
@dataclass(frozen=True)
class Graph:
    """One workflow definition, exactly what `df.create_workflow(...)` takes; `steps` are in source order."""

    name: str
    steps: tuple[Step, ...]
    schedule: str | None = None
    timezone: str = DEFAULT_TIMEZONE
    start_date: str | None = None
    end_date: str | None = None
    data_intervals: bool = False
    catchup: bool = False
    max_active_runs: int | None = None
    max_active_tasks: int | None = None
    params: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    defaults: Defaults = Defaults()
    modules: Mapping[str, str] = field(default_factory=dict)
    on_failure: Run | None = None
    on_success: Run | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    doc: str | None = None

    @cached_property
    def by_key(self) -> Mapping[str, Step]:
        """Find a step by its key; of two with one key, which `check` refuses, the first."""
        found: dict[str, Step] = {}
        for step in self.steps:
            found.setdefault(step.key, step)
        return found

    def settings(self, step: Step) -> Settings:
        """Say what `step` really gets once the graph's defaults and the engine's are applied."""
        shared = self.defaults
        return Settings(
            retries=_stated(_stated(step.retries, shared.retries), DEFAULT_RETRIES),
            retry_delay=_stated(_stated(step.retry_delay, shared.retry_delay), DEFAULT_RETRY_DELAY),
            timeout=_stated(step.timeout, shared.timeout),
            pool=_stated(step.pool, shared.pool),
            run_as=_stated(step.run_as, shared.run_as),
            connection=_stated(step.connection, shared.connection),
        )

    def group_of(self, step: Step) -> Group | None:
        """Find the longest group whose key and a dot begin the step's key."""
        inside = [group for group in self.groups if step.key.startswith(f"{group.key}.")]
        return max(inside, key=lambda group: len(group.key), default=None)
