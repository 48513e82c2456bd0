"""psql alone: nothing but `call df.work()` in a loop, whatever died before."""

from __future__ import annotations

from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, chain, start, until, value
from server import Database

from pgdurable_core.engine import Connection


def test_work_alone_takes_back_what_a_dead_session_held(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("one", 1, f"{EFFECT}; select pg_sleep(0.3)").encode())
    with Crew(database, 1, ticker=False) as crew:
        start(connection, "one")
        until(lambda: value(connection, "select count(*) from df._steps where state = 'running'") == 1)
        connection.execute("select pg_terminate_backend(%s)", [crew.pids[0]])
    # Nothing waits but what the dead session held: the next call finds it by itself.
    until(lambda: value(connection, "call df.work(10, 0.5)") is not None and _done(connection), 20)
    assert_once(connection)
    assert_consistent(connection)


def _done(connection: Connection) -> bool:
    return bool(value(connection, "select state = 'completed' from df._instances"))
