"""`test`: a workflow run for real in a database of its own, which is gone afterwards whatever happens."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from bundled_example import EXAMPLE
from commands import Pgdurable
from psycopg.conninfo import conninfo_to_dict
from server import Database, TestServer

FLOW = """
select df.create_workflow('flow', params => '{"n": {"default": 2}}', defaults => '{"connection": "dwh"}',
  steps => array[
  df.step('rows',  run => $$select day::text, n from source where day = '{ds}' order by n$$),
  df.step('each',  each => 'rows', run => $$insert into target values ($item.n * $params.n) returning *$$),
  df.step('send',  after => '{each}', run => df.python('json:dumps', '{"obj": {"xcom": "each"}}')),
  df.step('print', after => '{send}', run => df.shell('echo done on {ds}'))
]);
"""
SEED = """
create table source (day date, n int); create table target (n int);
insert into source select '2026-11-21', n from generate_series(1, 3) n;
"""
STUBS = ("--stub", "send=1", "--stub", 'print="p"')


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "seed.sql").write_text(SEED)
    (tmp_path / "flow.sql").write_text(FLOW)
    return tmp_path / "flow.sql"


@pytest.fixture
def maker(server: TestServer) -> Iterator[Database]:
    """A database of a role that may make others."""
    role = server.create_role("login createdb")
    database = server.create_database(owner=role)
    yield database
    database.drop()


def databases(pgdurable: Pgdurable) -> set[str]:
    said = pgdurable("db", "psql", "--", "-At", "-c", "select datname from pg_database where datname ~ '^pgdurable_'")
    return set(said.out.split())


def databases_of(server: TestServer) -> list[str]:
    with psycopg.connect(server.admin_dsn) as connection:
        rows = connection.execute("select datname from pg_database where datname ~ '^pgdurable_'").fetchall()
    return [str(name) for (name,) in rows]


def steps(out: str) -> list[str]:
    return [re.sub(r" +", " ", re.sub(r"  +[\d.]+ m?s$", "", line)) for line in out.splitlines() if line[:2] == "  "]


def test_a_file_runs_with_fixture_and_stubs_and_leaves_nothing(pgdurable: Pgdurable, flow: Path) -> None:
    before = databases(pgdurable)
    said = pgdurable("test", "flow.sql", "--fixture", "seed.sql", *STUBS, "--date", "2026-11-21", "--param", "n=5")
    assert said.status == 0, said.err
    assert steps(said.out) == [
        " ok rows 3 rows",
        " ok each[3] 5 10 15",
        " ok send returned 1",
        " ok print returned p",
    ]
    assert said.err.splitlines()[1:] == [
        "Stubbed   send ends with 1",
        'Stubbed   print ends with "p"',
        "Seeded    seed.sql",
    ]
    assert databases(pgdurable) == before


def test_what_is_not_stubbed_runs_for_real_when_somebody_says_so(pgdurable: Pgdurable, flow: Path) -> None:
    arguments = ("test", "flow.sql", "--fixture", "seed.sql", "--date", "2026-11-21")
    refused = pgdurable(*arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "Outside   send: python json:dumps, runs for real\n          print: shell echo done on {ds}" in refused.err
    assert "--stub send=…, or --yes to let it run" in refused.err
    declined = pgdurable.typed("n", *arguments)
    assert (declined.status, "nothing was changed" in declined.out) == (1, True)
    said = pgdurable(*arguments, "--yes", "--format", "json")
    assert said.status == 0, said.err
    [run] = said.json
    results = {step["key"]: step["result"] for step in run["steps"] if step["kind"] in ("python", "shell")}
    assert results == {"send": "[[[2]], [[4]], [[6]]]", "print": "done on 2026-11-21"}


def test_stubs_have_the_shape_of_their_kind_for_the_steps_behind(pgdurable: Pgdurable, flow: Path) -> None:
    (flow.parent / "rows.json").write_text('[{"day": "2026-01-01", "n": 7}, {"day": "{ds}", "n": 1.50}]')
    stubs = ("--stub", "rows=rows.json", "--stub", 'print="p"')
    said = pgdurable("test", "flow.sql", "--fixture", "seed.sql", *stubs, "--yes", "--format", "json")
    assert said.status == 0, said.err
    [run] = said.json
    found = {(step["key"], step["map_index"]): step["result"] for step in run["steps"]}
    assert found[("rows", None)] == [{"day": "2026-01-01", "n": 7}, {"day": "{ds}", "n": 1.5}]
    assert [found[("each", index)] for index in (0, 1)] == [[{"n": 14}], [{"n": 3}]]
    assert found[("send", None)] == "[[[14]], [[3]]]"


def test_a_failure_says_why_before_its_database_goes(pgdurable: Pgdurable, flow: Path) -> None:
    flow.write_text(
        "select df.create_workflow('bad', defaults => '{\"retries\": 1}', steps => array["
        "df.step('a', source => 'w.sql:1', run => $q$do $d$ begin raise notice 'halfway';"
        " raise exception 'no' using detail = 'it is Sunday'; end $d$$q$),"
        " df.step('b', run => 'select * from nowhere')]);"
    )
    said = pgdurable("test", "flow.sql")
    assert (said.status, " failed a P0001 no" in steps(said.out)) == (1, True), said.out
    assert "2 retries" in said.out
    assert "detail  it is Sunday" in said.err
    assert "log     NOTICE: halfway" in said.err


def test_an_empty_database_is_told_apart_from_a_wrong_one(pgdurable: Pgdurable, flow: Path) -> None:
    said = pgdurable("test", "flow.sql", *STUBS)
    assert (said.status, said.err.splitlines()[-1]) == (
        1,
        "Hint      the database of a test is empty: --fixture seed.sql fills it",
    )


def test_of_a_folder_every_workflow_runs_and_a_draft_is_named(pgdurable: Pgdurable, flow: Path) -> None:
    folder = flow.parent / "workflows"
    folder.mkdir()
    for name, run in (("one", "select 1"), ("two", "select 1 / 0"), ("three", "select 3")):
        text = f"select df.create_workflow('{name}', steps => array[df.step('{name}_step', run => '{run}')]);"
        (folder / f"{name}.sql").write_text(text)
    said = pgdurable("test", "workflows")
    assert (said.status, steps(said.out)) == (
        1,
        [
            " ok one_step 1 row",
            " ok three_step 1 row",
            " failed two_step 22012 division by zero",
            " two_step: 22012 division by zero",
        ],
    )
    (folder / "two.sql").rename(folder / "two.sql.draft")
    said = pgdurable("test", "workflows", "--stub", "three_step=[]")
    assert (said.status, steps(said.out)) == (1, [" ok one_step 1 row", " ok three_step 0 rows"])
    assert said.err.splitlines()[-1] == "Blocked   workflows/two.sql.draft holds a blocked task and was not tested"


def test_expectations_decide_besides_the_status(pgdurable: Pgdurable, flow: Path) -> None:
    (flow.parent / "good.json").write_text(
        '{"states": {"each[2]": "completed"}, "results": {"each": [[{"n": 2}], [{"n": 4}], [{"n": 6}]]},'
        ' "row_counts": {"rows": 3}}'
    )
    (flow.parent / "bad.json").write_text('{"status": "failed", "states": {"rows": "skipped", "x": "failed"}}')
    (flow.parent / "good.sql").write_text("select count(*) = 3 as three, max(n) = 6 as six from target;")
    (flow.parent / "bad.sql").write_text("select 1 = 1; select count(*) = 4 as four from target; select 1 from nowhere")
    arguments = ("test", "flow.sql", "--fixture", "seed.sql", *STUBS, "--date", "2026-11-21", "--expect")
    for name in ("good.json", "good.sql"):
        assert pgdurable(*arguments, name).status == 0
    assert unlike(pgdurable(*arguments, "bad.json").err) == [
        "status is completed, expected failed",
        "rows: state is completed, expected skipped",
        "x: there is no such step; there are rows, each, each[0], each[1], each[2], send, print",
    ]
    said = pgdurable(*arguments, "bad.sql")
    assert (said.status, unlike(said.err)) == (1, ['relation "nowhere" does not exist'])
    (flow.parent / "bad.sql").write_text("select 1 = 1; select count(*) = 4 as four from target; select where false")
    assert unlike(pgdurable(*arguments, "bad.sql").err) == [
        "statement 2: four is False, expected true",
        "statement 3 returned no row",
    ]
    (flow.parent / "odd.json").write_text('{"state": "failed"}')
    odd = pgdurable(*arguments, "odd.json")
    assert (odd.status, "odd.json is not an object of status, states, results, row_counts" in odd.err) == (2, True)


def unlike(err: str) -> list[str]:
    lines = err.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("Unlike"))
    return [line[10:] for line in lines[start:]]


def test_a_stub_of_no_step_and_a_file_that_is_not_there_are_refused(pgdurable: Pgdurable, flow: Path) -> None:
    before = databases(pgdurable)
    for arguments, message in (
        (("flow.sql", "--stub", "sent=1"), "did you mean send?"),
        (("flow.sql", "--stub", "rows=1"), "the stub of rows must be rows"),
        (("flow.sql", "--stub", "rows"), "is not STEP=FILE or STEP=json"),
        (("no.sql",), "there is no file no.sql"),
        (("flow.sql", "--fixture", "flow.sql"), "Outside"),
    ):
        said = pgdurable("test", *arguments)
        assert (said.status, said.out, message in said.err) == (2, "", True), said.err
    assert databases(pgdurable) == before


def test_keep_keeps_it_and_the_next_test_leaves_it_alone(pgdurable: Pgdurable, flow: Path) -> None:
    said = pgdurable("test", "flow.sql", "--fixture", "seed.sql", *STUBS, "--date", "2026-11-21", "--keep")
    found = re.fullmatch(r'psql "(.*)"', said.err.splitlines()[-1].removeprefix("Kept").strip())
    assert found is not None, said.err
    assert pgdurable("test", "flow.sql", *STUBS).status == 1
    with psycopg.connect(found[1], autocommit=True) as connection:
        assert connection.execute("select array_agg(n order by n) from target").fetchall() == [([2, 4, 6],)]
    name = conninfo_to_dict(found[1])["dbname"]
    pgdurable("db", "psql", "--", "-c", f"alter database {name} rename to gone")


def test_ctrl_c_drops_the_database(pgdurable: Pgdurable, flow: Path) -> None:
    before = databases(pgdurable)
    process = started(pgdurable, flow)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted")
    assert databases(pgdurable) == before


def test_what_a_killed_test_left_the_next_one_removes(pgdurable: Pgdurable, flow: Path) -> None:
    before = databases(pgdurable)
    process = started(pgdurable, flow)
    process.kill()
    process.communicate(timeout=30)
    [left] = databases(pgdurable) - before
    deadline = time.monotonic() + 30
    while databases(pgdurable) != before:
        assert time.monotonic() < deadline
        said = pgdurable("test", "flow.sql", "--stub", "a=null")
        assert said.status == 0, said.err
        time.sleep(0.2)
    assert f"Removed   {left}, left by tests that were killed" in said.err


def started(pgdurable: Pgdurable, flow: Path) -> subprocess.Popen[str]:
    flow.write_text("select df.create_workflow('slow', steps => array[df.step('a', run => 'select pg_sleep(60)')]);")
    process = pgdurable.start("test", "flow.sql")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Run       slow")
    return process


# Beside a named database.


def test_a_named_database_is_not_touched(pgdurable: Pgdurable, flow: Path, maker: Database) -> None:
    said = pgdurable("test", "flow.sql", "--fixture", "seed.sql", *STUBS, "--date", "2026-11-21", "--dsn", maker.dsn)
    assert (said.status, said.out) == (2, "")
    assert "in a new database beside this one, which is not touched; dropped at the end" in said.err
    said = pgdurable(
        "test", "flow.sql", "--fixture", "seed.sql", *STUBS, "--date", "2026-11-21", "--yes", "--dsn", maker.dsn
    )
    assert said.status == 0, said.err
    assert maker.execute("select nspname from pg_namespace where nspname !~ '^(pg_|information_schema|public)'") == []
    assert databases_of(maker.server) == []


def test_a_role_that_may_make_no_database_is_told_so(pgdurable: Pgdurable, flow: Path, database: Database) -> None:
    said = pgdurable("test", "flow.sql", "--yes", "--dsn", database.dsn)
    assert (said.status, said.out) == (3, "")
    assert "role pgdurable may not make the database that a trial needs" in said.err
    assert "alter role … createdb" in said.err


@pytest.fixture
def deployed(pgdurable: Pgdurable, flow: Path, maker: Database) -> Database:
    """The example in a named database: tables, workflow with its module, and an instance that nobody has run."""
    pgdurable("init", "--yes", "--dsn", maker.dsn)
    maker.execute((EXAMPLE / "seed.sql").read_text())
    maker.execute("select df.set_connection('warehouse', namespace => 'mart')")
    said = pgdurable("deploy", EXAMPLE / "workflows" / "orders_daily.sql", "--yes", "--dsn", maker.dsn)
    assert said.status == 0, said.err
    said = pgdurable("start", "orders_daily", "--dsn", maker.dsn, "--date", "2026-11-20")
    assert said.status == 0, said.err
    return maker


def test_a_deployed_workflow_is_tried_by_its_name(pgdurable: Pgdurable, deployed: Database) -> None:
    arguments = (
        "test",
        "orders_daily",
        "--yes",
        "--stub",
        "erp_batch=3",
        "--date",
        "2026-11-21",
        "--dsn",
        deployed.dsn,
    )
    said = pgdurable(*arguments, "--fixture", EXAMPLE / "seed.sql")
    assert said.status == 0, said.err
    assert " ok merge 300 rows" in steps(said.out)
    assert instances(deployed) == [("2026-11-20", "pending")]


def test_a_clone_has_the_tables_and_none_of_the_queue(pgdurable: Pgdurable, deployed: Database) -> None:
    arguments = ("test", "orders_daily", "--clone", "--yes", "--stub", "erp_batch=3", "--date", "2026-11-21")
    said = pgdurable(*arguments, "--dsn", deployed.dsn, "--format", "json")
    assert said.status == 0, said.err
    [run] = said.json
    assert [step["row_count"] for step in run["steps"] if step["key"] == "merge"] == [300]
    assert instances(deployed) == [("2026-11-20", "pending")]
    assert deployed.execute("select count(*) from mart.orders") == [(0,)]
    assert databases_of(deployed.server) == []


def test_who_hinders_a_clone_is_named(pgdurable: Pgdurable, deployed: Database) -> None:
    with deployed.connect():
        said = pgdurable("test", "orders_daily", "--clone", "--yes", "--dsn", deployed.dsn)
    assert (said.status, said.out) == (2, "")
    assert f"database {deployed.name} cannot be copied while somebody is connected to it" in said.err
    assert f"pgdurable test as {deployed.owner}, pid " in said.err


def instances(database: Database) -> list[tuple[object, ...]]:
    return database.execute("select logical_date::date::text, status from df.instances")
