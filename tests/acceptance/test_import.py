"""`import airflow`: from a DAG file to a finished run in one command."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commands import Pgdurable, Said
from server import Database

DAG = """
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("{name}", schedule=None) as dag:
    first = SQLExecuteQueryOperator(task_id="first", conn_id="warehouse", sql="{first}")
    second = BashOperator(task_id="second", bash_command="{second}")
    first >> second
"""

PROJECT = """
[environments.embedded]
fixture = "seed.sql"
beside = "echo up; exec sleep 1000"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "pgdurable.toml").write_text(PROJECT)
    (tmp_path / "seed.sql").write_text(
        "drop table if exists seeded; create table seeded (x int);\ncopy seeded from stdin;\n7\n\\.\n"
    )
    return tmp_path


def write_dag(folder: Path, name: str, first: str = "select x from seeded", second: str = "echo done") -> Path:
    file = folder / "dags" / f"{name}.py"
    file.write_text(DAG.format(name=name, first=first, second=second))
    return file


def lines_of(said: Said, *states: str) -> list[list[str]]:
    return [line.split()[:2] for line in said.out.splitlines() if line.split()[:1] and line.split()[0] in states]


def test_importing_writes_sql_and_report_and_twice_changes_nothing(pgdurable: Pgdurable, folder: Path) -> None:
    file = write_dag(folder, "plain")
    first = pgdurable("import", "airflow", file)
    assert first.status == 0, first.err
    assert "2 of 2 tasks have a home" in first.out
    written = {path.name: path.stat().st_mtime_ns for path in (folder / "workflows").iterdir()}
    assert sorted(written) == ["plain.graph.json", "plain.sql", "report.json", "report.md"]
    again = pgdurable("import", "airflow", file)
    assert (again.status, "4 unchanged" in again.err) == (0, True)
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "workflows").iterdir()} == written


def test_a_changed_folder_leaves_no_old_file_beside_a_new_one(pgdurable: Pgdurable, folder: Path) -> None:
    def files() -> list[str]:
        return sorted(path.name for path in (folder / "workflows").iterdir() if path.stem != "report")

    file = write_dag(folder, "first")
    pgdurable("import", "airflow", "dags")
    assert files() == ["first.graph.json", "first.sql"]
    file.write_text(file.read_text().replace('task_id="first"', 'task_id="first", pool="small"'))
    blocked = pgdurable("import", "airflow", "dags")
    assert (blocked.status, files()) == (1, ["first.sql.draft"])
    assert "Removed   workflows/first.graph.json: first is written as first.sql.draft now" in blocked.err
    assert "workflows/first.sql: first is written as first.sql.draft now" in blocked.err
    with (folder / "workflows" / "first.sql.draft").open("a") as draft:
        draft.write("-- mine\n")
    file.write_text(file.read_text().replace(', pool="small"', "").replace('DAG("first"', 'DAG("third"'))
    edited = pgdurable("import", "airflow", "dags")
    assert files() == ["first.sql.draft", "third.graph.json", "third.sql"]
    assert "Left over workflows/first.sql.draft: it is not in dags/first.py any more; it stays" in edited.err


def test_run_does_everything_and_leaves_the_database_to_look_at(pgdurable: Pgdurable, folder: Path) -> None:
    said = pgdurable("import", "airflow", write_dag(folder, "whole"), "--run", "--date", "2026-11-21")
    assert said.status == 0, said.err + said.out
    assert lines_of(said, "ok") == [["ok", "first"], ["ok", "second"]]
    assert said.out.splitlines()[-1].endswith(": 2 steps ran, 0 skipped, 0 retries. Nothing is scheduled yet.")
    assert "the private database with seed.sql" in said.err
    found = re.search(r"pgdurable explain (\w+)", said.err)
    assert found is not None
    explained = pgdurable("explain", found[1], "--format", "json").json
    assert explained["instance"]["status"] == "completed"
    assert explained["instance"]["logical_date"] == "2026-11-21T00:00:00+00:00"
    assert pgdurable("logs", found[1], "second").out.split()[-1] == "done"
    workers = pgdurable("status", "--format", "json").json["workers"]
    assert [worker["is_alive"] for worker in workers] == [False] * len(workers)


