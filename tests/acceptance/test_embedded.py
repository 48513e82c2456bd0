"""`pgdurable db`: one server per home, found by whoever comes second, alive after the command that started it."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
from commands import Pgdurable, Said

from pgdurable_core.embedded import EMBEDDED_VERSION, Server


def test_the_server_survives_the_command_and_is_used_as_an_ordinary_role(fresh: Pgdurable) -> None:
    assert fresh("db", "status").status == 1
    started = fresh("db", "start")
    assert (started.status, "Started" in started.err) == (0, True)
    with psycopg.connect(started.out.strip()) as connection:
        row = connection.execute(
            "select current_user, current_database(), r.rolsuper or r.rolcreaterole or r.rolcreatedb,"
            " d.datdba = r.oid, current_setting('server_version_num')::int / 10000"
            " from pg_roles r, pg_database d where rolname = current_user and datname = current_database()"
        ).fetchone()
    assert row == ("pgdurable", "pgdurable", False, True, EMBEDDED_VERSION)
    again = fresh("db", "start")
    assert (again.out, "Running" in again.err) == (started.out, True)
    assert fresh("db", "status").out == started.out
    assert fresh("db", "status", "--format", "json").json["dsn"] == started.out.strip()
    assert fresh("db", "stop").status == 0
    assert fresh("db", "status").status == 1
    assert "was not running" in fresh("db", "stop").err


def test_what_is_stored_survives_a_stop_and_a_crash(fresh: Pgdurable) -> None:
    fresh("db", "start")
    fresh("db", "psql", "--", "-q", "-c", "create table kept as select 42 as answer")
    fresh("db", "stop")
    assert fresh("db", "psql", "--", "-At", "-c", "select answer from kept").out == "42\n"
    Server.of_version(EMBEDDED_VERSION, fresh.home / f"postgres-{EMBEDDED_VERSION}").stop("immediate")
    assert fresh("db", "psql", "--", "-At", "-c", "select answer from kept").out == "42\n"


def test_commands_that_start_at_once_do_not_fight(fresh: Pgdurable) -> None:
    said: list[Said] = []
    threads = [threading.Thread(target=lambda: said.append(fresh("db", "start"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.status for one in said] == [0, 0, 0]
    assert len({one.out for one in said}) == 1
    assert sorted("Started" in one.err for one in said) == [False, False, True]


def test_a_home_too_deep_for_a_socket_works_too(fresh: Pgdurable, tmp_path: Path) -> None:
    deep = fresh.home / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    other = Pgdurable(tmp_path, deep)
    try:
        assert other("db", "psql", "--", "-At", "-c", "select 1").out == "1\n"
    finally:
        other("db", "stop")


def test_psql_ends_with_1_when_its_command_fails(pgdurable: Pgdurable) -> None:
    said = pgdurable("db", "psql", "--", "-v", "ON_ERROR_STOP=1", "-c", "selct")
    assert said.status == 1
    assert "syntax error" in said.err
