"""The second example, read by Airflow 3: its files byte for byte, and every old name in the report."""

from datetime import UTC, datetime

import pytest
from airflow_oracle import ROOT
from golden import assert_golden
from pgdurable_airflow.importer import AirflowImporter

from pgdurable_core.importing import ReadOptions, ReadResult, make_report, report_files

EXAMPLE = ROOT / "examples" / "02_airflow2_classic"


@pytest.fixture(scope="module")
def result(needs_airflow: None) -> ReadResult:
    at_that_time = datetime(2021, 11, 22, tzinfo=UTC)
    found = AirflowImporter().read([EXAMPLE / "dags" / "sales_reporting.py"], ReadOptions(as_of=at_that_time))
    if found.facts.system != "Airflow 3.3.2":
        pytest.skip("header and report name the version of Airflow, and the goldens were written with 3.3.2")
    return found


def test_the_files_are_the_reviewed_ones_byte_for_byte(result: ReadResult) -> None:
    names = {file.path for file in result.imports[0].files}
    assert names == {"sales_reporting.sql", "sales_reporting.graph.json", "tasks/sales_reporting.py"}
    for file in (*report_files(make_report(result)), *result.imports[0].files):
        assert_golden(EXAMPLE / "workflows" / file.path, file.text)


def test_every_old_name_is_a_finding_where_it_stands(result: ReadResult) -> None:
    (workflow,) = result.imports
    assert [(found.task, found.short.partition(":")[0]) for found in workflow.findings if found.code == "AF012"] == [
        (None, "DAG(description by position)"),
        (None, "DAG(schedule_interval=)"),
        (None, "TriggerRule.NONE_FAILED_OR_SKIPPED"),
        (None, "airflow.operators.bash_operator.BashOperator"),
        (None, "airflow.operators.dummy_operator.DummyOperator"),
        (None, "airflow.operators.python_operator.BranchPythonOperator"),
        (None, "airflow.operators.python_operator.PythonOperator"),
        (None, "airflow.operators.sql.SQLCheckOperator"),
        (None, "airflow.providers.postgres.operators.postgres.PostgresOperator"),
        (None, "airflow.utils.dates.days_ago"),
        (None, "provide_context="),
        (None, "trigger_rule 'none_failed_or_skipped'"),
        ("stage_sales", "execution_date"),
        ("stage_sales", "tomorrow_ds"),
        ("reload_all", "tomorrow_ds"),
        ("compare", "yesterday_ds"),
    ]
    assert not workflow.is_blocked