def test_the_same_fixture_is_not_run_twice_unless_it_is_named(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "seed.sql").write_text("drop table if exists seeded; create table seeded as select 7 as x;\n-- own\n")
    file = write_dag(folder, "seeding", first="insert into seeded values (8)")
    pgdurable("import", "airflow", file, "--run")
    second = pgdurable("import", "airflow", file, "--run")
    assert "Seeded    before" in second.err
    assert pgdurable("db", "psql", "--", "-Atc", "select count(*) from seeded").out == "3\n"
    third = pgdurable("import", "airflow", file, "--run", "--fixture", "seed.sql")
    assert third.status == 0, third.err
    assert pgdurable("db", "psql", "--", "-Atc", "select count(*) from seeded").out == "2\n"


def test_a_fixture_that_fails_stops_before_anything_is_deployed(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "seed.sql").write_text("create table half (x int); selct;")
    said = pgdurable("import", "airflow", write_dag(folder, "unseeded"), "--run")
    assert said.status == 2
    assert "syntax error" in said.err
    assert pgdurable("db", "psql", "--", "-Atc", "select to_regclass('half') is null").out == "t\n"


def test_a_run_that_fails_ends_with_1_and_says_what_to_do(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "pgdurable.toml").unlink()
    said = pgdurable("import", "airflow", write_dag(folder, "failing", first="select * from raw.nothing"), "--run")
    assert said.status == 1
    assert 'first: 42P01 relation "raw.nothing" does not exist' in said.out
    assert "the private database is empty: seed it" in said.err
    assert re.search(r"pgdurable logs \w+ first", said.err)


def test_json_is_one_document_on_stdout(pgdurable: Pgdurable, folder: Path) -> None:
    said = pgdurable("import", "airflow", write_dag(folder, "programs"), "--run", "--format", "json")
    assert said.status == 0, said.err
    assert said.json["run"]["instance"]["status"] == "completed"
    saved = json.loads((folder / "workflows" / "report.json").read_text())
    assert {**saved, "run": said.json["run"]} == said.json


def test_run_elsewhere_asks_first_and_never_runs_a_fixture_there(
    pgdurable: Pgdurable, folder: Path, empty_database: Database
) -> None:
    with (folder / "pgdurable.toml").open("a") as project:
        dsn = empty_database.dsn.replace("'", "")
        project.write(f'[environments.dev]\ndsn = "{dsn}"\n[environments.dev.connections]\nwarehouse = "here"\n')
    file = write_dag(folder, "abroad", first="select 1")
    early = pgdurable("import", "airflow", file, "--run", "--env", "dev", "--date", "2026-11-21T00:30+02:00")
    assert "run       once, now, for ds 2026-11-20" in early.err
    asked = pgdurable("import", "airflow", file, "--run", "--env", "dev")
    assert f"run       once, now, for ds {datetime.now(UTC):%Y-%m-%d}" in asked.err
    assert asked.status == 2
    toml = folder / "pgdurable.toml"
    toml.write_text(toml.read_text().replace("[environments.dev]\n", "[environments.dev]\ndate = 2026-11-19\n"))
    dated = pgdurable("import", "airflow", file, "--run", "--env", "dev")
    assert "run       once, now, for ds 2026-11-19" in dated.err
    assert re.search(r"Date +2026-11-19, as .*pgdurable\.toml says; --date takes another", dated.err)
    for words in (
        f"dev = {empty_database.owner}@",
        "init      create schema df",
        "warehouse -> this database, as whoever starts",
        "outside the database: second",
    ):
        assert words in asked.err
    assert empty_database.execute("select to_regnamespace('df') is null") == [(True,)]
    refused = pgdurable("import", "airflow", file, "--run", "--env", "dev", "--yes", "--fixture", "seed.sql")
    assert (refused.status, "never run anywhere else" in refused.err) == (2, True)
    done = pgdurable("import", "airflow", file, "--run", "--env", "dev", "--yes")
    assert done.status == 0, done.err
    assert empty_database.execute("select status from df.instances") == [("completed",)]
    assert empty_database.execute("select to_regclass('seeded') is null") == [(True,)]


