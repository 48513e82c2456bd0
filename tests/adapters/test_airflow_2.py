"""The child under Airflow 2.10 or 2.11: an interpreter that has it is named by PGDURABLE_TEST_AIRFLOW2_PYTHON."""

import os
from pathlib import Path

import pytest
from airflow_oracle import AS_OF
from pgdurable_airflow.importer import AirflowImporter

from pgdurable_core.importing import ReadOptions

PYTHON = os.environ.get("PGDURABLE_TEST_AIRFLOW2_PYTHON")
DAG = """
from datetime import datetime
from airflow import DAG
from airflow.decorators import task
from airflow.models.param import Param
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import BranchPythonOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator as Q

def pick(params):
    return "a" if params["mode"] == "full" else "b"

with DAG("two", schedule_interval="@daily", start_date=datetime(2026, 11, 20),
         default_args={"conn_id": "wh", "retries": 2},
         params={"mode": Param("full", enum=["full", "inc"])}):
    BranchPythonOperator(task_id="br", python_callable=pick) >> [
        Q(task_id="a", sql="select '{{ ds }}', '{{ execution_date }}'"),
        EmptyOperator(task_id="b", trigger_rule="none_failed_min_one_success")]
    src = Q(task_id="src", sql="select code from s")
    Q.partial(task_id="m", sql="select %(r)s").expand(parameters=src.output.map(lambda row: {"r": row[0]}))
    @task
    def g(rows):
        return len(rows)
    g(src.output) >> BashOperator(task_id="sh", bash_command="echo {{ ds }}")
"""


@pytest.mark.skipif(PYTHON is None, reason="PGDURABLE_TEST_AIRFLOW2_PYTHON names no interpreter with Airflow 2")
def test_a_dag_of_airflow_2_is_read_by_airflow_2_with_its_own_defaults(tmp_path: Path) -> None:
    file = tmp_path / "two.py"
    file.write_text(DAG)
    result = AirflowImporter().read([file], ReadOptions(python=Path(PYTHON or ""), as_of=AS_OF))
    workflow = result.imports[0]
    assert result.facts.system.startswith("Airflow 2.")
    assert (workflow.graph.data_intervals, workflow.graph.catchup) == (True, True)
    assert workflow.schedule.past_runs == 3
    assert {task.key: task.fidelity for task in workflow.tasks} == {
        "br": "equivalent",
        "a": "exact",
        "b": "exact",
        "src": "exact",
        "m": "equivalent",
        "g": "review",
        "sh": "equivalent",
    }
    assert {step.key: step.upstreams for step in workflow.graph.steps} == {
        "br": (),
        "a": ("br",),
        "b": ("br",),
        "src": (),
        "m": ("src",),
        "g": ("src",),
        "sh": ("g",),
    }
