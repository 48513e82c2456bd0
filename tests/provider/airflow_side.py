"""Airflow, in a process and with an AIRFLOW_HOME of its own, that does what it is told, one JSON line after another.

    python airflow_side.py ANSWERS

`ANSWERS` is the number of a file descriptor: Airflow's logs go to stdout. A process for many questions, since importing
Airflow and its first task cost about ten seconds, and every further run one.
"""

import asyncio
import json
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path


def run(dag_id, moment, conf=None):
    """Run a DAG once with `dag.test`, the way Airflow itself tests a DAG; the same moment gives the same run id."""
    moment = datetime.fromisoformat(moment)
    return outcome(load(dag_id).test(run_after=moment, logical_date=moment, run_conf=conf))


def outcome(finished):
    return {
        "state": str(getattr(finished.state, "value", finished.state)),
        "run_id": finished.run_id,
        "tasks": {
            f"{each.task_id}[{each.map_index}]" if each.map_index >= 0 else each.task_id: [
                str(getattr(each.state, "value", each.state)),
                each.try_number,
            ]
            for each in sorted(finished.get_task_instances(), key=lambda ti: (ti.task_id, ti.map_index))
        },
    }


def clear(dag_id, run_id):
    """Clear every task of a run, as the button does, and run it again."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState

    with create_session() as session:
        found = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
        clear_task_instances(found.get_task_instances(session=session), session, dag_run_state=DagRunState.RUNNING)
    return again(dag_id, run_id)


def again(dag_id, run_id):
    """Run what is not finished in a run, by the steps of `dag.test` that come after it made one."""
    from airflow.models.dagrun import DagRun
    from airflow.sdk.definitions.dag import _run_task
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState

    dag = load(dag_id)
    with create_session() as session:
        found = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
        found.dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        found.state = DagRunState.RUNNING
        while found.state == DagRunState.RUNNING:
            session.expire_all()
            ready, _ = found.update_state(session=session)
            for each in ready:
                each.try_number += 1
                each.state = TaskInstanceState.SCHEDULED
            session.commit()
            for each in ready:
                _run_task(ti=each, task=dag.task_dict[each.task_id], run_triggerer=True)
        return outcome(found)


def lose(dag_id, run_id):
    """Do what the scheduler does when a worker has died: put its tasks up for their next try, and run them."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        for each in session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, state="running"):
            each.state = None
    return again(dag_id, run_id)


def xcom(dag_id, run_id, task_id, map_index=-1, key="return_value"):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = XComModel.get_many(run_id=run_id, key=key, task_ids=task_id, dag_ids=dag_id, map_indexes=map_index)
        found = session.execute(rows.with_only_columns(XComModel.value)).scalars().all()
    return found[0] if found else None


def trigger(arguments, kill=False, after=0.0):
    """Run a trigger as the triggerer does: its event, or nothing when it is cancelled; then its on_kill if asked."""
    from pgdurable_airflow.provider.triggers import PgDurableTrigger

    async def live():
        first = PgDurableTrigger(**arguments)
        path, kwargs = first.serialize()
        module, name = path.rsplit(".", 1)
        again = getattr(__import__(module, fromlist=[name]), name)(**json.loads(json.dumps(kwargs)))
        running = asyncio.ensure_future(anext(again.run()))
        if not kill and not after:
            return (await running).payload
        await asyncio.sleep(after)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if kill:
            await again.on_kill()
        return None

    return asyncio.run(live())


def many_triggers(arguments, count):
    """Run several at once and say how many connections they had together."""
    from pgdurable_airflow.provider import watching
    from pgdurable_airflow.provider.triggers import PgDurableTrigger

    async def live():
        running = [asyncio.ensure_future(anext(PgDurableTrigger(**arguments).run())) for _ in range(count)]
        await asyncio.sleep(1)
        connections = len(watching._watches)
        events = [event.payload["status"] for event in await asyncio.gather(*running)]
        return [connections, events, len(watching._watches)]

    return asyncio.run(live())


def provider():
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    hook = manager.hooks["pgdurable"]
    return {
        "version": manager.providers["pgdurable"].version,
        "hook": [hook.hook_class_name, hook.connection_id_attribute_name, hook.hook_name, hook.connection_testable],
        "fields": sorted(name for name in manager.connection_form_widgets if "pgdurable" in name),
    }


def check_connection(conn_id):
    from pgdurable_airflow.provider.hooks import PgDurableHook

    return list(PgDurableHook(conn_id).test_connection())


def settings(conn_id):
    from pgdurable_airflow.provider.hooks import PgDurableHook
    from psycopg.conninfo import conninfo_to_dict

    hook = PgDurableHook(conn_id)
    return [conninfo_to_dict(hook.dsn), hook.namespace]


def can_import(modules):
    from importlib import import_module

    return [import_module(name).__name__ for name in modules]


def order_of(arguments):
    """Say what the operator answers when it is executed with these arguments."""
    from types import SimpleNamespace

    from pgdurable_airflow.provider.operators import PgDurableOperator

    names = {"dag_id": "d", "task_id": "t", "run_id": "r"}
    ti = SimpleNamespace(**names, map_index=-1, try_number=1, max_tries=0)
    operator = eval(f"PgDurableOperator(task_id='t', {arguments})", {"PgDurableOperator": PgDurableOperator})
    try:
        return f"nothing was refused: {operator.execute({'ti': ti})}"
    except Exception as error:
        return str(error)


def load(dag_id):
    from airflow.dag_processing.dagbag import BundleDagBag

    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    return bag.dags[dag_id]


def import_errors(text):
    """Say what Airflow shows of a DAG file that holds this."""
    import tempfile

    from airflow.dag_processing.dagbag import BundleDagBag

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dag.py").write_text(text)
        bag = BundleDagBag(Path(folder), bundle_path=Path(folder), bundle_name="dags-folder")
    return [str(error).strip().splitlines()[-1] for error in bag.import_errors.values()]


def environ(**variables):
    os.environ.update(variables)


def prepare():
    from airflow.utils import db

    db.upgradedb()


def main():
    answers = os.fdopen(int(sys.argv[1]), "w")
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"value": globals()[question["do"]](**question["arguments"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        sys.stdout.flush()
        print(json.dumps(answer, default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
