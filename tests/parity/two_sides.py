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

from pgdurable_core.engine import Client

MODES = ("incremental", "full")


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
