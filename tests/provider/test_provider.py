"""What Airflow finds before anything runs: the provider, its connection, and what a DAG file may not say."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow_process import AirflowProcess, connection_to
from pgdurable_airflow.provider import get_provider_info
from server import Database

DAG = """
from airflow.sdk import DAG
from pgdurable_airflow.provider.operators import PgDurableOperator
with DAG("d", schedule=None):
    PgDurableOperator(task_id="t", {})
"""
EXACTLY_ONE = "t: give exactly one of workflow, graph, sql, dsl; given: {}"


def test_airflow_finds_the_provider_and_its_connection_type(airflow: AirflowProcess) -> None:
    assert airflow.ask("provider") == {
        "version": "0.1.0",
        "hook": ["pgdurable_airflow.provider.hooks.PgDurableHook", "conn_id", "PgDurable", True],
        "fields": ["extra__pgdurable__namespace", "extra__pgdurable__sslmode"],
    }


def test_everything_it_announces_can_be_imported(airflow: AirflowProcess) -> None:
    info = get_provider_info()
    modules = [
        name for kind in ("operators", "hooks", "triggers") for part in info[kind] for name in part["python-modules"]
    ]
    assert airflow.ask("can_import", modules=modules) == modules


def test_the_connection_form_says_where_it_leads_and_whether_anybody_works_there(
    airflow: AirflowProcess, database: Database, empty_database: Database, worker: None
) -> None:
    works, said = airflow.ask("check_connection", conn_id="pgdurable_default")
    assert (works, said.split(", ")[0], said.split(", ")[-1]) == (True, f"pgdurable@{database.name}", "1 worker")
    airflow.ask("environ", AIRFLOW_CONN_EMPTY=connection_to(empty_database)["AIRFLOW_CONN_PGDURABLE_DEFAULT"])
    works, said = airflow.ask("check_connection", conn_id="empty")
    assert (works, said.splitlines()[0]) == (
        False,
        f"there is no pgdurable in database {empty_database.name} that connection empty leads to",
    )


def test_a_connection_is_libpqs_and_names_a_namespace(airflow: AirflowProcess) -> None:
    airflow.ask(
        "environ", AIRFLOW_CONN_FULL="pgdurable://an%40a:p%20w@db.internal:6432/mart?sslmode=require&namespace=sales"
    )
    assert airflow.ask("settings", conn_id="full") == [
        {
            "host": "db.internal",
            "port": "6432",
            "user": "an@a",
            "password": "p w",
            "dbname": "mart",
            "sslmode": "require",
        },
        "sales",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", EXACTLY_ONE.format("none")),
        ("sql='select 1', workflow='w'", EXACTLY_ONE.format("workflow, sql")),
        ("dsl='a ~> b'", "t: this version does not read the operator text of pg_durable (dsl=)"),
        ("sql='select 1', on_kill='stop'", "t: on_kill is 'cancel' or 'leave', not 'stop'"),
        ("sql='select 1', result='rows'", "t: result is 'xcom' or 'none', not 'rows'"),
    ],
)
def test_a_dag_file_that_asks_for_too_much_or_too_little_is_refused(
    airflow: AirflowProcess, arguments: str, said: str
) -> None:
    (error,) = airflow.ask("import_errors", text=DAG.format(arguments))
    assert error.endswith(f": {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("sql=[]", "sql is a text, or a list of texts, and none of them empty"),
        ("sql=['select 1', ' ']", "sql is a text, or a list of texts, and none of them empty"),
        ("sql='select 1', conf={'at': object()}", "conf holds what is no JSON: Object of type object is not JSON"),
        ("graph='{'", "graph is no JSON: Expecting property name enclosed in double quotes"),
        ("graph={'schedule': '@daily'}", "graph has a schedule of its own, and Airflow's is the one that counts here"),
    ],
)
def test_what_only_a_run_can_tell_fails_before_anything_is_started(
    airflow: AirflowProcess, database: Database, arguments: str, said: str
) -> None:
    assert said in airflow.ask("order_of", arguments=arguments)
    assert database.execute("select count(*)::int from df.workflows") == [(0,)]


def test_without_airflow_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['airflow'] = None\n"
        "import pgdurable_airflow.provider as provider\n"
        "provider.get_provider_info()\n"
        "from pgdurable_core.errors import MissingDependencyError\n"
        "try:\n    import pgdurable_airflow.provider.operators\n"
        "except MissingDependencyError as error:\n    print(error.show())\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [
        "pgdurable_airflow.provider runs inside Apache Airflow, which is not installed here",
        "  hint    pip install 'pgdurable[airflow]', or install pgdurable where Airflow is",
    ]
