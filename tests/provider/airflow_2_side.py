"""Run under Airflow 2.10 or 2.11, as a script: `python airflow_2_side.py ANSWER`, a file for the answer in JSON."""

import asyncio
import json
import os
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

warnings.simplefilter("ignore")


def run():
    from airflow.models.dagbag import DagBag

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"], include_examples=False)
    assert not bag.import_errors, bag.import_errors
    return bag.dags["hand_over"].test(execution_date=datetime(2026, 11, 21, tzinfo=UTC))


def tasks_of(finished):
    return sorted(
        [
            each.task_id,
            each.map_index,
            str(each.state),
            each.try_number,
            each.xcom_pull(task_ids=each.task_id, map_indexes=each.map_index) if each.state == "success" else None,
        ]
        for each in finished.get_task_instances()
    )


def cancelled_trigger(finished, state):
    """Cancel a running trigger while its task is in a state, and say what became of the instance."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from pgdurable_airflow.provider.hooks import PgDurableHook
    from pgdurable_airflow.provider.triggers import PgDurableTrigger

    (instance,) = (each for each in finished.get_task_instances() if each.task_id == "deferred")
    with create_session() as session:
        found = session.query(TaskInstance).filter_by(task_id="deferred", run_id=finished.run_id)
        found.update({"state": state})

    async def live(instance_id):
        trigger = PgDurableTrigger(
            conn_id="pgdurable_default",
            instance_id=instance_id,
            generation=1,
            refused_retries=0,
            try_number=1,
            cancels=True,
            poll_interval=0.2,
        )
        trigger.task_instance = instance
        running = asyncio.ensure_future(trigger.run().__anext__())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with PgDurableHook().client() as client:
        client.connection.execute(
            "select df.create_workflow('sleeper', steps => array[df.step('a', 'select pg_sleep(3)')])"
        )
        instance_id = client.start("sleeper")
        asyncio.run(live(instance_id))
        time.sleep(1)
        status = client.instance(instance_id).status
        time.sleep(2)
        return status


def provider():
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    return [
        manager.hooks["pgdurable"].hook_class_name,
        sorted(name for name in manager.connection_form_widgets if "pgdurable" in name),
        manager.field_behaviours["pgdurable"]["relabeling"],
    ]


def main():
    from airflow.utils import db

    db.upgradedb()
    finished = run()
    answer = {
        "tasks": tasks_of(finished),
        "restarted": cancelled_trigger(finished, "deferred"),
        "cleared": cancelled_trigger(finished, None),
        "provider": provider(),
    }
    Path(sys.argv[1]).write_text(json.dumps(answer))


main()
