"""Every form in which edges, groups, arguments and SQL come."""

from datetime import datetime, timedelta

from airflow.providers.common.sql.operators.sql import SQLCheckOperator, SQLExecuteQueryOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator
from airflow.sdk import DAG, Label, Param, TaskGroup, chain, cross_downstream, dag, task, task_group

Q = SQLExecuteQueryOperator


def plain(day, n, names=("a", "b"), *, ds=None):
    return [day, n, list(names), ds]


def looks_up(prefix, **kwargs):
    return [prefix, kwargs["ds"], kwargs.get("run_id"), kwargs["params"]["n"]]


def looks_far(**context):
    return context["ti"].xcom_pull("rows")


def passes_on(**context):
    return plain(**context)


def later(values):
    return len(values)


def pick(params):
    if params["mode"] in ("full", "repair"):
        return "sql.heavy"
    return "sql.light" if params["fast"] else "none"


class CopyTable(Q):
    """Only a constructor of its own."""

    def __init__(self, *, table, **kwargs):
        super().__init__(sql=f"insert into b.{table} select * from a.{table}", **kwargs)


class Tenant(Q):
    """Edits its SQL when it runs: not its parent any more."""

    def execute(self, context):
        self.sql = self.sql.replace("@schema", "tenant_a")
        return super().execute(context)


with DAG(
    "edges",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
) as edges:
    a, b, c, d, e, f = (EmptyOperator(task_id=name) for name in "abcdef")
    a >> [b, c]
    d << b
    cross_downstream([b, c], [e, f])
    with TaskGroup("g", tooltip="Inner") as g:
        g1 = EmptyOperator(task_id="g1")
        g2 = EmptyOperator(task_id="g2", trigger_rule="one_done", retries=0)
        with TaskGroup("deep") as deep:
            EmptyOperator(task_id="x") >> EmptyOperator(task_id="y")
        g1 >> g2
    d >> Label("then") >> g
    chain(e, [EmptyOperator(task_id="h1"), EmptyOperator(task_id="h2")], EmptyOperator(task_id="end"))
    f.set_downstream(g1)
    g2.set_upstream([c])

