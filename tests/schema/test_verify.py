"""`schema verify` finds whatever was changed by hand, and nothing else."""

from __future__ import annotations

import pytest
from server import Database, TestServer

from pgdurable_core.errors import SchemaError
from pgdurable_core.schema import verify


def differences(database: Database) -> list[str]:
    with database.connect() as connection:
        return [str(difference) for difference in verify(connection).differences]


@pytest.mark.parametrize("server", [18, 16, 15], indirect=True)
def test_a_fresh_installation_verifies(database: Database) -> None:
    assert differences(database) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "create or replace function df.version() returns text language sql return 'mine'",
            "changed  function df.version()",
        ),
        ("drop index df._events_instance", "missing  index df._events_instance"),
        ("alter table df._instances drop constraint _instances_finished", "missing  constraint df._instances."),
        ("alter table df._workflows add column mine text", "extra    column df._workflows.mine"),
        ("alter table df._workflows alter column created_at drop not null", "changed  column df._workflows.created_at"),
        ("create table df.mine ()", "extra    table df.mine"),
        ("create function df.mine() returns int language sql return 1", "extra    function df.mine()"),
        ("grant select on df._variables to public", "extra    right select on df._variables to public"),
        ("alter table df._steps set (fillfactor = 100)", "changed  table df._steps"),
    ],
)
def test_a_change_by_hand_is_found(database: Database, change: str, found: str) -> None:
    database.execute(change)
    lines = differences(database)
    assert len([line for line in lines if line.startswith(found)]) == 1, lines


def test_verify_changes_nothing_and_nobody_waits_for_it(database: Database) -> None:
    before = database.execute("select oid, nspname from pg_namespace order by 1")
    with database.connect(autocommit=False) as busy:
        busy.execute("insert into df._variables (name, value) values ('a', 'b')")
        assert differences(database) == []
        busy.commit()
    assert database.execute("select oid, nspname from pg_namespace order by 1") == before
    assert database.execute("select value from df._variables") == [("b",)]


def test_views_that_people_were_given_are_no_difference(server: TestServer, database: Database) -> None:
    reader = server.create_role()
    database.execute(f"grant usage on schema df to {reader}")
    assert differences(database) == []


def test_an_older_schema_is_not_compared_but_named(database: Database) -> None:
    database.execute("update df._engine set schema_version = 0")
    with database.connect() as connection, pytest.raises(SchemaError) as caught:
        verify(connection)
    assert caught.value.hint == "pgdurable init"


def test_a_database_without_engine_is_named(empty_database: Database) -> None:
    with empty_database.connect() as connection, pytest.raises(SchemaError, match="holds no engine"):
        verify(connection)
