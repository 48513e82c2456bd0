"""The operator as Airflow 3.3 runs it: `dag.test`, a real database, a real worker."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from airflow_process import AirflowProcess, connection_to
from pgdurable_airflow.provider.identity import ends
from server import Database

from pgdurable_core.engine import Client, InstanceRow

MOMENT = "2026-11-21T00:00:00+00:00"
RUN_ID = f"manual__{MOMENT}"
_LONG = timedelta(hours=1)
TOTALS = """
select df.create_workflow('totals', params => '{"least": {"default": 1}}', steps => array[
  df.step('regions', run => $$select 'DE' as code, $params.least as least union all select 'FR', 3$$),
  df.step('total', each => 'regions', run => $$select $item.code || '!' as c$$),
  df.step('noise', run => $$do 'begin raise notice ''psst''; end'$$)
])
"""
TABLES = "create table done (what text); create table gate (n int primary key); create sequence tries"


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    database.execute(TABLES)


def run(airflow: AirflowProcess, dag_id: str) -> dict[str, list[object]]:
    outcome = airflow.ask("run", dag_id=dag_id, moment=MOMENT)
    assert outcome["run_id"] == RUN_ID
    tasks: dict[str, list[object]] = outcome["tasks"]
    return tasks


def value(airflow: AirflowProcess, dag_id: str, task_id: str = "run", map_index: int = -1) -> object:
    """Return what a task pushed, as another task pulls it: a tuple is a tuple there, and a list here."""
    return untyped(airflow.ask("xcom", dag_id=dag_id, run_id=RUN_ID, task_id=task_id, map_index=map_index))


def untyped(stored: object) -> object:
    if isinstance(stored, dict) and stored.get("__classname__") == "builtins.tuple":
        return tuple(map(untyped, stored["__data__"]))
    return [untyped(item) for item in stored] if isinstance(stored, list) else stored


def only(client: Client) -> InstanceRow:
    (row,) = client.ended_instances(within=_LONG, statuses=["completed", "failed", "cancelled"])
    return row


def wait_until(client: Client, status: str) -> InstanceRow:
    deadline = time.monotonic() + 30
    while True:
        rows = [*client.open_instances(), *client.ended_instances(_LONG, ["completed", "failed", "cancelled"])]
        if [row.status for row in rows] == [status]:
            return rows[0]
        assert time.monotonic() < deadline, rows
        time.sleep(0.05)


def test_a_chain_of_sql_runs_and_its_rows_reach_the_next_task(
    airflow: AirflowProcess, client: Client, worker: None
) -> None:
    client.connection.execute("drop table done")
    assert run(airflow, "chain") == {"run": ["success", 1], "after": ["success", 1]}
    row = ("2026-11-21 2026-11-21", "20261121", 1.5, None)
    assert value(airflow, "chain") == [row]
    assert value(airflow, "chain", "after") == [list(row)]
    instance = only(client)
    assert airflow.ask("xcom", dag_id="chain", run_id=RUN_ID, task_id="run", key="pgdurable_instance_id") == (
        instance.instance_id
    )
    assert (instance.workflow, instance.run_key, instance.reason, instance.params) == (
        "airflow.chain.run",
        f"chain/{RUN_ID}/run",
        "Airflow try 1 of 1",
        {"day": "20261121"},
    )
    assert [(step.key, step.after, step.source) for step in client.steps(instance.instance_id)] == [
        ("sql_1", [], "Airflow chain.run"),
        ("sql_2", ["sql_1"], "Airflow chain.run"),
    ]


def test_a_deployed_workflow_gives_the_result_that_is_asked_for(
    airflow: AirflowProcess, client: Client, worker: None
) -> None:
    client.connection.execute(TOTALS)
    tasks = run(airflow, "named")
    log = airflow.log()
    assert tasks == {
        "load": ["success", 1],
        "items": ["success", 1],
        "none": ["success", 1],
        "several": ["success", 1],
        "start": ["success", 1],
        "misspelt": ["failed", 1],
    }
    assert value(airflow, "named", "load") == [("DE", 2), ("FR", 3)]
    assert value(airflow, "named", "items") == [[("DE!",)], [("FR!",)]]
    assert value(airflow, "named", "none") is None
    assert value(airflow, "named", "several") is None
    assert "no result for XCom: 2 steps have nothing after them; result_step names one" in log
    assert "noise: NOTICE: psst" in log
    assert client.instance(str(value(airflow, "named", "start"))).workflow == "totals"
    assert "AirflowException: workflow totals has no step 'region' to take the result from" in log
    assert {str(row.run_key) for row in client.instances_of("totals")} == {
        f"named/{RUN_ID}/{task}" for task in ("load", "items", "none", "several", "start")
    }


def test_a_graph_and_a_template_file_are_rendered(airflow: AirflowProcess, client: Client, worker: None) -> None:
    assert run(airflow, "graph") == {"run": ["success", 1]}
    assert "told: said 2026-11-21" in airflow.log()
    assert value(airflow, "graph") == [[(10,)], [(20,)]]
    assert only(client).workflow == "airflow.graph.run"
    assert run(airflow, "from_file") == {"run": ["success", 1]}
    assert value(airflow, "from_file") == [("2026-11-21", "2026-11-21")]


def test_every_map_index_has_an_instance_of_one_workflow(airflow: AirflowProcess, client: Client, worker: None) -> None:
    assert run(airflow, "mapped") == {f"run[{index}]": ["success", 1] for index in range(3)}
    assert [value(airflow, "mapped", map_index=index) for index in range(3)] == [[("DE!",)], [("FR!",)], [("it's!",)]]
    assert {(row.run_key, row.version) for row in client.instances_of("airflow.mapped.run")} == {
        (f"mapped/{RUN_ID}/run/{index}", 1) for index in range(3)
    }


def test_a_failure_is_the_failing_steps_own_error(airflow: AirflowProcess, client: Client, worker: None) -> None:
    assert run(airflow, "broken") == {"run": ["failed", 1]}
    instance_id = only(client).instance_id
    said = airflow.log()
    assert said[said.index("AirflowException: ") :].splitlines()[:7] == [
        "AirflowException: step sql of workflow airflow.broken.run failed: "
        '23505 duplicate key value violates unique constraint "gate_pkey"',
        "  detail   Key (n)=(1) already exists.",
        '  context  SQL statement "insert into gate values (1), (1) -- breaks gate_pkey"',
        "  step     sql, try 1 of 1, Airflow broken.run",
        f"  instance {instance_id}",
        f"  look     pgdurable explain {instance_id}",
        said[said.index("AirflowException: ") :].splitlines()[6],
    ]


def test_a_retry_of_airflow_continues_from_what_failed(airflow: AirflowProcess, client: Client, worker: None) -> None:
    assert run(airflow, "retried") == {"run": ["success", 2]}
    assert "had not succeeded; it is continued from what failed" in airflow.log()
    instance = only(client)
    assert [event.reason for event in client.events(instance.instance_id) if event.kind == "retry"] == [
        "Airflow try 2 of 2"
    ]
    assert client.connection.execute("select * from done").fetchall() == [("first",)]


def test_a_failed_task_that_is_cleared_continues_and_a_completed_one_runs_anew(
    airflow: AirflowProcess, client: Client, worker: None
) -> None:
    assert run(airflow, "gated") == {"run": ["failed", 2]}
    failed = only(client)
    client.connection.execute("insert into gate values (1)")
    assert airflow.ask("clear", dag_id="gated", run_id=RUN_ID)["tasks"] == {"run": ["success", 3]}
    assert only(client).instance_id == failed.instance_id
    assert airflow.ask("clear", dag_id="gated", run_id=RUN_ID)["tasks"] == {"run": ["success", 4]}
    assert [(row.run_key, row.status) for row in client.instances_of("airflow.gated.run")] == [
        (f"gated/{RUN_ID}/run@2", "completed"),
        (f"gated/{RUN_ID}/run", "completed"),
    ]
    assert client.connection.execute("select count(*) from done").fetchall() == [(2,)]


def test_a_task_whose_process_was_killed_finds_its_instance(
    airflow: AirflowProcess, client: Client, database: Database, worker: None, another: AirflowProcess
) -> None:
    another.tell("run", dag_id="slow", moment=MOMENT)
    started = wait_until(client, "running")
    another.process.kill()
    another.process.wait()
    assert airflow.ask("lose", dag_id="slow", run_id=RUN_ID)["tasks"] == {"run": ["success", 2]}
    assert "is under way already, and is waited for" in airflow.log()
    assert value(airflow, "slow") == [("", "slept")]
    assert only(client).instance_id == started.instance_id
    assert client.connection.execute("select * from done").fetchall() == [("slow",)]


def test_a_result_that_came_after_the_process_was_killed_is_taken_without_a_second_run(
    airflow: AirflowProcess, client: Client, worker: None, another: AirflowProcess
) -> None:
    another.tell("run", dag_id="slow", moment=MOMENT)
    wait_until(client, "running")
    another.process.kill()
    another.process.wait()
    wait_until(client, "completed")
    assert airflow.ask("lose", dag_id="slow", run_id=RUN_ID)["tasks"] == {"run": ["success", 2]}
    assert "had completed before; nothing is run again" in airflow.log()
    assert value(airflow, "slow") == [("", "slept")]
    assert client.connection.execute("select * from done").fetchall() == [("slow",)]


def test_a_deferred_task_goes_on_when_its_trigger_fires(airflow: AirflowProcess, client: Client, worker: None) -> None:
    assert run(airflow, "deferred") == {"run": ["success", 1]}
    log = airflow.log()
    assert [words for words in ("DEFERRED", "running trigger in line", "Trigger completed") if words not in log] == []
    assert value(airflow, "deferred") == [("deferred",)]
    assert only(client).status == "completed"


def test_an_execution_timeout_cancels_also_while_the_task_is_deferred(
    airflow: AirflowProcess, client: Client, worker: None
) -> None:
    assert run(airflow, "late") == {"run": ["failed", 1]}
    assert "running trigger in line" in airflow.log()
    instance = wait_until(client, "cancelled")
    assert f"AirflowTaskTimeout: execution_timeout passed while instance {instance.instance_id} ran" in airflow.log()


def test_a_killed_task_cancels_its_running_statement(airflow: AirflowProcess, client: Client, worker: None) -> None:
    assert run(airflow, "impatient") == {"run": ["failed", 1]}
    instance = wait_until(client, "cancelled")
    assert [event.reason for event in client.events(instance.instance_id) if event.kind == "cancel"] == [
        "Airflow ended try 1"
    ]
    deadline = time.monotonic() + 10
    while client.running_kinds() or [step.status for step in client.steps(instance.instance_id)] != ["cancelled"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_task_that_is_to_leave_its_instance_leaves_it(
    airflow: AirflowProcess, client: Client, worker: None
) -> None:
    assert run(airflow, "patient") == {"run": ["failed", 1]}
    assert wait_until(client, "completed").error is None


def test_nobody_there_to_run_it_is_told_in_the_task_log(airflow: AirflowProcess, client: Client) -> None:
    assert run(airflow, "impatient") == {"run": ["failed", 1]}
    assert "no worker is alive in this database" in airflow.log()


def test_a_cancel_by_a_person_fails_the_task_without_a_retry(
    airflow: AirflowProcess, client: Client, worker: None
) -> None:
    airflow.tell("run", dag_id="cancelled", moment=MOMENT)
    client.cancel(wait_until(client, "running").instance_id, "not today")
    assert airflow.answer()["tasks"] == {"run": ["failed", 1]}
    said = "AirflowFailException: workflow airflow.cancelled.run was cancelled by pgdurable: not today"
    assert said in airflow.log()


def test_a_database_that_is_not_there_and_one_without_the_engine_are_told_apart(
    airflow: AirflowProcess, empty_database: Database
) -> None:
    airflow.ask("environ", AIRFLOW_CONN_ELSEWHERE="pgdurable://nobody@127.0.0.1:1/nowhere")
    assert run(airflow, "elsewhere") == {"run": ["failed", 1]}
    assert "Connection refused" in airflow.log()
    assert "  hint    is the server running, and the connection string right?" in airflow.log()
    dsn = connection_to(empty_database)["AIRFLOW_CONN_PGDURABLE_DEFAULT"]
    airflow.ask("environ", AIRFLOW_CONN_ELSEWHERE=dsn)
    assert run(airflow, "elsewhere") == {"run": ["failed", 1]}
    assert f"AirflowException: there is no pgdurable in database {empty_database.name}" in airflow.log()


def test_an_unknown_workflow_is_refused_with_those_that_are_there(airflow: AirflowProcess, client: Client) -> None:
    client.connection.execute(TOTALS)
    assert run(airflow, "missing") == {"run": ["failed", 1]}
    assert "AirflowException: there is no workflow 'nowhere' in namespace default\n  hint    Known: totals" in (
        airflow.log()
    )


def test_a_cancel_that_was_meant_for_an_earlier_try_is_undone_by_this_one(
    airflow: AirflowProcess, client: Client, worker: None
) -> None:
    airflow.tell("run", dag_id="slow", moment=MOMENT)
    instance_id = wait_until(client, "running").instance_id
    client.cancel(instance_id, ends(0))
    assert airflow.answer()["tasks"] == {"run": ["success", 1]}
    assert f"instance {instance_id} was cancelled for an earlier try; it is continued" in airflow.log()
    assert value(airflow, "slow") == [("", "slept")]
    assert client.connection.execute("select * from done").fetchall() == [("slow",)]
