"""Hazards 11, 12, 22: what `others` does not catch, what waits for the commit, and foreign isolation levels."""

from __future__ import annotations

import psycopg
from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, chain, start, value, workflow
from server import Database

from pgdurable_core.engine import Connection


def test_a_failing_assertion_is_a_failed_attempt_like_any_other(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    failing = "do $do$ begin assert false, 'never'; end $do$"
    connection.execute(
        workflow(
            "asserts", f"df.step('s', retries => 1, retry_delay => '50 ms', run => $run${EFFECT}; {failing}$run$)"
        ).encode()
    )
    with Crew(database, 2) as crew:
        start(connection, "asserts")
        crew.finish()
    assert crew.errors == []
    row = connection.execute("select state, attempt, error ->> 'sqlstate' from df._steps").fetchone()
    assert row == ("failed", 2, "P0004")
    assert_once(connection)
    assert_consistent(connection)


def test_a_deferred_constraint_fails_inside_the_step_and_not_at_commit(
    database: Database, connection: Connection
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(
        "create table public.parents (id int primary key);"
        "create table public.children (id int references public.parents deferrable initially deferred)"
    )
    connection.execute(
        workflow(
            "orphan",
            f"df.step('s', run => $run${EFFECT}; insert into public.children values (7)$run$)",
            f"df.step('after', after => '{{s}}', rule => 'one_failed', run => $run${EFFECT}$run$)",
        ).encode()
    )
    with Crew(database, 2) as crew:
        start(connection, "orphan", 3)
        crew.finish()
    assert crew.errors == []
    assert value(connection, "select count(*) from public.children") == 0
    states = connection.execute(
        "select state, error ->> 'sqlstate', count(*) from df._steps group by 1, 2 order by 1"
    ).fetchall()
    assert states == [("completed", None, 3), ("failed", "23503", 3)]
    assert_once(connection)
    assert_consistent(connection)


def test_a_database_whose_default_is_serializable_and_whose_schema_shadows_operators(
    database: Database, connection: Connection, superuser: psycopg.Connection
) -> None:
    connection.execute(EFFECTS.encode())
    name = database.name
    superuser.execute(f"alter database {name} set default_transaction_isolation = 'serializable'".encode())
    superuser.execute(f"alter database {name} set timezone = 'Australia/Lord_Howe'".encode())
    superuser.execute(
        "create schema shadow; create function shadow.never(text, text) returns boolean language sql as 'select false';"
        "create operator shadow.= (leftarg = text, rightarg = text, function = shadow.never);"
        "create operator shadow.<> (leftarg = text, rightarg = text, function = shadow.never);"
        "grant usage on schema shadow to public"
    )
    superuser.execute(f"alter database {name} set search_path = shadow, pg_catalog, public".encode())
    with database.connect() as own:
        own.execute(chain("ten", 10).encode())
        with Crew(database, 6, idle=0.02) as crew:
            start(own, "ten", 60)
            crew.finish(60)
    assert crew.errors == []
    with database.connect() as plain:
        plain.execute("set search_path = pg_catalog, public")
        plain.execute("set default_transaction_isolation = 'read committed'")
        assert plain.execute("select state, count(*) from df._instances group by 1").fetchall() == [("completed", 60)]
        assert_once(plain)
        assert_consistent(plain)
