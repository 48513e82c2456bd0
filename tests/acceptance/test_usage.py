"""What is wrong is said in words, with the exit status of the table, and never as a traceback."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from commands import Pgdurable
from server import Database

from pgdurable_core.cli.app import COMMANDS, cli


def test_an_unknown_command_is_a_usage_error_that_names_the_known_ones(pgdurable: Pgdurable) -> None:
    said = pgdurable("frobnicate")
    assert (said.status, said.out) == (2, "")
    assert "No such command 'frobnicate'" in said.err
    assert "workflows" in said.err


def test_a_database_that_nobody_answers_for_ends_with_3_and_a_hint(pgdurable: Pgdurable) -> None:
    said = pgdurable("status", "--dsn", "host=127.0.0.1 port=1 dbname=x")
    assert (said.status, said.out) == (3, "")
    assert "Connection refused" in said.err
    assert "hint" in said.err


def test_a_connection_string_that_cannot_be_read_is_a_usage_error(pgdurable: Pgdurable) -> None:
    said = pgdurable("status", "--dsn", "nonsense")
    assert said.status == 2
    assert "cannot be read" in said.err


def test_debug_shows_where_an_error_came_from(pgdurable: Pgdurable) -> None:
    with pytest.raises(AssertionError, match="DatabaseUnavailableError"):
        pgdurable("--debug", "status", "--dsn", "host=127.0.0.1 port=1 dbname=x")


def test_options_that_every_command_takes_may_stand_before_it_or_after_it(pgdurable: Pgdurable) -> None:
    before = pgdurable("--dsn", "host=127.0.0.1 port=1 dbname=x", "status")
    after = pgdurable("status", "--dsn", "host=127.0.0.1 port=1 dbname=x")
    assert before == after


def test_dsn_and_env_together_are_refused(pgdurable: Pgdurable) -> None:
    said = pgdurable("status", "--dsn", "host=a", "--env", "dev")
    assert (said.status, "both name a target" in said.err) == (2, True)


def test_an_unknown_environment_is_refused_with_the_known_ones(pgdurable: Pgdurable, tmp_path: Path) -> None:
    (tmp_path / "pgdurable.toml").write_text('[environments.dev]\ndsn = "host=dev"\n')
    said = pgdurable("status", "--env", "prod")
    assert said.status == 2
    assert "no environment is called 'prod'" in said.err
    assert "dev" in said.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("namespaces = 'x'", "unknown key namespaces"),
        ("[environments.dev]\ndns = 'host=x'", "unknown key environments.dev.dns"),
        ("[environments.dev]\ndate = 'someday'", "environments.dev.date: 'someday' is no date"),
        ("[environments.dev.connections]\nw = 'there'", 'environments.dev.connections.w must be "here"'),
        ("namespace = ", "cannot be read"),
    ],
)
def test_a_misspelt_project_file_is_refused_by_file_and_key(
    pgdurable: Pgdurable, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "pgdurable.toml").write_text(text)
    said = pgdurable("status", "--env", "dev")
    assert said.status == 2
    assert words in said.err
    assert str(tmp_path / "pgdurable.toml") in said.err


def test_a_dsn_may_be_a_reference_and_a_missing_one_is_named(pgdurable: Pgdurable, tmp_path: Path) -> None:
    (tmp_path / "pgdurable.toml").write_text('[environments.dev]\ndsn = "env:DEV_DSN"\n')
    missing = pgdurable("status", "--env", "dev")
    assert (missing.status, "DEV_DSN is not set" in missing.err) == (2, True)
    found = pgdurable("status", "--env", "dev", DEV_DSN="host=127.0.0.1 port=1 dbname=x")
    assert (found.status, "Connection refused" in found.err) == (3, True)


def test_commands_that_only_read_use_the_environment_of_libpq(pgdurable: Pgdurable) -> None:
    said = pgdurable("status", PGHOST="127.0.0.1", PGPORT="1", PGDATABASE="x")
    assert (said.status, "Connection refused" in said.err) == (3, True)


def test_commands_that_write_never_use_the_environment_of_libpq(pgdurable: Pgdurable) -> None:
    said = pgdurable("start", "nothing", PGHOST="127.0.0.1", PGPORT="1", PGDATABASE="x")
    assert "Connection refused" not in said.err


@pytest.mark.parametrize("command", ["status", "start w", "cancel abcd", "pause w", "worker", "deploy w.sql", "purge"])
def test_a_command_where_nothing_was_made_yet_makes_nothing(fresh: Pgdurable, command: str) -> None:
    (fresh.folder / "w.sql").write_text(
        "select df.create_workflow('w', steps => array[df.step('a', run => 'select 1')])"
    )
    said = fresh(*command.split())
    assert said.status == 2
    assert "there is no embedded database yet" in said.err
    assert list(fresh.home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lease", "nan"], "the lease must be a finite number of seconds, at least 1, not nan"),
        (["--lease", "inf"], "the lease must be a finite number of seconds, at least 1, not inf"),
        (["--lease", "0"], "the lease must be a finite number of seconds, at least 1, not 0"),
        (["--lease", "soon"], "'soon' is not a valid float"),
        (["--sql", "-1"], "the number of SQL sessions must be 0 or more, not -1"),
        (["--python", "-2"], "the number of processes must be 0 or more, not -2"),
        (["--python", "1.5"], "'1.5' is not a valid integer"),
        (["--sql", "0", "--python", "0"], "a worker needs at least one SQL session or process"),
    ],
)
def test_a_worker_that_could_do_nothing_is_refused_before_anything_starts(
    fresh: Pgdurable, arguments: list[str], words: str
) -> None:
    said = fresh("worker", *arguments)
    assert (said.status, said.out) == (2, "")
    assert words in said.err
    assert list(fresh.home.iterdir()) == []


def test_a_worker_without_rights_ends_with_3_and_says_how_they_are_granted(
    pgdurable: Pgdurable, database: Database
) -> None:
    stranger = database.server.create_role()
    said = pgdurable("worker", "--until-idle", "--dsn", database.dsn_as(stranger), timeout=30)
    assert said.status == 3
    assert "permission denied for schema df" in said.err
    assert f"select df.grant_worker('{stranger}', 'role')" in said.err


def walk(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """List every command below a command, by the words that lead to it."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [path, *(leaf for name, child in found if child is not None for leaf in walk(child, (*path, name)))]


def test_every_command_has_help_that_says_what_it_does() -> None:
    paths = walk(cli, ())
    assert len(paths) > len(COMMANDS)
    for path in paths:
        command: click.Command | None = cli
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        assert command is not None
        assert len(command.help or "") > 20, path


def test_the_script_of_the_schema_needs_no_database(fresh: Pgdurable) -> None:
    said = fresh("schema", "sql")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("-- pgdurable ")
    assert said.out.endswith("commit;\n")
