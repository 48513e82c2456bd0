"""The child under Airflow 2.10 or 2.11: an interpreter that has it is named by PGDURABLE_TEST_AIRFLOW2_PYTHON."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow_oracle import AS_OF, ROOT
from pgdurable_airflow.importer import AirflowImporter

from pgdurable_core.importing import ReadOptions, ReadResult

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


DECORATED = """
from datetime import datetime
from airflow.decorators import dag
from airflow.operators.dummy import DummyOperator
from not_installed import LoadOperator

@dag(schedule_interval="@weekly", start_date=datetime.min, max_active_runs=3, default_args={"rows": 7, "conn": "x"})
def decorated():
    DummyOperator(task_id="start") >> LoadOperator(task_id="load")

decorated()
"""

pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="PGDURABLE_TEST_AIRFLOW2_PYTHON names no interpreter with Airflow 2"
)


def read(file: Path) -> ReadResult:
    return AirflowImporter().read([file], ReadOptions(python=Path(PYTHON or ""), as_of=AS_OF))


def test_a_dag_of_airflow_2_is_read_by_airflow_2_with_its_own_defaults(tmp_path: Path) -> None:
    file = tmp_path / "two.py"
    file.write_text(DAG)
    result = read(file)
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


def test_a_file_for_airflow_3_says_so_and_where() -> None:
    result = read(ROOT / "examples" / "01_orders_daily" / "dags" / "orders_daily.py")
    assert result.imports == ()
    finding = result.failures[0].finding
    assert (finding.code, finding.line) == ("AF001", 8)
    assert "No module named 'airflow.sdk'; the file is written for Airflow 3, and this is Airflow 2." in finding.what
    assert "--airflow-python" in finding.remedy


def test_only_what_the_author_wrote_is_held_against_a_decorated_dag(tmp_path: Path) -> None:
    file = tmp_path / "decorated.py"
    file.write_text(DECORATED)
    workflow = read(file).imports[0]
    graph = workflow.graph
    assert (graph.schedule, graph.start_date) == ("0 0 * * 0", "0001-01-01 00:00 UTC")
    assert (graph.max_active_runs, graph.max_active_tasks) == (3, None)
    assert {(task.key, task.becomes) for task in workflow.tasks} == {("start", "empty"), ("load", "nothing yet")}
    assert {(finding.code, finding.task) for finding in workflow.findings} == {
        ("AF010", None),
        ("AF028", None),
        ("AF303", "load"),
    }


def test_a_classic_dag_gives_one_workflow_whichever_airflow_reads_it(needs_airflow: None) -> None:
    dag = ROOT / "examples" / "02_airflow2_classic" / "dags" / "sales_reporting.py"
    at_that_time = datetime(2021, 11, 22, tzinfo=UTC)
    then = AirflowImporter().read([dag], ReadOptions(python=Path(PYTHON or ""), as_of=at_that_time)).imports[0]
    now = AirflowImporter().read([dag], ReadOptions(as_of=at_that_time)).imports[0]
    assert then.graph == now.graph
    assert [(task.key, task.becomes, task.fidelity) for task in then.tasks] == [
        (task.key, task.becomes, task.fidelity) for task in now.tasks
    ]
    assert {(finding.code, finding.task, finding.short) for finding in then.findings} == {
        (finding.code, finding.task, finding.short) for finding in now.findings if finding.code != "AF012"
    }
