"""Files of one construct each, for the tests of static reading; the head is put before each."""

HEAD = """
from datetime import datetime, timedelta
import os
from pathlib import Path
from airflow.sdk import DAG, Label, Param, TaskGroup, chain, chain_linear, cross_downstream, dag, task, task_group
from airflow.providers.standard.operators.empty import EmptyOperator as E
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator as Q
S = datetime(2026, 1, 1)
"""

CONSTRUCTS = {
    "arithmetic of literals": """
SCHEMA = "mart" + "_" + "x".upper()
with DAG("a", start_date=S, schedule=None):
    Q(task_id="q", conn_id="w", sql="select %s from {}.t where n = {n}".format(SCHEMA, n=2 * 3) % "1", retries=1 + 1,
      retry_delay=timedelta(minutes=2) * 2)
""",
    "paths beside the file": """
HERE = Path(__file__).parent
with DAG("a", start_date=S, schedule=None, template_searchpath=[os.path.join(os.path.dirname(__file__), "sql")]):
    Q(task_id="q", conn_id="w", sql="x.sql")
    BashOperator(task_id="b", bash_command=f"ls {HERE / 'data'} ")
""",
    "dag= and defaults merged": """
BASE = {"owner": "me", "retries": 1}
d = DAG("a", start_date=S, schedule="@weekly", default_args={**BASE, "retries": 2} | dict(retry_delay=60), tags=["x"])
one = E(task_id="one", dag=d)
two = E(task_id="two", dag=d, default_args={"retries": 7}, owner="you")
one.set_downstream([two])
""",
    "loops and comprehensions": """
with DAG("a", start_date=S, schedule="0 1 * * *", catchup=True) as d:
    first = E(task_id="first")
    for number, (name, size) in enumerate({"x": 1, "y": 2}.items()):
        first >> E(task_id=f"load_{name}_{number}", priority_weight=size)
    steps = [E(task_id=f"step_{n}") for n in range(3) if n != 1]
    for one, other in zip(steps, steps[1:]):
        one >> other
    chain(first, [E(task_id="l"), E(task_id="r")], steps[0])
    chain_linear([E(task_id="m"), E(task_id="n")], [E(task_id="o"), E(task_id="p")])
    cross_downstream([first], steps)
    first >> Label("x") >> [steps[1]]
""",
    "a factory over literals": """
def make(name, tables=("a", "b"), *, every="@daily"):
    with DAG(name, start_date=S, schedule=every) as d:
        before = None
        for table in tables:
            now = Q(task_id=f"load_{table}", conn_id="w", sql=f"insert into {table} select 1")
            if before is not None:
                before >> now
            before = now
    return d
for name in ("one", "two"):
    globals()[name] = make(name, every=None if name == "one" else "@hourly")
""",
    "TaskFlow": """
@dag(start_date=S, schedule=timedelta(hours=2), params={"n": Param(1, type="integer")}, catchup=False)
def flow():
    @task
    def rows(n: int = 2) -> dict:
        "Some rows."
        return {"a": n}
    @task(retries=3, multiple_outputs=False)
    def double(value, ds=None):
        return value * 2
    @task
    def add(value, other):
        return value + other
    @task.branch
    def pick(params):
        return "left"
    @task.bash(task_id="shell")
    def command():
        return "echo {{ ds }}"
    found = rows()
    double(found["a"])
    double.override(task_id="again", retries=0)(found)
    double(found)
    add.partial(other=2).expand(value=[1, 2, 3])
    pick() >> [E(task_id="left"), E(task_id="right")] >> command()
flow()
""",
    "groups": """
with DAG("a", start_date=S, schedule=None) as d:
    start = E(task_id="start")
    with TaskGroup("outer", default_args={"retries": 4}) as outer:
        inside = E(task_id="inside")
        with TaskGroup("plain", prefix_group_id=False, tooltip="p"):
            E(task_id="flat") << inside
    @task_group
    def grouped(value):
        "A group."
        @task
        def use(value):
            return value
        use(value)
    @task_group(group_id="returning")
    def returning():
        last = E(task_id="last")
        E(task_id="before") >> last
        return last
    with TaskGroup("empty") as empty:
        pass
    start >> outer >> grouped(1) >> empty >> returning() >> E(task_id="end")
    grouped(2)
""",
    "subclasses and callbacks": """
def tell(context):
    print(context)
class Copy(Q):
    def __init__(self, *, table, **kwargs):
        super().__init__(sql=f"copy {table}", **kwargs)
        self.table = table
class Loud(Copy):
    template_fields = ("sql", "table")
    def execute(self, context):
        return super().execute(context)
with DAG("a", start_date=S, schedule=None, default_args={"conn_id": "w"}, on_failure_callback=tell):
    Copy(task_id="copy", table="t")
    Loud(task_id="loud", table="t", on_success_callback=[tell])
    PythonOperator(task_id="late", python_callable=lambda x=1: tell(x), op_args=(1, [2]), op_kwargs={"a": {"b": None}})
""",
    "names of Airflow 2": """
from airflow.operators.dummy_operator import DummyOperator
from airflow.operators.python_operator import PythonOperator as Old
from airflow.providers.postgres.operators.postgres import PostgresOperator
from airflow.utils.dates import days_ago
def call():
    return 1
with DAG("a", start_date=days_ago(2), schedule_interval="@daily", concurrency=3,
         default_args={"provide_context": True}):
    DummyOperator(task_id="d") >> PostgresOperator(task_id="p", sql="select 1", postgres_conn_id="pg")
    Old(task_id="o", python_callable=call, provide_context=True)
""",
    "results and mapping": """
with DAG("a", start_date=S, schedule=None, default_args={"conn_id": "w", "retries": 1}):
    source = Q(task_id="source", sql="select a from s")
    Q(task_id="text", sql=f"select '{source.output}'")
    Q.partial(task_id="each", sql="select %s", retries=2).expand(parameters=source.output.map(lambda row: [row[0]]))
    Q.partial(task_id="sets").expand_kwargs([{"sql": "select 1"}, {"sql": "select 2"}])
""",
}
