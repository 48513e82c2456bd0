"""Speak to a database that holds the engine: connect, call, and translate what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, LiteralString, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb, set_json_loads

from pgdurable_core.engine import calls
from pgdurable_core.engine.rows import (
    AttemptRow,
    CheckRow,
    EventRow,
    InstanceRow,
    InstanceStatus,
    LateRow,
    LogRow,
    MissingConnectionRow,
    ProgressRow,
    PurgeableRow,
    Purged,
    QueueRow,
    RenderedRow,
    RunKeyRow,
    ServerRow,
    StepRow,
    WorkerRow,
    WorkflowRow,
)
from pgdurable_core.errors import (
    DatabaseUnavailableError,
    NotFoundError,
    PgDurableError,
    SchemaError,
    UsageError,
    from_sqlstate,
)
from pgdurable_core.graph.model import JsonValue

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Row = TypeVar("Row")

DEFAULT_NAMESPACE: Final = "default"

# What PostgreSQL says in English, German, French, Spanish: the schema and nothing else that may be called df.
_NO_RIGHTS: Final = re.compile(r"\b(?:schema|schéma|esquema)\s+\W*df\W*$", re.IGNORECASE)

# No byte flows during a long CALL, and NATs drop silent connections after a few minutes (hazard 40).
_CONNECT_DEFAULTS: Final[Mapping[str, str]] = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


def connect(
    dsn: str, *, application_name: str = "pgdurable", settings: Mapping[str, str] | None = None, autocommit: bool = True
) -> Connection:
    """Open a connection that survives long silent calls; nothing is ever prepared, so poolers may stand between.

    `settings` become `-c` options of the session; what the DSN says itself wins over our defaults. An empty DSN means
    libpq's environment. Raises UsageError for a DSN that cannot be read, DatabaseUnavailableError when nobody answers.
    """
    with translated():
        return psycopg.connect(
            conninfo(dsn, application_name=application_name, settings=settings),
            autocommit=autocommit,
            prepare_threshold=None,
        )


def conninfo(dsn: str, *, application_name: str = "pgdurable", settings: Mapping[str, str] | None = None) -> str:
    """Return the connection string that `connect` uses, for a driver that connects in another way.

    Raises UsageError for a DSN that cannot be read.
    """
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise UsageError(
            f"the connection string cannot be read: {_first_line(error)}",
            hint="write 'host=… dbname=… user=…', or postgresql://user@host/dbname",
        ) from error
    options = " ".join(
        [
            str(given.pop("options", "") or ""),
            *(f"-c {name}={_escape(text)}" for name, text in (settings or {}).items()),
        ]
    ).strip()
    parameters = {**_CONNECT_DEFAULTS, "application_name": application_name, **given}
    if options:
        parameters["options"] = options
    return make_conninfo("", **parameters)


@contextmanager
def translated(connection: Connection | None = None) -> Iterator[None]:
    """Turn psycopg's errors into ours, here and nowhere else.

    Errors of class PD become the class of their code, a lost or refused connection DatabaseUnavailableError, no right
    to schema df SchemaError, whose hint names the role of `connection`; errors of anybody's own SQL pass as psycopg
    raised them.
    """
    try:
        yield
    except psycopg.Error as error:
        ours = translate(error, None if connection is None else connection.info.user)
        if ours is None:
            raise
        raise ours from error


def translate(error: psycopg.Error, role: str | None = None) -> PgDurableError | None:
    """Return our error for psycopg's, or None when it is not ours to explain; `role` is who asked, for the hint."""
    diag = error.diag
    message = diag.message_primary or _first_line(error)
    ours = from_sqlstate(error.sqlstate, message, detail=diag.message_detail, hint=diag.message_hint)
    if ours is not None:
        return ours
    if error.sqlstate == "42501" and _NO_RIGHTS.search(message):
        who = "ROLE" if role is None else role.replace("'", "''")
        hint = f"the owner of df grants it: select df.grant_usage('{who}')"
        return SchemaError(message, hint=hint, sqlstate=error.sqlstate)
    if isinstance(error, psycopg.OperationalError) and (error.sqlstate is None or error.sqlstate[:2] in ("28", "3D")):
        hint = "is the server running, and the connection string right?"
        return DatabaseUnavailableError(message, detail=_rest(error), hint=hint, sqlstate=error.sqlstate)
    return None


