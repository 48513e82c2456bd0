"""The DAGs of these tests, each for one claim; `params` stand in for what differs from test to test."""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG
from airflow.sdk import task as python_task
from pgdurable_airflow.provider.operators import PgDurableOperator

START = pendulum.datetime(2026, 1, 1)


def dag(name, **arguments):
    return DAG(name, schedule=None, start_date=START, **arguments)


with dag("chain"):
    run = PgDurableOperator(
        task_id="run",
        sql=[
            "create table if not exists done (what text); insert into done values ('{{ ds }} {ds}')",
            "select what, $params.day as day, 1.50 as amount, null as nothing from done",
        ],
        conf={"day": "{{ ds_nodash }}"},
    )

    @python_task
    def after(rows):
        return [list(row) for row in rows]

    after(run.output)

with dag("slow"):
    PgDurableOperator(task_id="run", sql="insert into done values ('slow'); select pg_sleep(1.5), 'slept' as did")

with dag("deferred"):
    PgDurableOperator(
        task_id="run",
        sql=["insert into done values ('deferred')", "select pg_sleep(4)", "select 'deferred' as did"],
        deferrable=True,
        poll_interval=0.5,
        execution_timeout=timedelta(minutes=5),
    )

with dag("late"):
    PgDurableOperator(
        task_id="run",
        sql="select pg_sleep(60)",
        deferrable=True,
        poll_interval=0.5,
        execution_timeout=timedelta(seconds=3),
    )

with dag("impatient"):
    PgDurableOperator(task_id="run", sql="select pg_sleep(60)", execution_timeout=timedelta(seconds=1))

with dag("patient"):
    PgDurableOperator(task_id="run", sql="select pg_sleep(3)", execution_timeout=timedelta(seconds=1), on_kill="leave")

with dag("retried"):
    PgDurableOperator(
        task_id="run",
        # A sequence is not rolled back: the second try divides by one.
        sql=["insert into done values ('first')", "select 1 / (nextval('tries') - 1)"],
        retries=1,
        retry_delay=timedelta(seconds=0),
    )

with dag("gated"):
    PgDurableOperator(
        task_id="run",
        sql=["insert into done values ('first')", "select 1 / count(*) from gate"],
        retries=1,
        retry_delay=timedelta(seconds=0),
    )

with dag("cancelled"):
    PgDurableOperator(task_id="run", sql="select pg_sleep(30)", retries=2, retry_delay=timedelta(seconds=0))

with dag("broken"):
    PgDurableOperator(task_id="run", sql="insert into gate values (1), (1) -- breaks gate_pkey")

with dag("mapped"):
    PgDurableOperator.partial(task_id="run", sql="select $params.code || '!' as said").expand(
        conf=[{"code": "DE"}, {"code": "FR"}, {"code": "it's"}]
    )

with dag("named"):
    PgDurableOperator(task_id="load", workflow="totals", conf={"least": 2}, result_step="regions")
    PgDurableOperator(task_id="none", workflow="totals", result="none")
    PgDurableOperator(task_id="several", workflow="totals")
    PgDurableOperator(task_id="start", workflow="totals", wait=False)
    PgDurableOperator(task_id="items", workflow="totals", result_step="total")
    PgDurableOperator(task_id="misspelt", workflow="totals", result_step="region")

with dag("missing"):
    PgDurableOperator(task_id="run", workflow="nowhere")

with dag("elsewhere"):
    PgDurableOperator(task_id="run", sql="select 1", conn_id="elsewhere")

with dag("graph"):
    PgDurableOperator(
        task_id="run",
        graph={
            "pgdurable_graph": 1,
            "name": "any",
            "steps": [
                {"key": "a", "run": {"kind": "sql", "sql": "select generate_series(1, 2) as n"}},
                {"key": "b", "after": ["a"], "each": "a", "run": {"kind": "sql", "sql": "select $item.n * 10 as n"}},
                {"key": "told", "after": ["b"], "run": {"kind": "shell", "command": "echo said {{ ds }}"}},
            ],
        },
        result_step="b",
    )

with dag("from_file"):
    PgDurableOperator(task_id="run", sql="one.sql")
