"""`deploy`: what a file says is what the database has, all of it or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from commands import Pgdurable
from server import Database

CHAIN = """
select df.create_workflow('{name}', schedule => '0 6 * * *', steps => array[
  df.step('one', run => 'create table if not exists one (x int)'),
  df.step('two', after => '{{one}}', run => $$insert into one values ({value})$$)
]);
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "chain.sql").write_text(CHAIN.format(name="chain", value=1))
    return folder


def workflows(database: Database) -> list[tuple[object, ...]]:
    return database.execute("select name, version, is_paused from df.workflows order by name")


def test_a_new_workflow_with_a_schedule_is_paused_and_twice_changes_nothing(
    pgdurable: Pgdurable, database: Database, files: Path
) -> None:
    first = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert (first.status, first.out) == (0, "create    chain  v1, new, paused\n"), first.err
    again = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert (again.status, again.out) == (0, "unchanged chain  v1, paused\n")
    assert workflows(database) == [("chain", 1, True)]


def test_a_dry_run_says_what_would_happen_and_does_nothing(
    pgdurable: Pgdurable, database: Database, files: Path
) -> None:
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--dry-run")
    assert (said.status, said.out) == (0, "create    chain  v1, new, paused\n")
    assert workflows(database) == []


def test_check_is_for_ci(pgdurable: Pgdurable, database: Database, files: Path) -> None:
    assert pgdurable("deploy", files, "--dsn", database.dsn, "--check").status == 1
    pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert pgdurable("deploy", files, "--dsn", database.dsn, "--check").status == 0
    (files / "chain.sql").write_text(CHAIN.format(name="chain", value=2))
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--check", "--format", "json")
    assert said.status == 1
    assert [(change["fate"], change["before"], change["after"]) for change in said.json] == [("change", 1, 2)]
    assert workflows(database) == [("chain", 1, True)]


def test_a_workflow_that_no_file_has_any_more_is_named_and_left_alone(
    pgdurable: Pgdurable, database: Database, files: Path
) -> None:
    pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    (files / "chain.sql").write_text(CHAIN.format(name="other", value=1))
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert said.out.splitlines() == [
        "create    other  v1, new, paused",
        "gone      chain  v1, in no file; left as it is, paused",
    ]
    assert [name for name, *_ in workflows(database)] == ["chain", "other"]


def test_one_broken_file_stops_all_of_them_and_is_named_with_its_line(
    pgdurable: Pgdurable, database: Database, files: Path
) -> None:
    (files / "zzz.sql").write_text(
        "-- fine so far\nselect df.create_workflow('zzz', steps => array[\n  df.stp('a')]);\n"
    )
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert said.status == 1
    assert f"{files / 'zzz.sql'}:3: function df.stp(unknown) does not exist" in said.err
    assert workflows(database) == []


def test_what_the_engine_refuses_is_shown_with_the_file(pgdurable: Pgdurable, database: Database, files: Path) -> None:
    (files / "chain.sql").write_text(
        "select df.create_workflow('loop', steps => array[\n"
        "  df.step('a', run => 'select 1', after => '{b}'), df.step('b', run => 'select 1', after => '{a}')]);\n"
    )
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert said.status == 1
    assert str(files / "chain.sql") in said.err
    assert "PD400" in said.err


@pytest.mark.parametrize("options", [["--dry-run"], ["--check"], ["--yes"]], ids=lambda options: options[0])
def test_a_connection_that_nobody_knows_there_is_named_with_its_steps_and_what_mends_it(
    pgdurable: Pgdurable, database: Database, files: Path, tmp_path: Path, options: list[str]
) -> None:
    a, b = "'a', run => 'select 1', source => 'dags/x.py:3'", "'b', run => 'select 1', connection => 'here'"
    steps = f"df.step({a}), df.step({b})"
    defaults = """defaults => '{"connection": "ware house"}'"""
    (files / "chain.sql").write_text(f"select df.create_workflow('w', {defaults}, steps => array[{steps}]);")
    database.execute("select df.set_connection('here')")
    said = pgdurable("deploy", files, "--dsn", database.dsn, *options)
    assert said.status == (1 if options == ["--check"] else 0)
    assert said.out == "create    w  v1, new\n"
    missing = (
        "Missing   w a: connection ware house is not known there (dags/x.py:3)\n"
        "          until it is, start refuses what names it\n"
        "Mend      "
    )
    assert f"{missing}select df.set_connection('ware house')\n" in said.err
    project = "namespace = 'mart'\n[environments.dev]\ndsn = 'env:DEV_DSN'\n"
    (tmp_path / "pgdurable.toml").write_text(project)
    said = pgdurable("deploy", files, "--env", "dev", *options, DEV_DSN=database.dsn)
    assert "Missing   w b: connection here is not known there\n" in said.err.replace(
        "w a: connection ware house is not known there (dags/x.py:3)\n          ", ""
    )
    assert (
        "Mend      [environments.dev.connections] in pgdurable.toml:\n"
        '          here = "here"\n'
        '          "ware house" = "here"\n'
        "          or by hand:\n"
        "          select df.set_connection('here', namespace => 'mart')\n"
        "          select df.set_connection('ware house', namespace => 'mart')\n"
    ) in said.err
    (tmp_path / "pgdurable.toml").write_text(
        project + "[environments.dev.connections]\nhere = 'here'\n'ware house' = 'here'\n"
    )
    said = pgdurable("deploy", files, "--env", "dev", *options, DEV_DSN=database.dsn)
    assert "Missing" not in said.err


