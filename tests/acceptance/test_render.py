"""`render`: SQL as one would paste it into psql, and nothing written anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bundled_example import EXAMPLE
from commands import Pgdurable
from server import Database

from pgdurable_core.embedded import find_binaries

FLOW = """
select df.create_workflow('flow', params => '{"n": {"default": 7}}', steps => array[
  df.step('seed',  run => $$insert into t values ('{day}', $params.n); select * from t -- all of it$$,
          bind => '{"day": "df.ds_add(ds, 1)"}', source => E'flow.sql:1\\ndrop table t'),
  df.step('each',  each => 'seed', run => $$select $item.n where '{run_id}' <> ''$$),
  df.step('print', after => '{each}', run => df.shell(E'echo {ds}\\necho twice', env => '{"DAY": "{ds}"}')),
  df.step('send',  after => '{each}', run => df.python('mail:send', '{"rows": {"xcom": "each"}, "ds": "{ds}"}'))
]);
"""

TEXT = """\
-- seed: sql, flow.sql:1 drop table t
insert into t values ('2024-02-29', 7);
select * from t -- all of it
;

-- each[]: sql, once per row of seed
select $item.n where '{run_id}' <> '';

-- print: shell
-- echo 2024-02-28
-- echo twice
-- env {"DAY": "2024-02-28"}

-- send: python mail:send
-- { "ds" : "2024-02-28", "rows" : {"xcom": "each"} }
"""

OPEN = """\
Open      each[]: $item.n, {run_id} are known only when it runs
Open      send: {"xcom": "each"} is known only when it runs
"""


def test_a_deployed_workflow_is_rendered_for_a_date(pgdurable: Pgdurable, database: Database, tmp_path: Path) -> None:
    (tmp_path / "flow.sql").write_text(FLOW)
    pgdurable("deploy", "flow.sql", "--dsn", database.dsn, "--yes")
    said = pgdurable("render", "flow", "--date", "2024-02-28", "--dsn", database.dsn)
    assert (said.status, said.out, said.err) == (0, TEXT, OPEN)
    one = pgdurable("render", "flow", "seed", "--date", "2024-02-28", "--param", "n=8", "--dsn", database.dsn)
    assert one.out.splitlines()[1] == "insert into t values ('2024-02-29', 8);"


def test_a_file_is_rendered_without_being_deployed(pgdurable: Pgdurable, database: Database, tmp_path: Path) -> None:
    (tmp_path / "flow.sql").write_text(FLOW)
    said = pgdurable("render", "flow.sql", "--date", "2024-02-28", "--dsn", database.dsn)
    assert (said.status, said.out, said.err) == (0, TEXT, OPEN)
    assert database.execute("select count(*) from df.workflows") == [(0,)]


def test_what_is_printed_can_be_sent_to_psql(pgdurable: Pgdurable, database: Database) -> None:
    """The example's own file, in the private server, for which nothing was typed before; its SQL runs elsewhere."""
    said = pgdurable("render", EXAMPLE / "workflows" / "orders_daily.sql", "--date", "2026-11-21")
    assert said.status == 0
    database.execute((EXAMPLE / "seed.sql").read_text())
    script = said.out.replace("$item.code", "'DE'")
    done = subprocess.run(
        [find_binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", database.dsn],
        input=script,
        capture_output=True,
        text=True,
        env={**os.environ, "PGOPTIONS": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert database.execute("select count(*) from mart.orders") == [(300,)]


def test_programs_get_one_row_per_statement(pgdurable: Pgdurable, database: Database, tmp_path: Path) -> None:
    (tmp_path / "flow.sql").write_text(FLOW)
    rows = pgdurable("render", "flow.sql", "each", "--dsn", database.dsn, "--format", "json").json
    assert rows == [
        {
            "key": "each",
            "statement": 1,
            "kind": "sql",
            "class": "plain",
            "each": "seed",
            "role": "pgdurable",
            "source": None,
            "text": "select $item.n where '{run_id}' <> ''",
            "detail": None,
            "open_names": ["$item.n", "{run_id}"],
            "problem": None,
        }
    ]


def test_a_text_that_cannot_be_known_ends_with_one(pgdurable: Pgdurable, database: Database, tmp_path: Path) -> None:
    (tmp_path / "w.sql").write_text(
        "select df.create_workflow('w', steps => array["
        """df.step('a', run => $$select '{x}', '\\d'$$, bind => '{"x": "1 / 0"}'), """
        "df.step('b', connection => 'dwh', run => 'select 1')]);"
    )
    said = pgdurable("render", "w.sql", "--dsn", database.dsn)
    assert (said.status, said.out) == (1, "-- a: sql\nselect '{x}', '\\d';\n\n-- b: sql\nselect 1;\n")
    assert said.err.splitlines() == [
        "Problem   a: bind x: division by zero (22012)",
        "Problem   b: connection dwh is not known in this database",
        "Open      a: {x} is known only when it runs",
        "Note      a: outside of quotes psql takes a backslash for a command",
    ]


def test_what_is_not_there_is_refused(pgdurable: Pgdurable, database: Database, tmp_path: Path) -> None:
    (tmp_path / "two.sql").write_text(FLOW + FLOW.replace("'flow'", "'other'"))
    cases = {
        ("nothing",): (1, "there is no workflow 'nothing' in namespace default that pgdurable sees"),
        ("./nothing.sql",): (2, "there is no file nothing.sql"),
        ("two.sql",): (2, "two.sql defines not one workflow: flow, other"),
        ("nothing", "--date", "yesterday"): (2, "'yesterday' is no date"),
    }
    for arguments, (status, message) in cases.items():
        said = pgdurable("render", *arguments, "--dsn", database.dsn)
        assert (said.status, said.out) == (status, "")
        assert message in said.err
