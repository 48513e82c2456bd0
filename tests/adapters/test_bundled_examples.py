"""Every example DAG that Airflow ships: read without a crash, every task accounted for, the structure as Airflow's."""

from pathlib import Path

import pytest
from airflow_oracle import AS_OF, OracleRunner
from pgdurable_airflow.importer import AirflowImporter

from pgdurable_core.importing import ImportedWorkflow, ReadOptions, ReadResult


def folders() -> list[Path]:
    """Find the example folders of the installed Airflow."""
    import importlib.util

    spec = importlib.util.find_spec("airflow")
    if spec is None or not spec.submodule_search_locations:
        return []
    places = [Path(place) for place in spec.submodule_search_locations]
    names = ("example_dags", "providers/standard/example_dags", "providers/common/sql/example_dags")
    return [place / name for place in places for name in names if (place / name).is_dir()]


@pytest.fixture(scope="module")
def results(needs_airflow: None) -> dict[Path, ReadResult]:
    return {folder: AirflowImporter().read([folder], ReadOptions(as_of=AS_OF)) for folder in folders()}


def workflows(results: dict[Path, ReadResult]) -> list[ImportedWorkflow]:
    return [workflow for result in results.values() for workflow in result.imports]


def test_no_file_fails_but_those_that_define_no_dag(results: dict[Path, ReadResult]) -> None:
    failed = {failure.path: failure.finding for result in results.values() for failure in result.failures}
    assert {finding.code for finding in failed.values()} <= {"AF005"}
    assert len(workflows(results)) > 60


def test_every_task_is_accounted_for_with_airflows_own_structure(
    results: dict[Path, ReadResult], oracle: OracleRunner
) -> None:
    compared = 0
    for folder, result in results.items():
        files = sorted({folder.parent / workflow.source for workflow in result.imports})
        theirs = {dag_id: tasks for dags in oracle(folder, files).values() for dag_id, tasks in dags.items()}
        for workflow in result.imports:
            graph = workflow.graph
            ours = {step.key: [sorted(step.upstreams), step.rule, graph.settings(step).retries] for step in graph.steps}
            assert ours == theirs[workflow.name], workflow.name
            assert {task.key for task in workflow.tasks} == set(ours)
            compared += len(ours)
    assert compared > 150


def test_what_is_blocked_says_why_and_what_to_do(results: dict[Path, ReadResult]) -> None:
    for workflow in workflows(results):
        for task in workflow.tasks:
            if task.fidelity == "blocked":
                reasons = [finding for finding in workflow.findings_of(task.key) if finding.weight == "blocked"]
                assert reasons, (workflow.name, task.key)
                assert all(finding.what and finding.remedy for finding in reasons), (workflow.name, task.key)


def test_only_what_is_not_blocked_is_written_as_sql(results: dict[Path, ReadResult]) -> None:
    for workflow in workflows(results):
        suffixes = {Path(file.path).suffix for file in workflow.files}
        assert (".sql" in suffixes) is not workflow.is_blocked, workflow.name
