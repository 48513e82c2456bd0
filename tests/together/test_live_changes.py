# ruff: noqa: E501
"""Hazard 28: functions replaced, tables altered and the engine drained under load."""

from __future__ import annotations

import time

from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, chain, start, until, value
from server import Database

from pgdurable_core.engine import Connection


def test_functions_are_replaced_and_a_table_grows_a_column_while_sessions_work(
    database: Database, connection: Connection
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("ten", 10, f"{EFFECT}; select pg_sleep(0.003)").encode())
    functions = [
        row[0]
        for row in connection.execute(
            "select pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace = 'df'::regnamespace "
            "and p.proname in ('_take', '_claim', '_execute', '_advance', '_finish_step', '_checkpoint', '_ahead', '_turn', 'work', '_run_as')"
        ).fetchall()
    ]
    assert len(functions) >= 7
    with Crew(database, 6, idle=0.02) as crew:
        start(connection, "ten", 150)
        for number in range(6):
            for definition in functions:
                connection.execute(definition.encode())
            connection.execute("set lock_timeout = '5s'")
            for table in ("_steps", "_joins", "_instances"):
                connection.execute(f"alter table df.{table} add column x{number} integer".encode())
                connection.execute(f"alter table df.{table} drop column x{number}".encode())
            time.sleep(0.1)
        crew.finish(60)
    assert [error for error in crew.errors if error.sqlstate not in ("0A000", "XX000")] == []
    assert value(connection, "select count(*) from df._instances where state <> 'completed'") == 0
    assert_once(connection)
    assert_consistent(connection)


def test_draining_lets_running_steps_end_and_claims_nothing_more(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("two", 2, f"{EFFECT}; select pg_sleep(0.5)").encode())
    with Crew(database, 2, ticker=False, idle=0) as crew:
        start(connection, "two")
        until(lambda: value(connection, "select count(*) from df._steps where state = 'running'") == 1)
        connection.execute("update df._engine set draining = true")
        until(lambda: value(connection, "select count(*) from df._steps where state = 'completed'") == 1)
        time.sleep(0.5)
        assert value(connection, "select array_agg(state::text order by step) from df._steps") == ["completed", "ready"]
        assert value(connection, "select count(*) from df._sessions") == 0
        assert {error.sqlstate for error in crew.errors} <= {"PD503"}
        connection.execute("update df._engine set draining = false")
        crew.finish(20)
    assert_once(connection)
    assert_consistent(connection)
