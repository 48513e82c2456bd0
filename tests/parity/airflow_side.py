"""Airflow's own answers, given by Airflow alone: run as a script, in a process and with an AIRFLOW_HOME of its own.

    python airflow_side.py question.json answer.json

The question names the DAG, runs for `dag.test` and runs whose SQL is to be rendered; the answer holds the final state
of every task instance, what `erp_batch` returned, and the rendered SQL. One process for everything: importing Airflow
and its first task cost about ten seconds, every further run one.
"""

import json
import multiprocessing
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4


def run(dag, question):
    """Run the DAG once with `dag.test`, the way Airflow itself tests a DAG."""
    os.environ.update(question["environment"])
    finished = dag.test(logical_date=datetime.fromisoformat(question["logical_date"]), run_conf=question["conf"])
    instances = finished.get_task_instances()
    (erp_batch,) = (each for each in instances if each.task_id == "erp_batch")
    return {
        "state": str(finished.state.value),
        "tasks": sorted([each.task_id, each.map_index, str(each.state)] for each in instances),
        "erp_batch": erp_batch.xcom_pull(task_ids="erp_batch"),
    }


def inherit(dag):
    """Give a forked process the DAG, which holds functions and cannot be sent to it."""
    render.dag = dag


def render(question):
    """Render the SQL of every task as the task runner does just before it executes, for one logical date."""
    rendered = {}
    for task in render.dag.tasks:
        if task.task_id in question["mapped"]:
            task = task.unmap(question["mapped"][task.task_id])
        elif "sql" not in task.template_fields:
            continue
        task = task.prepare_for_execution()
        task.render_template_fields(context_of(task, question))
        rendered[task.task_id] = [task.sql] if isinstance(task.sql, str) else task.sql
    return rendered


def context_of(task, question):
    """Build the template context from what the API server sends a worker, with Airflow's own code."""
    from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    moment = datetime.fromisoformat(question["logical_date"]).astimezone(UTC)
    names = {"dag_id": task.dag.dag_id, "run_id": f"manual__{moment.isoformat()}"}
    instance = RuntimeTaskInstance.model_construct(
        id=uuid4(), task_id=task.task_id, task=task, try_number=1, map_index=-1, start_date=moment, **names
    )
    instance._ti_context_from_server = TIRunContext(
        max_tries=0,
        dag_run=DagRun(
            logical_date=moment,
            data_interval_start=moment,
            data_interval_end=moment,
            run_after=moment,
            start_date=moment,
            end_date=None,
            run_type="manual",
            state="running",
            conf=question["conf"],
            consumed_asset_events=[],
            partition_key=None,
            **names,
        ),
    )
    return instance.get_template_context()


def main():
    question = json.loads(Path(sys.argv[1]).read_text())
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.utils import db

    db.upgradedb()
    folder = Path(question["folder"])
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    dag = bag.dags[question["dag"]]
    # A process for each rendering, as every task has one in Airflow: the parameters of a run are put into the Param
    # objects of the DAG itself, where the next rendering would find them.
    with multiprocessing.get_context("fork").Pool(1, inherit, [dag], maxtasksperchild=1) as pool:
        rendered = pool.map(render, question["renderings"], chunksize=1)
    answer = {"rendered": rendered, "runs": [run(dag, each) for each in question["runs"]]}
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
