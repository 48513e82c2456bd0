"""The same under Airflow 2.10 or 2.11, where an interpreter that has it is named."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
from airflow_process import connection_to
from server import Database

ROOT = Path(__file__).parents[2]
INTERPRETER = os.environ.get("PGDURABLE_TEST_AIRFLOW2_PYTHON")


@pytest.mark.skipif(INTERPRETER is None, reason="PGDURABLE_TEST_AIRFLOW2_PYTHON names no interpreter")
def test_airflow_2_runs_defers_maps_retries_and_cancels_as_airflow_3_does(
    database: Database, worker: None, tmp_path: Path
) -> None:
    assert INTERPRETER is not None
    answer = tmp_path / "answer.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PG"))}
    environment = {
        **kept,
        **connection_to(database),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).with_name("dags_2")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "adapters" / "airflow", packages(tmp_path)))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [INTERPRETER, str(Path(__file__).with_name("airflow_2_side.py")), str(answer)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert json.loads(answer.read_text()) == {
        "tasks": [
            ["broken", -1, "failed", 2, None],
            ["deferred", -1, "success", 1, [["", "x"]]],
            ["inline", -1, "success", 1, [["2026-11-21", 1.5]]],
            ["mapped", 0, "success", 1, [[1]]],
            ["mapped", 1, "success", 1, [[2]]],
        ],
        "restarted": "running",
        "cleared": "cancelled",
        "provider": [
            "pgdurable_airflow.provider.hooks.PgDurableHook",
            ["extra__pgdurable__namespace", "extra__pgdurable__sslmode"],
            {"schema": "Database"},
        ],
    }
    assert "AirflowException: step sql of workflow airflow.hand_over.broken failed: 22012 division by zero" in (
        done.stdout + done.stderr
    )


def packages(folder: Path) -> Path:
    """Lend that interpreter what pgdurable needs and Airflow does not bring, and the record that it is installed."""
    lent = folder / "packages"
    lent.mkdir()
    for name in ("networkx", "sqlglot"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        (lent / name).symlink_to(Path(spec.origin).parent)
    record = importlib.metadata.distribution("pgdurable").read_text("entry_points.txt")
    assert record is not None
    info = lent / "pgdurable-0.1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(record)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pgdurable\nVersion: 0.1.0\n")
    return lent
