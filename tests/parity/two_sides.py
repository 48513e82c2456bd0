"""The two sides of a comparison: ask Airflow, ask the engine, and put both answers into the same words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dates import Rendering
from psycopg.conninfo import conninfo_to_dict
from server import Database

from pgdurable_core.cli.deployment import Names, apply, read_workflow_files
from pgdurable_core.engine import Client

EXAMPLE = Path(__file__).parents[2] / "examples" / "01_orders_daily"
LOGICAL_DATE = "2026-11-21T00:00:00+00:00"
MODES = ("incremental", "full")
SCHEMAS = ("raw", "stage", "mart", "ref")

# A sum over the rows' hashes: the same for the same rows in any order, and different when a row stands twice.
CHECKSUM = """
select count(*), coalesce(sum(('x' || md5(t::text))::bit(64)::bigint::numeric), 0) from {} t
"""


@dataclass(frozen=True)
class Outcome:
    """What a run left behind, in Airflow's words: (task, map index) to state, tables to (rows, checksum)."""

    state: str
    tasks: Mapping[tuple[str, int], str]
    tables: Mapping[str, tuple[int, int]]
    erp_batch: object


@dataclass(frozen=True)
class AirflowAnswer:
    runs: Mapping[str, Outcome]
    rendered: Mapping[Rendering, Mapping[str, list[str]]]


def say_what_it_is(database: Database) -> None:
    """A clone is a copy, and workers refuse copies until somebody says what they are."""
    database.execute(
        "update df._engine set database_oid = (select oid from pg_database where datname = current_database())"
    )


def deploy_example(client: Client) -> None:
    """Deploy the reviewed file; another test shows that it is what the importer writes, byte for byte."""
    files, _ = read_workflow_files([EXAMPLE / "workflows" / "orders_daily.sql"])
    apply(client, files, Names({"warehouse": None}, {}), namespace="default", search=[EXAMPLE / "dags"])


def tables_of(database: Database) -> dict[str, tuple[int, int]]:
    """Return rows and checksum of every table of the example's schemas."""
    names = database.execute(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        f" where n.nspname = any('{{{','.join(SCHEMAS)}}}') and c.relkind in ('r', 'p') order by 1"
    )
    found: dict[str, tuple[int, int]] = {}
    for (name,) in names:
        ((rows, checksum),) = database.execute(CHECKSUM.format(name))
        assert isinstance(rows, int)
        found[str(name)] = (rows, int(str(checksum)))
    return found


# Our states as Airflow calls them. The states of unfinished steps are not there: a run has ended when it is compared.
IN_AIRFLOWS_WORDS = {
    "completed": "success",
    "failed": "failed",
    "skipped": "skipped",
    "upstream_failed": "upstream_failed",
    "removed": "removed",
}


def outcome_of(client: Client, instance_id: str, tables: Mapping[str, tuple[int, int]]) -> Outcome:
    steps = client.steps(instance_id)
    mapped = {step.key for step in steps if step.map_index is not None}
    # A mapped step is a row of its own besides its items; Airflow has the items alone.
    tasks = {
        (step.key, -1 if step.map_index is None else step.map_index): IN_AIRFLOWS_WORDS[step.status]
        for step in steps
        if step.map_index is not None or step.key not in mapped
    }
    (returned,) = (step.result for step in steps if step.key == "erp_batch")
    return Outcome(IN_AIRFLOWS_WORDS[client.instance(instance_id).status], tasks, tables, returned)


def connection_of(database: Database) -> dict[str, object]:
    parts = conninfo_to_dict(database.dsn)
    return {
        "conn_type": "postgres",
        "host": parts.get("host"),
        "port": int(str(parts["port"])) if parts.get("port") else None,
        "login": parts.get("user"),
        "password": parts.get("password"),
        "schema": parts.get("dbname"),
    }


def ask_airflow(folder: Path, question: Mapping[str, object]) -> Any:
    asked, answered = folder / "question.json", folder / "answer.json"
    asked.write_text(json.dumps(question))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PG"))}
    environment |= {
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("airflow_side.py")), str(asked), str(answered)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return json.loads(answered.read_text())
