"""
Sales reporting.
Stages one day of sales, checks it, loads it into the mart and tells who waits for it.
"""
import json
import os
from datetime import timedelta

from airflow import DAG
from airflow.models.param import Param
from airflow.operators.bash_operator import BashOperator
from airflow.operators.dummy_operator import DummyOperator
from airflow.operators.python_operator import BranchPythonOperator, PythonOperator
from airflow.operators.sql import SQLCheckOperator
from airflow.providers.postgres.operators.postgres import PostgresOperator
from airflow.utils.dates import days_ago
from airflow.utils.trigger_rule import TriggerRule

default_args = {
    "owner": "bi",
    "depends_on_past": False,
    "start_date": days_ago(7),
    "email": ["bi@example.com"],
    "email_on_failure": False,
    "email_on_retry": False,
    "retries": 2,
    "retry_delay": timedelta(minutes=5),
    "conn_id": "dwh",
    "postgres_conn_id": "dwh",
}

dag = DAG(
    "sales_reporting",
    "One day of sales, from the shop to the mart",
    schedule_interval="@daily",
    default_args=default_args,
    catchup=False,
    template_searchpath=[os.path.join(os.path.dirname(__file__), "sql")],
    params={"full_refresh": Param(False, type="boolean"), "keep_days": 30},
    tags=["bi"],
)
dag.doc_md = __doc__


def choose_load(**context):
    if context["params"]["full_refresh"]:
        return "reload_all"
    return "load_day"


def announce(**kwargs):
    """Say what is ready, as the line that the chat bot picks up."""
    message = {"channel": kwargs["channel"], "text": "Sales of {} are in the mart.".format(kwargs["ds"])}
    print(json.dumps(message))
    return message["text"]


stage_sales = PostgresOperator(
    task_id="stage_sales",
    sql=[
        "delete from stage.sales where sold_at >= '{{ execution_date }}' and sold_at < '{{ tomorrow_ds }}'",
        """insert into stage.sales
           select * from shop.sales
           where sold_at >= '{{ execution_date }}'
             and sold_at < '{{ (execution_date + macros.timedelta(days=1)).strftime("%Y-%m-%d") }}'""",
    ],
    dag=dag,
)

check_stage = SQLCheckOperator(
    task_id="check_stage",
    sql="select count(*) > 0, bool_and(amount > 0) from stage.sales where sold_at::date = '{{ ds }}'",
    dag=dag,
)

choose = BranchPythonOperator(
    task_id="choose_load", python_callable=choose_load, provide_context=True, dag=dag
)

reload_all = PostgresOperator(task_id="reload_all", sql="reload_all.sql", dag=dag)

load_day = PostgresOperator(task_id="load_day", sql="load_day.sql", dag=dag)

loaded = DummyOperator(task_id="loaded", trigger_rule=TriggerRule.NONE_FAILED_OR_SKIPPED, dag=dag)

compare = PostgresOperator(
    task_id="compare",
    sql="""insert into mart.changes
           select '{{ ds }}', region, today.amount - coalesce(before.amount, 0)
           from mart.sales today left join mart.sales before using (region)
           where today.day = '{{ ds }}' and before.day = '{{ yesterday_ds }}'""",
    dag=dag,
)

tell = PythonOperator(
    task_id="announce",
    python_callable=announce,
    op_kwargs={"channel": "#sales"},
    provide_context=True,
    dag=dag,
)

archive = BashOperator(
    task_id="archive",
    bash_command="echo archived sales_{{ ds_nodash }}.csv",
    trigger_rule="none_failed_or_skipped",
    dag=dag,
)

purge = PostgresOperator(
    task_id="purge",
    sql="delete from stage.sales where sold_at < '{{ macros.ds_add(ds, -params.keep_days) }}'",
    retries=0,
    dag=dag,
)

stage_sales >> check_stage >> choose >> [reload_all, load_day] >> loaded
compare.set_upstream(loaded)
loaded >> tell
archive.set_upstream([compare, tell])
archive.set_downstream(purge)