def test_ctrl_c_stops_cleanly_and_a_worker_finishes_later(pgdurable: Pgdurable, folder: Path) -> None:
    file = write_dag(folder, "interrupted", second="sleep 2; echo finished")
    command = pgdurable.start("import", "airflow", file, "--run")
    assert command.stdout is not None
    for line in command.stdout:
        if line.startswith("  ok"):
            break
    time.sleep(0.5)
    command.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = command.communicate(timeout=30)
    assert command.returncode == 130, err
    assert time.monotonic() - began < 10
    assert "goes on when a worker runs" in err
    assert "Traceback" not in err
    found = re.search(r"pgdurable cancel (\w+)", err)
    assert found is not None
    assert pgdurable("explain", found[1], "--format", "json").json["instance"]["status"] == "running"
    assert pgdurable("worker", "--until-idle", timeout=200).status == 0
    assert pgdurable("explain", found[1], "--format", "json").json["instance"]["status"] == "completed"


def test_nothing_outlives_a_command_that_was_killed(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "pgdurable.toml").write_text(PROJECT.replace("sleep 1000", "sleep 4242"))
    command = pgdurable.start("import", "airflow", write_dag(folder, "killed", second="sleep 300"), "--run")
    assert command.stdout is not None
    for line in command.stdout:
        if line.startswith("  ok"):
            break
    assert processes("sleep 4242") != []
    command.kill()
    command.communicate()
    deadline = time.monotonic() + 15
    while processes("sleep 4242") or processes(f"run-{command.pid}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes(words: str) -> list[str]:
    """List the command lines of living processes that hold these words."""
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    else:
        listed = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                listed.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in listed if words in line]


def test_options_of_a_run_without_run_are_refused(pgdurable: Pgdurable, folder: Path) -> None:
    said = pgdurable("import", "airflow", write_dag(folder, "still"), "--date", "2026-11-21")
    assert (said.status, "are for --run" in said.err) == (2, True)
    told = " ".join(pgdurable("import", "airflow", "--help").out.split())
    assert "2026-11-21 or with a time; UTC. By default the environment's, else the start of today." in told


def test_two_workflows_cannot_be_run_at_once_and_are_named(pgdurable: Pgdurable, folder: Path) -> None:
    write_dag(folder, "one")
    write_dag(folder, "two")
    said = pgdurable("import", "airflow", folder / "dags", "--run")
    assert said.status == 2
    assert "one, two" in said.err
    assert pgdurable("import", "airflow", folder / "dags", "--run", "--dag", "two").status == 0


def test_an_unknown_importer_is_a_usage_error(pgdurable: Pgdurable, folder: Path) -> None:
    assert pgdurable("import", "oozie", folder).status == 2


def test_finding_explains_what_a_report_names(pgdurable: Pgdurable) -> None:
    listed = pgdurable("finding")
    assert listed.status == 0
    code = listed.out.split()[0]
    assert pgdurable("finding", code).out.startswith(code)
    assert pgdurable("finding", "AF999").status == 1


def test_files_name_themselves_as_they_were_written(pgdurable: Pgdurable, folder: Path) -> None:
    file = write_dag(folder, "elsewhere")
    assert pgdurable("import", "airflow", file, "--out", folder / "sql" / "my flows").status == 0
    written = folder / "sql" / "my flows"
    assert (
        "\n-- Apply   pgdurable deploy 'sql/my flows/elsewhere.sql' --env dev"
        in (written / "elsewhere.sql").read_text()
    )
    assert "`pgdurable deploy 'sql/my flows'/ --env dev`" in (written / "report.md").read_text()
    assert pgdurable("import", "airflow", file).status == 0
    there = (folder / "workflows" / "elsewhere.sql").read_text()
    assert "\n-- Apply   pgdurable deploy workflows/elsewhere.sql --env dev" in there
