"""Databases that `deploy` and `import --run` cannot work with: what is said, and that nothing is changed there."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Pgdurable
from psycopg.conninfo import make_conninfo
from server import Database

from pgdurable_core.schema import load_catalog

CHAIN = "select df.create_workflow('{name}', steps => array[df.step('a', run => 'select {value}')]);\n"
VERSION = load_catalog().schema_version
COMMANDS = (("deploy", "workflows"), ("start", "chain"), ("status",))


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "chain.sql").write_text(CHAIN.format(name="chain", value=1))
    return folder


def yes(arguments: tuple[str, ...]) -> list[str]:
    return [*arguments, "--yes"] if arguments[0] == "deploy" else [*arguments]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_server_that_is_down_ends_with_3(pgdurable: Pgdurable, arguments: tuple[str, ...]) -> None:
    said = pgdurable(*yes(arguments), "--dsn", "host=127.0.0.1 port=1 dbname=x")
    assert (said.status, said.out) == (3, "")
    assert "Connection refused" in said.err


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_database_that_is_not_there_ends_with_3(
    pgdurable: Pgdurable, database: Database, arguments: tuple[str, ...]
) -> None:
    said = pgdurable(*yes(arguments), "--dsn", make_conninfo(database.dsn, dbname="nowhere"))
    assert (said.status, said.out) == (3, "")
    assert 'database "nowhere" does not exist' in said.err


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_foreign_schema_ends_with_3_and_is_left_alone(
    pgdurable: Pgdurable, empty_database: Database, arguments: tuple[str, ...]
) -> None:
    empty_database.execute("create schema df; create table df.instances (id int)")
    said = pgdurable(*yes(arguments), "--dsn", empty_database.dsn)
    assert (said.status, said.out) == (3, "")
    assert "is not ours" in said.err
    assert empty_database.execute("select count(*) from pg_class where relnamespace = 'df'::regnamespace") == [(1,)]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_role_without_rights_ends_with_3_and_is_told_how_they_are_granted(
    pgdurable: Pgdurable, database: Database, arguments: tuple[str, ...]
) -> None:
    stranger = database.server.create_role()
    said = pgdurable(*yes(arguments), "--dsn", database.dsn_as(stranger))
    assert (said.status, said.out) == (3, "")
    assert "permission denied for schema df" in said.err
    assert f"select df.grant_usage('{stranger}')" in said.err
    assert database.execute("select count(*) from df.workflows") == [(0,)]


def test_an_engine_newer_than_the_command_is_not_changed_by_init(pgdurable: Pgdurable, database: Database) -> None:
    database.execute("update df._engine set schema_version = schema_version + 1")
    said = pgdurable("init", "--dsn", database.dsn, "--yes")
    assert said.status == 3
    assert f"schema df is version {VERSION + 1}, this pgdurable knows up to {VERSION}" in said.err
    assert database.execute("select schema_version from df._engine") == [(VERSION + 1,)]


def test_an_engine_newer_than_the_command_is_deployed_to(pgdurable: Pgdurable, database: Database) -> None:
    database.execute("update df._engine set schema_version = schema_version + 1")
    assert pgdurable("deploy", "workflows", "--dsn", database.dsn, "--yes").status == 0, "signatures stay"


def test_an_engine_older_than_the_command_says_init(pgdurable: Pgdurable, database: Database) -> None:
    database.execute("update df._engine set schema_version = schema_version - 1")
    said = pgdurable("deploy", "workflows", "--dsn", database.dsn, "--yes")
    assert said.status == 3
    assert f"schema df is version {VERSION - 1}, this pgdurable needs {VERSION}" in said.err
    assert "pgdurable init --dsn" in said.err
    assert database.execute("select count(*) from df.workflows") == [(0,)]


def test_two_deploys_at_once_make_one_version(pgdurable: Pgdurable, database: Database, files: Path) -> None:
    for number in range(20):
        (files / f"w{number}.sql").write_text(CHAIN.format(name=f"w{number}", value=number))
    both = [pgdurable.start("deploy", "workflows", "--dsn", database.dsn, "--yes") for _ in range(2)]
    said = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert database.execute("select count(*), max(version) from df.workflows") == [(21, 1)]