class Client:
    """The engine's calls and views as typed methods over one connection in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        set_json_loads(_load_json, connection)

    # What is there.

    def server(self) -> ServerRow:
        """Say which database, as whom, of which version."""
        return ServerRow(*self._one(calls.SERVER))

    def version(self) -> str:
        """Return the version of the engine in this database, as people read it."""
        return str(self._one(calls.VERSION)[0])

    def has_engine(self) -> bool:
        """Say whether a table `df._engine` exists; needs no right on it."""
        return bool(self._one(calls.HAS_ENGINE)[0])

    # Workflows.

    def workflows(self, *, name: str | None = None, namespace: str | None = None) -> list[WorkflowRow]:
        """List workflows, ordered by namespace and name."""
        return [WorkflowRow(*row) for row in self._all(calls.WORKFLOWS, {"name": name, "namespace": namespace})]

    def params(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> Mapping[str, JsonValue] | None:
        """Return the JSON Schema of every parameter that a workflow declares; None when there is no such workflow."""
        rows = self._all(calls.PARAMS, [name, namespace])
        return rows[0][0] or {} if rows else None

    def missing_connections(self) -> list[MissingConnectionRow]:
        """List the steps whose connection this database does not know: their workflows cannot start."""
        return [MissingConnectionRow(*row) for row in self._all(calls.MISSING_CONNECTIONS)]

    def define(
        self,
        name: str,
        document: Mapping[str, JsonValue],
        namespace: str = DEFAULT_NAMESPACE,
        reason: str | None = None,
    ) -> str:
        """Define a workflow from a graph document under this name, and say what became of it; twice changes nothing."""
        return str(self._one(calls.CREATE_WORKFLOW, [name, Jsonb(dict(document)), namespace, reason])[0])

    def pause(self, name: str, namespace: str = DEFAULT_NAMESPACE, reason: str | None = None) -> None:
        """Stop a workflow's schedule; running instances go on."""
        self._one(calls.PAUSE_WORKFLOW, [name, namespace, reason])

    def resume(self, name: str, namespace: str = DEFAULT_NAMESPACE, reason: str | None = None) -> None:
        """Let a workflow's schedule start instances again."""
        self._one(calls.RESUME_WORKFLOW, [name, namespace, reason])

    def document(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> dict[str, JsonValue]:
        """Return the current graph document of a workflow. Raises NotFoundError."""
        document = _load_json(self.document_text(name, namespace))
        assert isinstance(document, dict)
        return document

    def document_text(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> str:
        """Return the current graph document as the engine has it. Raises NotFoundError."""
        rows = self._all(calls.DOCUMENT, [namespace, name])
        if not rows:
            raise NotFoundError(f"there is no workflow {name!r} in namespace {namespace}", hint="pgdurable workflows")
        return str(rows[0][0])

    def define_text(self, document: str, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Define a workflow from its graph document as text, which keeps every digit; its name stands in it."""
        self._one(calls.DEFINE_TEXT, [namespace, document])

    def define_trial(self, namespace: str, name: str, runs: Mapping[str, JsonValue]) -> None:
        """Define the next version of a workflow, for a trial: other runs for some steps, retries without delay."""
        self._one(calls.DEFINE_TRIAL, [Jsonb(dict(runs)), namespace, name])

    def render(
        self,
        name: str,
        *,
        step: str | None = None,
        params: Mapping[str, JsonValue] | None = None,
        logical_date: datetime | None = None,
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[RenderedRow]:
        """Say what the steps would execute, in topological order; nothing runs, nothing is written."""
        values = [name, step, logical_date, Jsonb(dict(params or {})), namespace]
        return [RenderedRow(*row) for row in self._all(calls.RENDER_WORKFLOW, values)]

    # Instances.

    def start(
        self,
        name: str,
        *,
        params: Mapping[str, JsonValue] | None = None,
        logical_date: datetime | None = None,
        run_key: str | None = None,
        label: str | None = None,
        reason: str | None = None,
        traceparent: str | None = None,
        namespace: str = DEFAULT_NAMESPACE,
    ) -> str:
        """Start an instance and return its id; the same run key returns the same instance."""
        values = {
            "name": name,
            "params": Jsonb(dict(params or {})),
            "logical_date": logical_date,
            "run_key": run_key,
            "label": label,
            "reason": reason,
            "traceparent": traceparent,
            "namespace": namespace,
        }
        return str(self._one(calls.START_WORKFLOW, values)[0])

    def cancel(self, instance_id: str, reason: str | None = None) -> None:
        """Ask for an instance to be cancelled; processed by the engine after commit."""
        self._one(calls.CANCEL, [instance_id, reason])

    def retry(self, instance_id: str, reason: str | None = None) -> None:
        """Run the failed steps of an instance again, and what waited behind them."""
        self._one(calls.RETRY_INSTANCE, [instance_id, reason])

    def instance(self, instance_id: str) -> InstanceRow:
        """Return one instance. Raises NotFoundError."""
        rows = self._all(calls.INSTANCE, [instance_id])
        if not rows:
            raise NotFoundError(f"no instance {instance_id}", hint="pgdurable status")
        return InstanceRow(*rows[0])

    def progress(self, instance_ids: Sequence[str]) -> dict[str, ProgressRow]:
        """Return how far each of these is; those that are not there any more are left out."""
        rows = [ProgressRow(*row) for row in self._all(calls.PROGRESS, [list(instance_ids)])]
        return {row.instance_id: row for row in rows}

    def find_instance(self, prefix: str) -> InstanceRow:
        """Return the instance whose id begins so. Raises NotFoundError for none, UsageError for more than one."""
        found = [InstanceRow(*row) for row in self._all(calls.INSTANCES_BY_PREFIX, [prefix.lower()])]
        if not found:
            raise NotFoundError(f"no instance id begins with {prefix!r}", hint="pgdurable status")
        if len(found) > 1:
            ids = ", ".join(f"{row.instance_id} ({row.workflow})" for row in found)
            raise UsageError(f"{prefix!r} is the beginning of several instance ids: {ids}", hint="write more digits")
        return found[0]

    def open_instances(self) -> list[InstanceRow]:
        """List what is pending or running, oldest first."""
        return [InstanceRow(*row) for row in self._all(calls.INSTANCES_OPEN)]

    def ended_instances(
        self, within: timedelta, statuses: Sequence[InstanceStatus], limit: int = 50
    ) -> list[InstanceRow]:
        """List what ended in the last `within`, newest first."""
        return [InstanceRow(*row) for row in self._all(calls.INSTANCES_ENDED_SINCE, [within, list(statuses), limit])]

    def instances_of(self, workflow: str, namespace: str = DEFAULT_NAMESPACE, limit: int = 20) -> list[InstanceRow]:
        """List the latest instances of a workflow, newest first."""
        return [InstanceRow(*row) for row in self._all(calls.INSTANCES_OF_WORKFLOW, [workflow, namespace, limit])]

    def steps(self, instance_id: str) -> list[StepRow]:
        """List every step of an instance in topological order, mapped ones by index, waiting ones included."""
        return [StepRow(*row) for row in self._all(calls.STEPS, [instance_id])]

    def attempts(self, instance_id: str) -> list[AttemptRow]:
        """List the attempts that did not end their step."""
        return [AttemptRow(*row) for row in self._all(calls.ATTEMPTS, [instance_id])]

    def events(self, instance_id: str) -> list[EventRow]:
        """List what people and the engine did with an instance."""
        return [EventRow(*row) for row in self._all(calls.EVENTS, [instance_id])]

    def logs(self, instance_id: str, *, key: str | None = None, after: int = 0, limit: int = 1000) -> list[LogRow]:
        """List log lines with an id above `after`, at most `limit`, in order."""
        values = {"instance_id": instance_id, "key": key, "after": after, "limit": limit}
        return [LogRow(*row) for row in self._all(calls.LOGS, values)]

    def workers(self) -> list[WorkerRow]:
        """List worker processes, dead ones too until they are forgotten."""
        return [WorkerRow(*row) for row in self._all(calls.WORKERS)]

    def queue(self) -> QueueRow:
        """Return how many steps are ready to run, and since when the oldest is."""
        return QueueRow(*self._one(calls.QUEUE))

    # What is kept.

    def purgeable(
        self,
        *,
        older_than: timedelta | None = None,
        workflow: str | None = None,
        namespace: str | None = None,
        keep_keys: timedelta | None = None,
    ) -> list[PurgeableRow]:
        """List what `purge` would remove; without an age, what the rules of retention say."""
        values = {"older_than": older_than, "workflow": workflow, "namespace": namespace, "keep_keys": keep_keys}
        return [PurgeableRow(*row) for row in self._all(calls.PURGEABLE, values)]

    def purge(
        self,
        *,
        older_than: timedelta | None = None,
        workflow: str | None = None,
        namespace: str | None = None,
        keep_keys: timedelta | None = None,
        max_seconds: float = 60.0,
    ) -> Purged:
        """Remove what ended longer ago, in transactions of its own, for about so many seconds."""
        values = {
            "older_than": older_than,
            "workflow": workflow,
            "namespace": namespace,
            "keep_keys": keep_keys,
            "max_seconds": Decimal(max_seconds),
        }
        return Purged(**self._one(calls.PURGE, values)[0])

    def run_key(self, workflow: str, run_key: str, namespace: str = DEFAULT_NAMESPACE) -> RunKeyRow | None:
        """Say which instance a run key started, purged or not; None for a key that is not known, or no more."""
        rows = self._all(calls.RUN_KEY, [workflow, run_key, namespace])
        return RunKeyRow(*rows[0]) if rows else None

    # What a copied database is.

    def copied_from(self) -> str | None:
        """Say which database this one is a copy of; None when it is no copy, was adopted, or we may not ask."""
        try:
            found = self._one(calls.COPIED_FROM)[0] if self._one(calls.KNOWS_COPIES)[0] else None
        except psycopg.errors.InsufficientPrivilege:
            return None
        return None if found is None else str(found)

    def adopt(self, environment: str | None, what: str) -> str:
        """Say what a copied database is, `move` or `copy`, and return what that came to, for people."""
        return str(self._one(calls.ADOPT, [environment, what])[0])

    def late_steps(self, after: timedelta) -> list[LateRow]:
        """List steps that have been due for longer than `after` and that nobody has taken, longest first."""
        return [LateRow(*row) for row in self._all(calls.LATE, [after])]

    def may_ask_doctor(self) -> bool | None:
        """Say whether this role may call `df.doctor`; None when this database does not have it."""
        may: bool | None = self._one(calls.MAY_ASK_DOCTOR)[0]
        return may

    def doctor(self) -> list[CheckRow]:
        """Return what the database says about its health. Raises for who is neither owner of df nor operator."""
        return [CheckRow(*row) for row in self._all(calls.DOCTOR)]

    def clock(self) -> datetime:
        """Return what time it is on the server."""
        at: datetime = self._one(calls.CLOCK)[0]
        return at

    def zone_offsets(self, zones: Sequence[str], at: Sequence[datetime]) -> dict[tuple[str, datetime], int]:
        """Return seconds east of UTC by (zone, moment), for those zones that the server knows."""
        return {(name, moment): seconds for name, moment, seconds in self._all(calls.ZONE_OFFSETS, [at, zones])}

    def running_kinds(self) -> frozenset[str]:
        """Return the kinds of steps that are running now."""
        return frozenset(str(kind) for (kind,) in self._all(calls.RUNNING_KINDS))

    # What a deployment stores.

    def set_module(self, name: str, content: str) -> str:
        """Store a module's source and return its sha256; the same content again changes nothing."""
        return str(self._one(calls.SET_MODULE, [name, content])[0])

    def module(self, name: str, sha256: str) -> str:
        """Return a module's source; the owner of df and workers may read it. Raises NotFoundError."""
        (content,) = self._one(calls.GET_MODULE, [name, sha256])
        if content is None:
            raise NotFoundError(f"module {name} with sha256 {sha256[:12]}… is not stored there")
        return str(content)

    def stored_modules(self) -> set[tuple[str, str]]:
        """Return (name, sha256) of every module that is stored."""
        return {(str(name), str(digest)) for name, digest in self._all(calls.STORED_MODULES)}

    def connections(self, namespace: str = DEFAULT_NAMESPACE) -> dict[str, str | None]:
        """Return the role of every connection name; None is whoever starts the instance."""
        return {str(name): role for name, role in self._all(calls.CONNECTIONS, [namespace])}

    def variables(self, namespace: str = DEFAULT_NAMESPACE) -> dict[str, str | None]:
        """Return the value of every variable."""
        return {str(name): value for name, value in self._all(calls.VARIABLES, [namespace])}

    def define_in(self, namespace: str) -> None:
        """Say where workflows of this transaction go that name no namespace."""
        self._one(calls.NAMESPACE_HERE, [namespace])

    def set_connection(self, name: str, role: str | None = None, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Let a connection name mean this database, as `role` or as whoever starts the instance."""
        self._one(calls.SET_CONNECTION, [name, "here", role, namespace])

    def set_variable(self, name: str, value: str | None, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Set a variable that steps read when they run."""
        self._one(calls.SET_VARIABLE, [name, value, namespace])

    def _all(
        self, statement: LiteralString, values: Sequence[object] | Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        with translated(self.connection):
            return self.connection.execute(statement, values).fetchall()

    def _one(
        self, statement: LiteralString, values: Sequence[object] | Mapping[str, object] | None = None
    ) -> tuple[Any, ...]:
        with translated(self.connection):
            row = self.connection.execute(statement, values).fetchone()
        assert row is not None, "the engine's functions return one row"
        return row


def _load_json(text: str | bytes) -> JsonValue:
    """Read JSON as the engine wrote it: numbers keep their scale, and no column of a row is lost."""
    value: JsonValue = json.loads(text, parse_float=Decimal, object_pairs_hook=_row_of)
    return value


def _row_of(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """Return a row as a mapping; the second column of a name becomes `name_2`, since SQL allows two and Python none."""
    row: dict[str, JsonValue] = {}
    for name, value in pairs:
        unique, count = name, 1
        while unique in row:
            count += 1
            unique = f"{name}_{count}"
        row[unique] = value
    return row


def _escape(text: str) -> str:
    """Escape a value for the options parameter (libpq 34.1.2: a backslash before space and backslash)."""
    return text.replace("\\", "\\\\").replace(" ", "\\ ")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _rest(error: Exception) -> str | None:
    lines = str(error).strip().splitlines()[1:]
    return "\n".join(line.strip() for line in lines) or None
