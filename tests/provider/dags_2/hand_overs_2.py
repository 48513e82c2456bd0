"""The same operator under Airflow 2.10 and 2.11."""

from datetime import datetime, timedelta

from airflow import DAG
from pgdurable_airflow.provider.operators import PgDurableOperator

with DAG("hand_over", schedule=None, start_date=datetime(2026, 1, 1)):
    PgDurableOperator(task_id="inline", sql=["select 1", "select '{{ ds }}' as day, 1.5 as amount"])
    PgDurableOperator(task_id="deferred", sql="select pg_sleep(3), 'x' as y", deferrable=True, poll_interval=0.5)
    PgDurableOperator.partial(task_id="mapped", sql="select $params.code as c").expand(conf=[{"code": 1}, {"code": 2}])
    PgDurableOperator(task_id="broken", sql="select 1 / 0", retries=1, retry_delay=timedelta(seconds=0))
