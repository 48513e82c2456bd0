"""SQL that the engine cannot execute in the server: session and autonomous statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import psycopg
from psycopg import pq, sql

from pgdurable_core.engine import Connection, calls, connect
from pgdurable_core.engine.client import translated
from pgdurable_core.errors import CancelledError, ConflictError, DatabaseUnavailableError, EngineError, PgDurableError
from pgdurable_core.graph.model import JsonValue
from pgdurable_core.worker.claims import (
    Abandoned,
    Attempt,
    ClaimedStep,
    Completed,
    Failed,
    Outcome,
    Reported,
    error,
)
from pgdurable_core.worker.links import SESSION_SETTINGS
from pgdurable_core.worker.notices import notice_lines
from pgdurable_core.worker.output import StepLog
from pgdurable_core.worker.secrets import Masker, resolve_reference
from pgdurable_core.worker.simple_query import CopyRefusedError, Rows, Runner, to_json

# Utility statements that run no user code at top level, and may therefore run under SET ROLE (hazard 5). PostgreSQL
# itself switches to the table's owner for what an index or a view computes.
CLOSED_LIST = re.compile(
    r"""(?ix) \A (?: \s | --[^\n]*(?:\n|\Z) | /\*.*?\*/ )*
    (?: vacuum | analy[sz]e | cluster | reindex | checkpoint
      | create \s+ (?:unique \s+)? index \s+ concurrently | drop \s+ index \s+ concurrently
      | refresh \s+ materialized \s+ view \s+ concurrently
      | (?:create|drop) \s+ database ) \b""",
    re.DOTALL,
)
SPURIOUS_RUNS = 3
QUERY_CANCELED = "57014"


class _RefusedError(Exception):
    def __init__(self, refusal: Failed) -> None:
        self.refusal = refusal


class SqlExecutor:
    """Runs session and autonomous steps, each on a connection of its own that is closed afterwards.

    `role` is the worker's own login. A step of another role needs a login for it: from the connection the step names,
    else from `logins`. Only statements of a closed list run under SET ROLE instead.
    """

    def __init__(self, dsn: str, role: str, logins: Mapping[str, str], masker: Masker) -> None:
        self._dsn, self._role, self._logins, self._masker = dsn, role, logins, masker

    def run(self, attempt: Attempt, log: StepLog) -> Outcome:
        """Run the step. A session step is reported complete in the transaction of its effects: exactly once."""
        step = attempt.step
        is_autonomous = step.class_ == "autonomous"
        run = self._run_autonomous if is_autonomous else self._run_session
        try:
            for _ in range(SPURIOUS_RUNS):
                connection = self._login(step, may_set_role=is_autonomous)
                try:
                    connection.add_notice_handler(lambda notice: log.add("notice", notice_lines(notice)))
                    return run(connection, attempt, log.flush_when_due)
                except psycopg.errors.QueryCanceled as cancelled:
                    # A cancel that nobody ordered hit this statement by mistake: undone, run again, charged nothing.
                    if attempt.stop_reason is not None or is_autonomous:
                        raise
                    spurious = cancelled
                finally:
                    connection.close()
            raise spurious
        except _RefusedError as refused:
            return refused.refusal
        except CopyRefusedError:
            return Failed(_copy_refused(step), retryable=False)
        except ConflictError as lost:
            return Abandoned(str(lost))
        except DatabaseUnavailableError as gone:
            return self._stopped_or(attempt, Failed(error("08006", str(gone))))
        except CancelledError as stopped:
            return Failed(_engine_error(stopped))
        except EngineError as refused_by_engine:
            return Failed(_engine_error(refused_by_engine), retryable=False)
        except psycopg.Error as failed:
            return self._stopped_or(attempt, Failed(self._sql_error(failed)))

    @staticmethod
    def _stopped_or(attempt: Attempt, outcome: Outcome) -> Outcome:
        return outcome if attempt.stop_reason is None else attempt.outcome_of_stop()

    def _run_session(self, connection: Connection, attempt: Attempt, tick: Callable[[], None]) -> Outcome:
        step = attempt.step
        runner = Runner(connection, attempt, tick, step.limits)
        connection.autocommit = False
        with translated():
            self._set_settings(connection, step, is_local=True)
            texts = _texts(connection, step)
            [[began]] = connection.execute("select pg_catalog.pg_current_xact_id()::pg_catalog.text").fetchall()
        found: Rows | None = None
        for text in texts:
            found = runner.run(text) or found
        if connection.pgconn.transaction_status != pq.TransactionStatus.INTRANS:
            raise _RefusedError(_ended_its_transaction(step))
        with translated():
            [[now]] = connection.execute("select pg_catalog.pg_current_xact_id()::pg_catalog.text").fetchall()
            if now != began:
                raise _RefusedError(_ended_its_transaction(step))
            result = self._result(connection, step, found)
            if attempt.stop_reason is not None:
                return attempt.outcome_of_stop()
            values = [*step.claim, result, None if found is None else len(found.rows)]
            [[state]] = connection.execute(calls.COMPLETE_STEP, values).fetchall()
            connection.commit()
        return Reported(str(state))

    def _run_autonomous(self, connection: Connection, attempt: Attempt, tick: Callable[[], None]) -> Outcome:
        step = attempt.step
        runner = Runner(connection, attempt, tick, step.limits)
        with translated():
            self._set_settings(connection, step, is_local=False)
        is_own = connection.info.user == step.role or step.role is None
        if not is_own:
            try:
                connection.execute(sql.SQL("set role {}").format(sql.Identifier(step.role or "")))
            except psycopg.errors.InsufficientPrivilege as refused:
                raise _RefusedError(self._not_allowed(step, str(refused).strip())) from refused
        with translated():
            texts = _texts(connection, step)
        if not is_own and not all(CLOSED_LIST.match(text) for text in texts):
            raise _RefusedError(self._not_allowed(step, f"this worker has no login for role {step.role}"))
        found: Rows | None = None
        for text in texts:
            if attempt.stop_reason is not None:
                return attempt.outcome_of_stop()
            found = runner.run(text, extended=True) or found
        with translated():
            return Completed(self._result(connection, step, found), None if found is None else len(found.rows))

    def _result(self, connection: Connection, step: ClaimedStep, found: Rows | None) -> str | None:
        if found is not None and found.is_cut:
            raise _RefusedError(
                Failed(
                    error(
                        "PD413",
                        f"step {step.label}: the result is over {step.limits.rows} rows or {step.limits.size} bytes",
                        hint="Write the rows to a table and return a count.",
                    ),
                    retryable=False,
                )
            )
        return to_json(connection, found)

    def _login(self, step: ClaimedStep, *, may_set_role: bool) -> Connection:
        """Connect as the step's role, or as the worker for statements that may run under SET ROLE."""
        reference = step.login or (self._logins.get(step.role) if step.role else None)
        if step.role is None or step.role == self._role:
            return self._connect(step, self._dsn)
        if reference is not None:
            connection = self._connect(step, self._resolve(step, reference))
            user = connection.info.user
            if user == step.role:
                return connection
            connection.close()
            raise _RefusedError(self._not_allowed(step, f"its login is {user}, but the step runs as {step.role}"))
        if may_set_role:
            return self._connect(step, self._dsn)
        raise _RefusedError(self._not_allowed(step, f"this worker has no login for role {step.role}"))

    @staticmethod
    def _connect(step: ClaimedStep, dsn: str) -> Connection:
        name = f"pgdurable {step.instance_id} {step.label}"[:63]
        return connect(dsn, application_name=name, settings=SESSION_SETTINGS)

    def _resolve(self, step: ClaimedStep, reference: str) -> str:
        if not reference.startswith(("env:", "file:", "cmd:")):
            dsn = reference
        else:
            try:
                dsn = resolve_reference(reference)
            except LookupError as missing:
                raise _RefusedError(self._not_allowed(step, str(missing))) from None
            self._masker.add(dsn)
        self._masker.add_dsn(dsn)
        return dsn

    @staticmethod
    def _set_settings(connection: Connection, step: ClaimedStep, *, is_local: bool) -> None:
        for name, value in step.settings.items():
            # The engine turns a role's own limit into the step's deadline; here it could not be told from a cancel.
            if name == "statement_timeout":
                continue
            connection.execute("select pg_catalog.set_config(%s, %s, %s)", [name, value, is_local])

    @staticmethod
    def _not_allowed(step: ClaimedStep, why: str) -> Failed:
        return Failed(
            error(
                "PD403",
                f"step {step.label}: {step.class_} SQL needs a session logged in as role {step.role}: {why}",
                hint="Give the connection a login (env:, file: or cmd:), or run a worker as that role.",
            ),
            retryable=False,
        )

    def _sql_error(self, failed: psycopg.Error) -> dict[str, JsonValue]:
        diag = failed.diag
        texts = {
            "message": diag.message_primary or str(failed).strip(),
            "detail": diag.message_detail,
            "hint": diag.message_hint,
            "context": diag.context,
        }
        masked: dict[str, JsonValue] = {name: text and self._masker.mask(text) for name, text in texts.items()}
        return {"sqlstate": failed.sqlstate or "08006"} | masked


def _texts(connection: Connection, step: ClaimedStep) -> list[str]:
    if step.sql is not None:
        return list(step.sql)
    [[texts]] = connection.execute(calls.SESSION_TEXT, step.claim).fetchall()
    return list(texts)


def _engine_error(refused: PgDurableError) -> dict[str, JsonValue]:
    return error(refused.sqlstate, refused.message, hint=refused.hint, detail=refused.detail)


def _ended_its_transaction(step: ClaimedStep) -> Failed:
    return Failed(
        error(
            "PD501",
            f"step {step.label}: its text ended the transaction, so what it did before is already committed",
            hint="Take COMMIT and ROLLBACK out, or give the step the class autonomous.",
        ),
        retryable=False,
    )


def _copy_refused(step: ClaimedStep) -> dict[str, JsonValue]:
    return error(
        "PD501",
        f"step {step.label}: COPY from or to the client cannot run here, because nobody sends or takes the data",
        hint="Use COPY with a file or program on the server, or INSERT.",
    )
