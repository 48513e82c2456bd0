"""Many who wait in one event loop look through one connection, and outlive it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pgdurable_airflow.provider import watching
from pgdurable_airflow.provider.attaching import Awaited
from server import Database

from pgdurable_core.engine import Client
from pgdurable_core.errors import ConflictError, PgDurableError

OURS = "from pg_stat_activity where application_name = 'pgdurable airflow' and datname = current_database()"


@pytest.fixture
def instances(client: Client) -> list[Awaited]:
    client.connection.execute("select df.create_workflow('w', steps => array[df.step('a', 'select 1')])")
    return [Awaited(client.start("w"), 1, 0) for _ in range(20)]


def live(script: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(script(), 60))


def test_twenty_wait_on_one_connection_which_goes_with_the_last(database: Database, instances: list[Awaited]) -> None:
    async def script() -> tuple[int, set[str], int, int]:
        waiting = [asyncio.ensure_future(watching.wait_for_end(database.dsn, each, 0.2)) for each in instances]
        await asyncio.sleep(0.5)
        connections = database.execute(f"select count(*)::int {OURS}")[0][0]
        database.execute("call df.work()")
        ends = [row.status for row in await asyncio.gather(*waiting) if row is not None]
        await asyncio.sleep(0.3)
        left = database.execute(f"select count(*)::int {OURS}")[0][0]
        return int(str(connections)), set(ends), len(ends), int(str(left))

    assert live(script) == (1, {"completed"}, 20, 0)


def test_one_that_gives_up_leaves_the_others_waiting(database: Database, instances: list[Awaited]) -> None:
    async def script() -> list[object]:
        one, other, *_ = [
            asyncio.ensure_future(watching.wait_for_end(database.dsn, each, 0.2)) for each in instances[:2]
        ]
        await asyncio.sleep(0.3)
        one.cancel()
        await asyncio.sleep(0.3)
        database.execute("call df.work()")
        row = await other
        return [one.cancelled(), row and row.status]

    assert live(script) == [True, "completed"]


def test_a_connection_that_breaks_is_made_anew(database: Database, instances: list[Awaited]) -> None:
    async def script() -> object:
        waiting = asyncio.ensure_future(watching.wait_for_end(database.dsn, instances[0], 0.2))
        await asyncio.sleep(0.3)
        assert database.execute(f"select pg_terminate_backend(pid) {OURS}") == [(True,)]
        await asyncio.sleep(0.3)
        database.execute("call df.work()")
        row = await waiting
        return row and row.status

    assert live(script) == "completed"


def test_an_instance_that_is_gone_is_an_end_without_a_row(database: Database) -> None:
    assert live(lambda: watching.wait_for_end(database.dsn, Awaited("000000000000", 1, 0), 0.2)) is None


def test_a_database_without_the_engine_is_told_to_whoever_waits(empty_database: Database) -> None:
    with pytest.raises(Exception, match=r"df\.instances"):
        live(lambda: watching.wait_for_end(empty_database.dsn, Awaited("000000000000", 1, 0), 0.2))


def test_a_server_that_stays_away_ends_the_wait(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOST_SECONDS", 0.5)
    with pytest.raises(PgDurableError, match="does not exist"):
        live(lambda: watching.wait_for_end(database.server.dsn("nowhere"), Awaited("000000000000", 1, 0), 0.2))


def test_cancel_says_when_there_is_nothing_to_cancel(database: Database, instances: list[Awaited]) -> None:
    database.execute("call df.work()")
    with pytest.raises(ConflictError, match="is already completed"):
        live(lambda: watching.cancel(database.dsn, instances[0].instance_id, "over"))