with DAG(
    "sql",
    schedule=timedelta(hours=6),
    start_date=datetime(2026, 1, 1),
    catchup=True,
    default_args={"conn_id": "wh"},
    params={
        "who": "x",
        "n": 3,
        "flag": True,
        "mode": Param("light", enum=["light", "full", "repair"]),
        "fast": Param(False, type="boolean"),
    },
) as sql:
    Q(task_id="file", sql="one.sql")
    Q(task_id="files", sql=["one.sql", "select 2 -- two", "select 3;"])
    Q(task_id="bracket", sql="BEGIN;\n-- empty it\ntruncate t;\ninsert into t select * from s;\nCOMMIT;\n")
    Q(task_id="role", sql="SET ROLE analyst; drop table if exists r; create table r as select * from s")
    Q(task_id="procedure", autocommit=True, sql="call etl.refresh_in_batches()")
    Q(task_id="vacuum", sql="vacuum (analyze) t", autocommit=True)
    Q(task_id="index", sql="create index concurrently i on t (a)")
    Q(task_id="commits", sql="insert into a select 1; commit; insert into b select 2")
    Q(task_id="units", autocommit=True, sql=["insert into job_log values ('start')", "call heavy()"])
    Q(
        task_id="lookalikes",
        sql="select '{urgent,ds}'::text[], '{\"ds\": 1}'::jsonb, $ds$ x $ds$, '100 %' like '%d', '{ds}', '{{ ds }}', "
        "'$params.who', '{{ params.who }}{{ params.n }}{{ params.flag }}'",
    )
    Q(
        task_id="constants",
        sql="select %(a)s, '100%%', %(b)s where d = '{{ ds }}'",
        parameters={"a": "it's {{ ds_nodash }} {ds}", "b": [1, 2]},
    )
    Q(task_id="too_few", sql="select %s, %s", parameters=[1])
    Q(task_id="statement", sql="select 1 {% if params.flag %} where true {% endif %}")
    Q(
        task_id="dates",
        sql="""select '{{ (logical_date - macros.timedelta(days=1)).strftime('%Y%m') }}',
        '{{ logical_date }}', '{{ macros.ds_format(ds, "%Y-%m-%d", "%d.%m.%y") }}', '{{ macros.ds_add(ds, 7) }}',
        '{{ data_interval_end | ts_nodash }}', '{{ ts }}', '{{ run_id }}', '{{ dag.dag_id }}/{{ task.task_id }}',
        '{{ macros.ds_add(ds, -params.n) }}', '{{ params["who"] | upper }}'""",
    )
    Q(task_id="absent", sql="not_there.sql")
    Q(task_id="pools", sql="select 1", pool="small", pool_slots=2, depends_on_past=True)
    CopyTable(task_id="copied", table="orders")
    Tenant(task_id="tenant", sql="select * from @schema.t")
    SQLCheckOperator(task_id="check", sql="select count(*) > 0 from t where d = '{{ ds }}'")
    source = Q(task_id="source", sql="select code, amount as sum from s")
    Q(task_id="scalar", sql="insert into log values ({{ ti.xcom_pull('source')[0][1] }})") << source
    Q(task_id="reprs", sql="insert into log values ('{{ ti.xcom_pull('source') }}')") << source
    Q(task_id="race", sql="select {{ ti.xcom_pull('source')[0][1] }}")
    Q.partial(task_id="positional", sql="select %s, %s").expand(parameters=source.output)
    Q.partial(task_id="swapped", sql="select %s").expand(parameters=source.output.map(lambda r: [r[1]]))
    Q.partial(task_id="computed", sql="select %s").expand(parameters=source.output.map(lambda r: [r[1] + 1]))
    Q.partial(task_id="texts").expand(sql=["select '{{ run_id }}'"])
    with TaskGroup("sql") as group:
        Q(task_id="heavy", sql="select 1")
        Q(task_id="light", sql="select 2")
    choose = BranchPythonOperator(task_id="choose", python_callable=pick)
    choose >> [group, EmptyOperator(task_id="none")]
    free = BranchPythonOperator(task_id="free", python_callable=lambda params: params["who"])


@dag(dag_id="python", schedule=None, start_date=datetime(2026, 1, 1), params={"n": 1})
def python():
    @task
    def rows(n: int) -> list[int]:
        import math

        return [math.floor(n)]

    @task(retries=2)
    def each(value, ds):
        return (value, ds)

    @task
    def context(**context):
        return context["ti"].try_number

    @task
    def variable():
        from airflow.sdk import Variable

        return Variable.get("x")

    @task.bash
    def hello():
        return "echo {{ ds }}"

    @task.bash
    def computed(ds):
        return f"echo {ds}"

    @task.short_circuit
    def maybe():
        return True

    @task_group
    def inner(value):
        return later_task(value)

    @task
    def later_task(value, params):
        return value

    found = rows(3)
    each.expand(value=found)
    inner(found) >> [context(), variable(), hello(), computed(), maybe()]
    PythonOperator(
        task_id="called",
        python_callable=plain,
        op_args=["{{ ds }}"],
        op_kwargs={"n": {"deep": ["{{ ds_nodash }}", 1, None]}, "names": ("x", "y")},
    )
    PythonOperator(task_id="braces", python_callable=plain, op_args=["{{ ds }}", "{ds}"])
    PythonOperator(task_id="looks_up", python_callable=looks_up, op_kwargs={"prefix": "p"})
    PythonOperator(task_id="looks_far", python_callable=looks_far)
    PythonOperator(task_id="passes_on", python_callable=passes_on)
    for name in ("a", "b"):
        PythonOperator(task_id=f"late_{name}", python_callable=lambda: later(name))  # noqa: B023
    BashOperator(task_id="bash", bash_command="run.sh {{ ds }} ${day} ", env={"D": "{{ ds }}"})
    BashOperator(task_id="shifted", bash_command="echo {{ macros.ds_add(ds, -1) }}")
    BashOperator(task_id="whole", bash_command="echo $HOME", retries=1)


python()
