"""The pytest plugin, as a team meets it: `pip install pgdurable`, then `pytest`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import Pgdurable
from server import TestServer

FLOW = """
select df.create_workflow('flow', params => '{"n": {"default": 2}}', steps => array[
  df.step('rows',  run => $$select n, '{ds}' as day from source order by n$$, source => 'flow.sql:3'),
  df.step('each',  each => 'rows', run => $$insert into target values ($item.n * $params.n, $item.day) returning n$$),
  df.step('print', after => '{each}', run => df.shell('echo one; echo two'))
]);
"""
SEED = """
create table if not exists source (n int); create table if not exists target (n int, day text);
insert into source select generate_series(1, 2);
"""


@dataclass(frozen=True)
class Team:
    """A folder with a workflow, its seed, and tests in a folder below."""

    folder: Path
    pgdurable: Pgdurable

    def pytest(self, tests: str, *options: str) -> tuple[int, str]:
        """Write the tests and run them; return pytest's status and everything it printed."""
        (self.folder / "tests").mkdir(exist_ok=True)
        (self.folder / "tests" / "test_flow.py").write_text(tests)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options],
            cwd=self.folder,
            env=self.pgdurable.environ(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def team(tmp_path: Path, pgdurable: Pgdurable) -> Team:
    (tmp_path / "flow.sql").write_text(FLOW)
    (tmp_path / "seed.sql").write_text(SEED)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return Team(tmp_path, pgdurable)


def test_a_run_can_be_asked_for_everything_that_came_of_it(team: Team) -> None:
    status, said = team.pytest("""
import datetime
import pytest

def test_a_run(pgdurable_trial):
    run = pgdurable_trial("flow.sql", fixture="seed.sql", date=datetime.date(2026, 11, 21), params={"n": 5},
                          outside=["print"])
    assert (run.status, run.is_completed) == ("completed", True)
    assert run.states == {"rows": "completed", "each": "completed", "each[0]": "completed", "each[1]": "completed",
                          "print": "completed"}
    assert run.step("rows").row_count == 2
    assert run.result("rows") == [{"n": 1, "day": "2026-11-21"}, {"n": 2, "day": "2026-11-21"}]
    assert run.result("each") == [[{"n": 5}], [{"n": 10}]]
    assert run.result("each[1]") == [{"n": 10}]
    assert run.logs("print") == run.logs() == ["one", "two"]
    assert run.query("select n, day from target where n > %s", [5]) == [(10, "2026-11-21")]
    assert repr(run) == "<Run flow completed: 5 completed>"
    with pytest.raises(Exception, match="the run has no step 'row'"):
        run.step("row")

def test_a_database_is_a_tests_own(pgdurable_trial):
    run = pgdurable_trial("flow.sql", fixture=["seed.sql"], stubs={"print": None})
    assert run.query("select current_database() ~ '^pgdurable_test_', count(*) from target group by 1") == [(True, 2)]
    again = pgdurable_trial("flow.sql", stubs={"print": None, "rows": [{"n": 7, "day": "x"}]})
    assert again.query("select max(n), count(*) from target") == [(14, 3)]
""")
    assert (status, said.splitlines()[-1][:8]) == (0, "2 passed"), said
    assert not any(name.startswith("pgdurable_test") for name in databases(team))


def databases(team: Team) -> list[str]:
    return team.pgdurable("db", "psql", "--", "-At", "-c", "select datname from pg_database").out.split()


def test_a_failed_run_is_explained_in_pytests_report(team: Team) -> None:
    status, said = team.pytest("""
def test_a_run(pgdurable_trial):
    run = pgdurable_trial("flow.sql", date="2026-11-21", stubs={"print": "p"})
    assert run.is_completed
""")
    assert status == 1
    assert """<Run flow failed: rows: 42P01 relation "source" does not exist (flow.sql:3)>.is_completed""" in said
    section = said[said.index("pgdurable run") :]
    assert "flow failed, the embedded PostgreSQL\n" in section
    assert "  upstream_failed each" in section


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('"flow.sql"', "reaches outside of the database: print (shell echo one; echo two)"),
        ('"flow.sql", outside=["rows"]', "reaches outside of the database: print (shell echo one; echo two)"),
        ('"flow.sql", stubs={"prnt": 1}', "no step is called 'prnt', so it cannot be stubbed"),
        ('"flow.sql", stubs={"print": object()}', "a stub cannot be that"),
        ('"flow.sql", stubs={"print": 1}, date="today"', "'today' is no date"),
        ('"flow.sql", stubs={"print": 1}, workflow="x"', "one workflow is run at a time; the files define: flow"),
        ('"none.sql"', "No such file"),
        ('"seed.sql"', "defines no workflow"),
        ('"flow.sql", stubs={"print": 1}, fixture="none.sql"', "there is no fixture"),
        (
            '"flow.sql", stubs={"print": 1, "rows": [], "each": None}, outside=True, timeout=-1',
            "the run was not over after -1 s",
        ),
    ],
)
def test_what_cannot_be_is_refused(team: Team, call: str, message: str) -> None:
    status, said = team.pytest(f"def test_a_run(pgdurable_trial):\n    pgdurable_trial({call})\n", "--tb=short")
    assert (status, message in said) == (1, True), said


def test_a_project_may_name_its_server(team: Team, server: TestServer) -> None:
    role = server.create_role("login createdb")
    (team.folder / "pytest.ini").write_text("[pytest]\npgdurable_dsn = env:TRIALS\n")
    team.pgdurable.environment["TRIALS"] = server.dsn("postgres", role)  # type: ignore[index]
    status, said = team.pytest(f"""
def test_a_run(pgdurable_trial):
    run = pgdurable_trial("flow.sql", fixture="seed.sql", stubs={{"print": 1}})
    assert run.query("select current_user::text") == [({role!r},)]
""")
    assert status == 0, said


def test_loading_the_plugin_costs_nothing(tmp_path: Path) -> None:
    heavy = ("psycopg", "click", "rich", "sqlglot", "networkx", "jinja2", "fasteners", "platformdirs")
    script = f"""
import sys, pytest
before = set(sys.modules)
import pgdurable_core.testing.plugin
print(sorted(name for name in {heavy} if name in set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
