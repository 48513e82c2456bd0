"""Wait for instances from an event loop: one connection for all who wait in one database.

Nothing tells of an instance's end yet, so the watch looks, and looks more slowly the longer nothing happens.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import psycopg

from pgdurable_airflow.provider.attaching import Awaited
from pgdurable_core.engine import ProgressRow, calls, conninfo, translate
from pgdurable_core.errors import DatabaseUnavailableError, PgDurableError

AsyncConnection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

FIRST_PAUSE: Final = 0.5
GROWTH: Final = 1.5
# A restart or a failover of the server is waited for; then Airflow's own retry has its turn.
LOST_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class _Waiter:
    awaited: Awaited
    longest_pause: float
    end: asyncio.Future[ProgressRow | None]


_watches: dict[tuple[int, str], Watch] = {}


async def wait_for_end(dsn: str, awaited: Awaited, longest_pause: float) -> ProgressRow | None:
    """Return how an instance ended, None when it is not there any more.

    Raises PgDurableError when the server could not be reached for ten minutes, or refused.
    """
    place = (id(asyncio.get_running_loop()), dsn)
    watch = _watches.get(place)
    if watch is None:
        watch = _watches[place] = Watch(place)
    return await watch.end_of(awaited, longest_pause)


class Watch:
    """The connection, those who wait on it, and the task that looks for them; it goes when the last one has gone."""

    def __init__(self, place: tuple[int, str]) -> None:
        self._place = place
        self._waiters: set[_Waiter] = set()
        self._pause = FIRST_PAUSE
        self._lost_since: float | None = None
        self._somebody_came = asyncio.Event()
        self._looking = asyncio.create_task(self._look_for_all())

    async def end_of(self, awaited: Awaited, longest_pause: float) -> ProgressRow | None:
        waiter = _Waiter(awaited, longest_pause, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._pause = FIRST_PAUSE
        self._somebody_came.set()
        try:
            return await waiter.end
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                self._close()

    def _close(self) -> None:
        if _watches.get(self._place) is self:
            del _watches[self._place]
        self._looking.cancel()

    async def _look_for_all(self) -> None:
        connection: AsyncConnection | None = None
        try:
            while True:
                self._somebody_came.clear()
                try:
                    if connection is None:
                        connection = await _connect(self._place[1])
                    await self._look(connection)
                except (PgDurableError, psycopg.Error) as error:
                    if connection is not None:
                        await connection.close()
                        connection = None
                    self._bear(error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._somebody_came.wait(), self._next_pause())
        except Exception as error:
            # Whatever it was, nobody may wait for ever on a watch that does not look.
            self._tell_all(error)
            raise
        finally:
            if connection is not None:
                await connection.close()

    async def _look(self, connection: AsyncConnection) -> None:
        waiting = list(self._waiters)
        ids = list({waiter.awaited.instance_id for waiter in waiting})
        cursor = await connection.execute(calls.PROGRESS, [ids])
        found = {row.instance_id: row for row in [ProgressRow(*values) for values in await cursor.fetchall()]}
        self._lost_since = None
        for waiter in waiting:
            row = found.get(waiter.awaited.instance_id)
            if not waiter.end.done() and (row is None or waiter.awaited.has_come(row)):
                waiter.end.set_result(row)

    def _bear(self, error: PgDurableError | psycopg.Error) -> None:
        """Wait on when the server cannot be reached; tell everybody what went wrong otherwise."""
        ours = translate(error) if isinstance(error, psycopg.Error) else error
        now = asyncio.get_running_loop().time()
        self._lost_since = self._lost_since or now
        if not isinstance(ours, DatabaseUnavailableError) or now - self._lost_since > LOST_SECONDS:
            self._tell_all(ours or error)

    def _tell_all(self, error: Exception) -> None:
        for waiter in self._waiters:
            if not waiter.end.done():
                waiter.end.set_exception(error)

    def _next_pause(self) -> float:
        longest = min((waiter.longest_pause for waiter in self._waiters), default=FIRST_PAUSE)
        pause = min(self._pause, longest)
        self._pause *= GROWTH
        return pause


async def cancel(dsn: str, instance_id: str, reason: str) -> None:
    """Ask for an instance to be cancelled. Raises PgDurableError: ConflictError when it has ended before."""
    connection = await _connect(dsn)
    try:
        await connection.execute(calls.CANCEL, [instance_id, reason])
    except psycopg.Error as error:
        raise translate(error) or error from error
    finally:
        await connection.close()


async def _connect(dsn: str) -> AsyncConnection:
    try:
        return await psycopg.AsyncConnection.connect(
            conninfo(dsn, application_name="pgdurable airflow"), autocommit=True, prepare_threshold=None
        )
    except psycopg.Error as error:
        raise translate(error) or error from error
