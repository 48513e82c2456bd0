"""Airflow keeps the schedule and the tasks around it; the load itself is handed to the engine in PostgreSQL."""

import pendulum
from airflow.sdk import dag, task

from pgdurable_airflow.provider.operators import PgDurableOperator


@dag(schedule="0 6 * * *", start_date=pendulum.datetime(2026, 1, 1), catchup=False)
def hand_over():
    @task
    def least():
        return 100

    # Two steps, each one transaction: a retry goes on behind what is done.
    load = PgDurableOperator(
        task_id="load",
        sql=["sql/load.sql", "sql/summary.sql"],
        conf={"least": least()},
        retries=2,
        deferrable=True,
    )

    @task
    def report(rows):
        for region, orders, amount in rows:
            print(f"report: {region} {orders} orders, {amount}")

    report(load.output)


hand_over()
