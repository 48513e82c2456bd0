"""Getting the engine in: once, twice, two at once, as an ordinary owner, and never over somebody else's schema."""

from __future__ import annotations

import threading

import pytest
from psycopg.rows import tuple_row
from server import Database, TestServer

from pgdurable_core.errors import SchemaError
from pgdurable_core.schema import Identity, Installed, install, load_catalog, look, require_ours

VERSION = load_catalog().schema_version


@pytest.mark.parametrize("server", [18, 16, 15], indirect=True)
def test_init_works_as_an_ordinary_owner_of_the_database(empty_database: Database) -> None:
    with empty_database.connect() as connection:
        attributes = connection.execute(
            "select rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user"
        ).fetchone()
        assert attributes == (False, False, False)
        assert install(connection) == Installed("created", 0, VERSION)


def test_init_twice_changes_nothing(empty_database: Database) -> None:
    with empty_database.connect() as connection:
        install(connection)
        assert install(connection) == Installed("unchanged", VERSION, VERSION)


def test_init_repairs_a_function_that_somebody_changed(empty_database: Database) -> None:
    with empty_database.connect() as connection:
        install(connection)
        connection.execute("create or replace function df.version() returns text language sql return 'mine'")
        assert install(connection) == Installed("refreshed", VERSION, VERSION)
        assert connection.execute("select df.version() = 'mine'").fetchone() == (False,)


def test_a_database_knows_who_it_is_after_init(empty_database: Database) -> None:
    with empty_database.connect() as connection:
        install(connection, identity=Identity(environment="dev", endpoint="db:5432/warehouse"))
        engine = require_ours(connection)
        assert connection.execute(
            "select system_identifier::text, (select oid from pg_database where datname = current_database())"
            " from pg_control_system()"
        ).fetchone() == (engine.system_identifier, engine.database_oid)
        assert (engine.environment, engine.endpoint, engine.is_test) == ("dev", "db:5432/warehouse", False)
        install(connection)
        assert require_ours(connection).environment == "dev"


def test_steps_get_the_settings_of_the_server_and_not_those_of_whoever_installed(empty_database: Database) -> None:
    empty_database.execute(f"alter role current_user in database {empty_database.name} set search_path = 'mine'")
    try:
        with empty_database.connect() as connection:
            install(connection)
            assert connection.execute("show search_path").fetchone() == ("mine",)
            assert connection.execute("select session_defaults from df._engine").fetchone() == (
                {
                    "DateStyle": "ISO, MDY",
                    "IntervalStyle": "postgres",
                    "TimeZone": "UTC",
                    "search_path": '"$user", public',
                },
            )
    finally:
        empty_database.execute(f"alter role current_user in database {empty_database.name} reset search_path")


def test_two_inits_at_once_install_once(empty_database: Database) -> None:
    done: list[Installed] = []
    gate = threading.Barrier(2)

    def run() -> None:
        with empty_database.connect() as connection:
            gate.wait()
            done.append(install(connection))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.outcome for one in done) == ["created", "unchanged"]


@pytest.fixture
def foreign(request: pytest.FixtureRequest, empty_database: Database) -> Database:
    """A database in which somebody else was first."""
    empty_database.execute(request.param)
    return empty_database


@pytest.mark.parametrize(
    "foreign",
    ["create schema df", "create schema df; create table df.instances (id int)", "create schema df_runners"],
    indirect=True,
)
def test_a_schema_of_somebody_else_is_refused_and_left_alone(foreign: Database) -> None:
    with foreign.connect() as connection:
        before = connection.execute("select oid::regclass::text from pg_class order by 1").fetchall()
        with pytest.raises(SchemaError, match="not ours"):
            install(connection)
        assert connection.execute("select oid::regclass::text from pg_class order by 1").fetchall() == before


def test_a_schema_newer_than_the_package_is_refused(database: Database) -> None:
    database.execute("update df._engine set schema_version = schema_version + 1")
    with database.connect() as connection, pytest.raises(SchemaError, match=f"version {VERSION + 1}"):
        install(connection)


def test_a_role_without_create_on_the_database_is_told_what_to_grant(
    server: TestServer, empty_database: Database
) -> None:
    stranger = server.create_role()
    with empty_database.connect(stranger) as connection, pytest.raises(SchemaError) as caught:
        install(connection)
    assert caught.value.hint == (
        f'grant create on database "{empty_database.name}" to "{stranger}", or connect as its owner'
    )


def test_somebody_who_does_not_own_the_schema_is_told_who_does(server: TestServer, database: Database) -> None:
    stranger = server.create_role()
    with (
        database.connect(stranger) as connection,
        pytest.raises(SchemaError, match=f"belongs to role {database.owner}"),
    ):
        install(connection)


def test_a_failing_init_leaves_the_database_as_it_was(empty_database: Database) -> None:
    catalog = load_catalog()
    broken = type(catalog)(
        catalog.migrations, (*catalog.behaviour, type(catalog.behaviour[0])("functions/broken.sql", "select 1;\nselct"))
    )
    with empty_database.connect() as connection:
        with pytest.raises(SchemaError, match=r"functions/broken\.sql:2: syntax error"):
            install(connection, broken)
        assert look(connection).kind == "nothing"
        assert connection.cursor(row_factory=tuple_row).execute("select 1").fetchone() == (1,)


def test_every_function_body_compiles_once_all_of_them_are_there(database: Database) -> None:
    with database.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("set local check_function_bodies = on")
        for file in load_catalog().behaviour:
            connection.execute(file.text.encode())
