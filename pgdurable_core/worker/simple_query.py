"""Sending SQL text as a client would, row by row, while somebody may want it stopped."""

from __future__ import annotations

import contextlib
import json
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import errors, pq

from pgdurable_core.engine import Connection
from pgdurable_core.worker.claims import Attempt, Limits
from pgdurable_core.worker.links import cut
from pgdurable_core.worker.processes import KILL_AFTER, LOOK_EVERY

CANCEL_EVERY = 1.0
CANCEL_SECONDS = 1.0

_JSON_NUMBER_TYPES = {20, 21, 23, 26}
_FLOAT_TYPES = {700, 701, 1700}
_TEXT_TYPES = {18, 19, 25, 1042, 1043, 2950, 705}
_JSON_TYPES = {114, 3802}
_BOOL_TYPE = 16
_NOT_NUMBERS = {"NaN", "Infinity", "-Infinity"}


class CopyRefusedError(Exception):
    """The text wants to copy data from or to the client, and there is no client."""


@dataclass(slots=True)
class Rows:
    """The rows of one statement as the server's text, and the OIDs of their types."""

    names: list[str]
    types: list[int]
    rows: list[list[str | None]] = field(default_factory=list)
    size: int = 0
    is_cut: bool = False


class Runner:
    """Runs text on one connection for one attempt: cancels when the attempt is stopped, cuts the line 5 s later."""

    def __init__(self, connection: Connection, attempt: Attempt, tick: Callable[[], None], limits: Limits) -> None:
        self._connection, self._attempt, self._tick, self._limits = connection, attempt, tick, limits
        self._stopped_at: float | None = None
        self._lost: psycopg.OperationalError | None = None
        self._cancelled_at = 0.0

    def run(self, text: str, *, extended: bool = False) -> Rows | None:
        """Send the text and return the rows of the last statement that returned any, or None.

        The simple protocol takes several statements; `extended` takes exactly one. Raises psycopg's error of the first
        statement that failed, after every result has been read, and CopyRefusedError.
        """
        wire = self._connection.pgconn
        encoded = text.encode(self._connection.info.encoding)
        if extended:
            wire.send_query_params(encoded, None)
        else:
            wire.send_query(encoded)
        wire.set_single_row_mode()
        kept: Rows | None = None
        current: Rows | None = None
        failure: psycopg.Error | None = None
        while (result := self._next_result()) is not None:
            match result.status:
                case pq.ExecStatus.SINGLE_TUPLE:
                    current = current or self._header(result)
                    self._keep(current, result)
                case pq.ExecStatus.TUPLES_OK:
                    kept, current = current or self._header(result), None
                case pq.ExecStatus.COPY_IN | pq.ExecStatus.COPY_OUT | pq.ExecStatus.COPY_BOTH:
                    cut(self._connection)
                    raise CopyRefusedError
                case pq.ExecStatus.COMMAND_OK | pq.ExecStatus.EMPTY_QUERY:
                    current = None
                case _:
                    failure = failure or errors.error_from_result(result, encoding=self._connection.info.encoding)
        if failure := failure or self._lost:
            raise failure
        return kept

    def _header(self, result: pq.abc.PGresult) -> Rows:
        encoding = self._connection.info.encoding
        columns = range(result.nfields)
        return Rows([(result.fname(i) or b"").decode(encoding) for i in columns], [result.ftype(i) for i in columns])

    def _keep(self, rows: Rows, result: pq.abc.PGresult) -> None:
        if rows.is_cut or len(rows.rows) >= self._limits.rows or rows.size > self._limits.size:
            rows.is_cut = True
            return
        encoding = self._connection.info.encoding
        cells = [result.get_value(0, i) for i in range(result.nfields)]
        rows.rows.append([None if cell is None else cell.decode(encoding) for cell in cells])
        rows.size += sum(len(cell) for cell in cells if cell is not None)

    def _next_result(self) -> pq.abc.PGresult | None:
        wire = self._connection.pgconn
        while self._lost is None and wire.flush():
            self._consume(select.select([wire.socket], [wire.socket], [], LOOK_EVERY)[0])
        while self._lost is None and wire.is_busy():
            self._consume(select.select([wire.socket], [], [], LOOK_EVERY)[0])
            if self._attempt.stop_reason is not None:
                self._end()
        # After a lost connection too: the server's last words may be among the results.
        return wire.get_result()

    def _consume(self, readable: list[int]) -> None:
        if not readable:
            self._tick()
            return
        try:
            self._connection.pgconn.consume_input()
        except psycopg.OperationalError as lost:
            self._lost = lost

    def _end(self) -> None:
        now = time.monotonic()
        is_first, self._stopped_at = self._stopped_at is None, self._stopped_at or now
        is_urgent = self._attempt.stop_reason in ("lease", "shutdown")
        if is_first or now - self._cancelled_at > CANCEL_EVERY:
            self._cancelled_at = now
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        if is_urgent or now - self._stopped_at > KILL_AFTER:
            cut(self._connection)


def to_json(connection: Connection, found: Rows | None) -> str | None:
    """Return rows as JSON text, an array of objects in column order, or None when nothing returned rows.

    Numbers keep the digits the server sent. Types without an obvious JSON form are converted by the server's own
    to_json, so that a timestamp looks as it does in a step that the engine runs itself.
    """
    if found is None:
        return None
    columns = [
        _column(connection, type_, [row[index] for row in found.rows]) for index, type_ in enumerate(found.types)
    ]
    names = [_text(name) for name in found.names]
    lines = (
        "{" + ",".join(f"{name}:{cell}" for name, cell in zip(names, cells, strict=True)) + "}"
        for cells in zip(*columns, strict=True)
    )
    return "[" + ",".join(lines if columns else ["{}"] * len(found.rows)) + "]"


def _column(connection: Connection, type_: int, cells: Sequence[str | None]) -> list[str]:
    if type_ in _JSON_NUMBER_TYPES or type_ in _JSON_TYPES:
        return ["null" if cell is None else cell for cell in cells]
    if type_ in _FLOAT_TYPES:
        return ["null" if cell is None else _text(cell) if cell in _NOT_NUMBERS else cell for cell in cells]
    if type_ in _TEXT_TYPES:
        return ["null" if cell is None else _text(cell) for cell in cells]
    if type_ == _BOOL_TYPE:
        return ["null" if cell is None else "true" if cell == "t" else "false" for cell in cells]
    [[name, is_pseudo]] = connection.execute(
        "select pg_catalog.format_type(oid, null), typtype operator(pg_catalog.=) 'p'"
        " from pg_catalog.pg_type where oid operator(pg_catalog.=) %s",
        [type_],
    ).fetchall()
    if is_pseudo:  # an anonymous record has no type to read its text back with
        return ["null" if cell is None else _text(cell) for cell in cells]
    name = str(name).replace("%", "%%")
    rows = connection.execute(
        f"select pg_catalog.to_json(u.v::{name})::pg_catalog.text"
        " from pg_catalog.unnest(%s::pg_catalog.text[]) with ordinality u(v, n) order by u.n".encode(),
        [list(cells)],
    ).fetchall()
    return ["null" if cell is None else str(cell) for (cell,) in rows]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
