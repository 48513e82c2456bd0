"""Limits that Airflow enforces and this version does not: pools block, limits on runs are named, no remedy lies."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pgdurable_airflow
import pytest
from airflow_oracle import AS_OF
from pgdurable_airflow.importer import AirflowImporter
from pgdurable_airflow.importer.codes import CODES

from pgdurable_core.graph.model import Sql
from pgdurable_core.importing import ImportedWorkflow, ReadOptions
from pgdurable_core.importing.findings import Finding

HEAD = """from datetime import timedelta
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator as Q
from airflow.sdk import DAG
"""

FILES = {
    "pools.py": """
with DAG("pools"):
    Q(task_id="small", sql="select 1", conn_id="c", pool="small")
    Q(task_id="slots", sql="select 1", conn_id="c", pool="small", pool_slots=2)
    Q(task_id="plain", sql="select 1", conn_id="c", pool="default_pool", pool_slots=1)
    Q(task_id="large", sql="select 1", conn_id="c", pool_slots=3)
    Q.partial(task_id="mapped", conn_id="c", pool="small", sql="select %s").expand(
        parameters=Q(task_id="rows", sql="select a from t", conn_id="c").output)
""",
    "default.py": """
with DAG("default", default_args={"pool": "small"}):
    Q(task_id="a", sql="select 1", conn_id="c")
    Q(task_id="b", sql="select 1", conn_id="c")
""",
    "limits.py": """
with DAG("limits", max_active_runs=1, max_active_tasks=4):
    Q(task_id="a", sql="select 1", conn_id="c")
with DAG("unlimited"):
    Q(task_id="a", sql="select 1", conn_id="c")
""",
}


@pytest.fixture(scope="module")
def workflows(tmp_path_factory: pytest.TempPathFactory, needs_airflow: None) -> Mapping[str, ImportedWorkflow]:
    folder = tmp_path_factory.mktemp("limits") / "dags"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(HEAD + text)
    result = AirflowImporter().read([folder], ReadOptions(as_of=AS_OF))
    assert result.failures == ()
    return {workflow.name: workflow for workflow in result.imports}


def found(workflow: ImportedWorkflow, task: str | None, code: str) -> list[Finding]:
    return [finding for finding in workflow.findings if (finding.task, finding.code) == (task, code)]


@pytest.mark.parametrize("key", ["small", "slots", "mapped"])
def test_a_pool_blocks_its_task_with_a_remedy(workflows: Mapping[str, ImportedWorkflow], key: str) -> None:
    workflow = workflows["pools"]
    (finding,) = [each for each in workflow.findings_of(key) if each.weight == "blocked"]
    assert (finding.code, finding.short) == ("AF022", "pool small")
    assert "--sql" in finding.remedy
    assert not found(workflow, key, "AF021")
    step = workflow.graph.by_key[key]
    assert isinstance(step.run, Sql)
    assert f"{key} was not imported: AF022 pool small" in step.run.sql


def test_a_workflow_with_a_pool_is_a_draft_without_the_pool(workflows: Mapping[str, ImportedWorkflow]) -> None:
    for name in ("pools", "default"):
        workflow = workflows[name]
        assert [file.path for file in workflow.files] == [f"{name}.sql.draft"]
        assert {workflow.graph.settings(step).pool for step in workflow.graph.steps} == {None}
        assert "pool =>" not in workflow.files[0].text
        assert '"pool"' not in workflow.files[0].text


def test_the_default_pool_and_one_slot_are_nothing(workflows: Mapping[str, ImportedWorkflow]) -> None:
    task = next(task for task in workflows["pools"].tasks if task.key == "plain")
    assert (task.fidelity, task.codes) == ("exact", ())
    (finding,) = workflows["pools"].findings_of("large")
    assert (finding.code, finding.weight, finding.short) == ("AF021", "decide", "pool_slots 3")


def test_stated_limits_are_kept_and_said_to_have_no_effect(workflows: Mapping[str, ImportedWorkflow]) -> None:
    graph = workflows["limits"].graph
    assert (graph.max_active_runs, graph.max_active_tasks) == (1, 4)
    assert [(each.short, each.weight) for each in found(workflows["limits"], None, "AF028")] == [
        ("max_active_runs 1 is kept, not enforced", "note"),
        ("max_active_tasks 4 is kept, not enforced", "note"),
    ]
    assert not found(workflows["unlimited"], None, "AF028")


PROMISES = (
    "use a pool",
    "pool of its own",
    "max_active_runs 1 if",
    "state max_active",
    "workflow's own on_failure",
    "lists what is late",
    "on a schedule",
    "give it a cron",
    "give it longer",
    "check render",
    "pgdurable verify",
)


def test_no_text_promises_what_this_version_does_not_do() -> None:
    texts = [" ".join(code.text.split()) for code in CODES.values()]
    for file in Path(pgdurable_airflow.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text())
        texts += [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str]
    assert [(words, text) for text in texts for words in PROMISES if words in text.lower()] == []
