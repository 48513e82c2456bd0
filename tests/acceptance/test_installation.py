"""`init` and `schema` as a user and a DBA run them."""

from __future__ import annotations

from commands import Pgdurable
from server import Database


def test_init_prepares_the_embedded_server_and_twice_changes_nothing(fresh: Pgdurable) -> None:
    first = fresh("init")
    assert (first.status, "created in pgdurable" in first.err) == (0, True)
    again = fresh("init")
    assert (again.status, "unchanged" in again.err) == (0, True)
    assert fresh("schema", "verify").status == 0


def test_init_elsewhere_shows_where_and_refuses_without_a_terminal(
    pgdurable: Pgdurable, empty_database: Database
) -> None:
    said = pgdurable("init", "--dsn", empty_database.dsn)
    assert said.status == 2
    assert empty_database.name in said.err
    assert f"owned by {empty_database.owner}" in said.err
    assert "--yes" in said.err
    assert empty_database.execute("select to_regnamespace('df') is null") == [(True,)]
    assert pgdurable("init", "--dsn", empty_database.dsn, "--yes").status == 0
    assert pgdurable("init", "--dsn", empty_database.dsn, "--yes", "--format", "json").json["outcome"] == "unchanged"


def test_a_foreign_schema_ends_with_3(pgdurable: Pgdurable, empty_database: Database) -> None:
    empty_database.execute("create schema df")
    said = pgdurable("init", "--yes", "--dsn", empty_database.dsn)
    assert (said.status, "is not ours" in said.err) == (3, True)


def test_commands_on_a_database_without_engine_say_how_to_get_it(
    pgdurable: Pgdurable, empty_database: Database
) -> None:
    said = pgdurable("workflows", "--dsn", empty_database.dsn)
    assert (said.status, "pgdurable init" in said.err) == (3, True)


def test_verify_ends_with_1_and_names_what_drifted(pgdurable: Pgdurable, database: Database) -> None:
    assert pgdurable("schema", "verify", "--dsn", database.dsn).status == 0
    database.execute("drop index df._events_instance")
    said = pgdurable("schema", "verify", "--dsn", database.dsn)
    assert (said.status, said.out) == (1, "missing  index df._events_instance\n")
    found = pgdurable("schema", "verify", "--dsn", database.dsn, "--format", "json").json
    assert [(one["kind"], one["what"], one["name"]) for one in found["differences"]] == [
        ("missing", "index", "df._events_instance")
    ]


def test_uninstall_wants_the_name_of_the_database_and_leaves_nothing(pgdurable: Pgdurable, database: Database) -> None:
    refused = pgdurable("schema", "uninstall", "--dsn", database.dsn)
    assert (refused.status, "--yes" in refused.err) == (2, True)
    assert pgdurable("schema", "uninstall", "--dsn", database.dsn, "--yes").status == 0
    assert database.execute("select count(*) from pg_namespace where nspname like 'df%'") == [(0,)]


def test_a_person_who_answers_no_changes_nothing(pgdurable: Pgdurable, empty_database: Database) -> None:
    no = pgdurable.typed("n", "init", "--dsn", empty_database.dsn)
    assert (no.status, "nothing was changed" in no.out) == (1, True)
    assert empty_database.execute("select to_regnamespace('df') is null") == [(True,)]
    yes = pgdurable.typed("y", "init", "--dsn", empty_database.dsn)
    assert (yes.status, "created in" in yes.out) == (0, True)


def test_uninstall_at_a_terminal_wants_the_name_typed(pgdurable: Pgdurable, database: Database) -> None:
    no = pgdurable.typed("yes", "schema", "uninstall", "--dsn", database.dsn)
    assert (no.status, "nothing was changed" in no.out) == (1, True)
    assert database.execute("select to_regnamespace('df') is null") == [(False,)]
    assert pgdurable.typed(database.name, "schema", "uninstall", "--dsn", database.dsn).status == 0
    assert database.execute("select to_regnamespace('df') is null") == [(True,)]