def test_a_draft_is_not_deployed(pgdurable: Pgdurable, database: Database, files: Path) -> None:
    (files / "chain.sql").rename(files / "chain.sql.draft")
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert (said.status, "blocked task" in said.err) == (1, True)
    assert workflows(database) == []


@pytest.mark.parametrize("statement", ["commit;", "BEGIN;", "/* a */ rollback to savepoint x;"])
def test_a_file_that_ends_the_transaction_is_refused_before_anything_runs(
    pgdurable: Pgdurable, database: Database, files: Path, statement: str
) -> None:
    with (files / "chain.sql").open("a") as file:
        file.write(statement)
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert (said.status, "one transaction of its own" in said.err) == (2, True)
    assert workflows(database) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "defines no workflow"), (b"select 1;", "defines no workflow"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_file_that_is_none_of_ours_is_refused(
    pgdurable: Pgdurable, database: Database, files: Path, content: bytes, said: str
) -> None:
    (files / "other.sql").write_bytes(content)
    answer = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert answer.status == 2
    assert said in answer.err
    assert workflows(database) == []


def test_deploying_elsewhere_asks_and_shows_what_it_would_do(
    pgdurable: Pgdurable, database: Database, files: Path
) -> None:
    said = pgdurable("deploy", files, "--dsn", database.dsn)
    assert said.status == 2
    assert database.name in said.err
    assert "create    chain  v1, new, paused" in said.err
    assert workflows(database) == []


MODULE = 'def greet(name):\n    """Grüße."""\n    return f"hello {name}"\n'


def pinned(content: str) -> str:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return (
        f"""select df.create_workflow('greeting', modules => '{{"lib.greetings": "sha256:{digest}"}}', """
        """steps => array[df.step('greet', run => df.python('lib.greetings:greet', '{"name": "you"}'))]);"""
    )


def test_pinned_modules_go_along_found_by_content(pgdurable: Pgdurable, database: Database, files: Path) -> None:
    (files.parent / "pgdurable.toml").write_text("")
    (files.parent / "dags" / "lib").mkdir(parents=True)
    (files.parent / "dags" / "lib" / "greetings.py").write_bytes(MODULE.encode())
    (files / "chain.sql").write_text(pinned(MODULE))
    assert pgdurable("deploy", files, "--dsn", database.dsn, "--yes").status == 0
    assert database.execute("select name, df.get_module(name, sha256) from df.modules") == [("lib.greetings", MODULE)]


def test_a_pinned_module_that_changed_is_refused(pgdurable: Pgdurable, database: Database, files: Path) -> None:
    (files.parent / "pgdurable.toml").write_text("")
    (files.parent / "dags" / "lib").mkdir(parents=True)
    (files.parent / "dags" / "lib" / "greetings.py").write_bytes(MODULE.replace("hello", "bye").encode())
    (files / "chain.sql").write_text(pinned(MODULE))
    said = pgdurable("deploy", files, "--dsn", database.dsn, "--yes")
    assert said.status == 1
    assert "pins module lib.greetings" in said.err
    assert "pgdurable import" in said.err
    assert workflows(database) == []


def test_connections_and_variables_come_from_the_environment(
    pgdurable: Pgdurable, database: Database, files: Path
) -> None:
    (files.parent / "pgdurable.toml").write_text(
        f"""
        [environments.dev]
        dsn = "{database.dsn.replace("'", "")}"
        [environments.dev.connections]
        warehouse = "here"
        ledger = {{ role = "{database.owner}" }}
        [environments.dev.variables]
        channel = "#mart"
        """
    )
    said = pgdurable("deploy", files, "--env", "dev", "--yes")
    assert said.status == 0, said.err
    assert database.execute("select name, kind, role::text from df.connections order by name") == [
        ("ledger", "here", database.owner),
        ("warehouse", "here", None),
    ]
    assert database.execute("select name, value from df.variables") == [("channel", "#mart")]
    assert pgdurable("deploy", files, "--env", "dev", "--check").status == 0
    assert pgdurable("deploy", files, "--env", "dev").status == 0, "nothing differs, so nobody is asked"
    database.execute("select df.set_variable('channel', '#other')")
    assert pgdurable("deploy", files, "--env", "dev", "--check").status == 1
