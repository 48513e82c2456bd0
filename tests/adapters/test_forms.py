"""Every form of edge, group, argument and SQL: what becomes of each, and that Airflow's own structure is kept."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow_oracle import AS_OF, DAGS, OracleRunner
from pgdurable_airflow.importer import AirflowImporter
from pgdurable_airflow.importer.facts import read_dag
from pgdurable_airflow.importer.load.live import Job, execute
from template_reading import evaluate, substitute

from pgdurable_core.graph.model import Branch, Check, Python, Shell, Sql, Step
from pgdurable_core.importing import ImportedWorkflow, ReadOptions, ReadResult

FILE = DAGS / "forms.py"


@pytest.fixture(scope="module")
def result(needs_airflow: None) -> ReadResult:
    found = AirflowImporter().read([FILE], ReadOptions(as_of=AS_OF))
    assert found.failures == ()
    return found


@pytest.fixture(scope="module")
def workflows(result: ReadResult) -> Mapping[str, ImportedWorkflow]:
    return {workflow.name: workflow for workflow in result.imports}


def steps(workflow: ImportedWorkflow) -> Mapping[str, Step]:
    return workflow.graph.by_key


def test_the_structure_of_every_dag_equals_airflows(
    workflows: Mapping[str, ImportedWorkflow], oracle: OracleRunner
) -> None:
    theirs = oracle(DAGS, [FILE])[str(FILE)]
    ours = {
        name: {
            step.key: [sorted(step.upstreams), step.rule, workflow.graph.settings(step).retries]
            for step in workflow.graph.steps
        }
        for name, workflow in workflows.items()
    }
    assert ours == theirs


FATES = {
    "file": "exact",
    "files": "exact",
    "bracket": "AF114",
    "role": "AF113",
    "procedure": "AF111",
    "vacuum": "AF111",
    "index": "AF205",
    "commits": "AF115",
    "units": "AF110",
    "lookalikes": "AF153",
    "constants": "AF116",
    "too_few": "AF117",
    "statement": "AF151",
    "absent": "AF119",
    "pools": "AF022",
    "copied": "AF304",
    "tenant": "AF302",
    "check": "exact",
    "scalar": "AF152",
    "reprs": "AF150",
    "race": "AF202",
    "positional": "AF161",
    "swapped": "AF161",
    "computed": "AF162",
    "texts": "AF112",
    "choose": "AF160",
    "free": "AF164",
}


@pytest.mark.parametrize(("key", "fate"), FATES.items())
def test_each_form_of_sql_has_its_fate(workflows: Mapping[str, ImportedWorkflow], key: str, fate: str) -> None:
    task = next(task for task in workflows["sql"].tasks if task.key == key)
    assert (fate == "exact" and task.fidelity == "exact") or fate in task.codes


PYTHON_FATES = {
    "rows": "AF134",
    "each": "AF134",
    "context": "AF130",
    "variable": "AF130",
    "hello": "AF163",
    "computed": "AF166",
    "maybe": "AF301",
    "inner.later_task": "AF132",
    "called": "AF136",
    "braces": "AF155",
    "looks_up": "AF140",
    "looks_far": "AF130",
    "passes_on": "AF130",
    "late_a": "AF133",
    "bash": "AF165",
    "shifted": "AF155",
}


@pytest.mark.parametrize(("key", "fate"), PYTHON_FATES.items())
def test_each_form_of_python_has_its_fate(workflows: Mapping[str, ImportedWorkflow], key: str, fate: str) -> None:
    assert fate in next(task for task in workflows["python"].tasks if task.key == key).codes


def test_the_text_of_sql_is_kept_and_brackets_come_off(workflows: Mapping[str, ImportedWorkflow]) -> None:
    found = {key: step.run.sql for key, step in steps(workflows["sql"]).items() if isinstance(step.run, Sql)}
    assert found["file"] == "select 1\nfrom   t\nwhere  d = '{ds}'"
    assert found["files"] == "select 1\nfrom   t\nwhere  d = '{ds}';\nselect 2 -- two\n;\nselect 3;"
    assert found["bracket"] == "-- empty it\ntruncate t;\ninsert into t select * from s;"
    assert found["role"] == "drop table if exists r; create table r as select * from s"
    assert found["copied"] == "insert into b.orders select * from a.orders"
    assert found["positional"] == "select $item.code, $item.sum"
    assert found["swapped"] == "select $item.sum"
    assert found["scalar"] == "insert into log values ($source.sum)"
    assert steps(workflows["sql"])["role"].run_as == "analyst"
    assert {steps(workflows["sql"])[key].statement_class for key in ("procedure", "vacuum", "index")} == {"autonomous"}
    assert steps(workflows["sql"])["positional"].each == "source"


def test_a_blocked_step_fails_with_its_reason_and_the_file_is_a_draft(
    workflows: Mapping[str, ImportedWorkflow],
) -> None:
    workflow = workflows["sql"]
    step = steps(workflow)["tenant"]
    assert isinstance(step.run, Sql)
    assert "tenant was not imported: AF302" in step.run.sql
    assert [file.path for file in workflow.files] == ["sql.sql.draft"]
    assert workflow.is_blocked


def test_a_branch_over_two_params_is_lifted_in_every_combination(workflows: Mapping[str, ImportedWorkflow]) -> None:
    assert steps(workflows["sql"])["choose"].run == Branch(
        "select case when $params.mode in ('full', 'repair') then 'sql.heavy' "
        "when $params.fast then 'sql.light' else 'none' end"
    )


def test_python_arguments_are_named_and_references_are_marked(workflows: Mapping[str, ImportedWorkflow]) -> None:
    found = {key: step.run for key, step in steps(workflows["python"]).items() if isinstance(step.run, Python)}
    called = found["called"]
    assert called.callable == "forms:plain"
    assert called.args == {
        "day": "{ds}",
        "n": {"deep": ["{ds_nodash}", 1, None]},
        "names": ["x", "y"],
        "ds": "{ds}",
    }
    assert found["looks_up"].args == {
        "prefix": "p",
        "ds": "{ds}",
        "run_id": "{run_id}",
        "params": {"n": {"param": "n"}},
    }
    assert found["each"].args == {"value": {"item": True}, "ds": "{ds}"}
    assert found["inner.later_task"].args == {"value": {"xcom": "rows"}, "params": {"n": {"param": "n"}}}


def test_a_command_keeps_its_text_and_its_environment(workflows: Mapping[str, ImportedWorkflow]) -> None:
    step = steps(workflows["python"])["bash"]
    assert step.run == Shell("run.sh {ds} ${day} ", {"D": "{ds}"}, append_env=False)
    assert steps(workflows["python"])["whole"].run == Shell("echo $HOME", {}, append_env=True)


def test_a_step_of_a_worker_binds_nothing(workflows: Mapping[str, ImportedWorkflow]) -> None:
    found = [step for step in workflows["python"].graph.steps if isinstance(step.run, Python | Shell)]
    assert [step.key for step in found if step.bind] == []


def test_copied_callables_run_without_their_module(workflows: Mapping[str, ImportedWorkflow]) -> None:
    module = workflows["python"].modules["tasks.python"]
    space: dict[str, object] = {}
    exec(compile(module.text, "tasks/python.py", "exec"), space)
    rows = space["rows"]
    assert callable(rows)
    assert rows(3.7) == [3]


def test_schedules_zones_and_catchup_are_those_of_the_timetable(workflows: Mapping[str, ImportedWorkflow]) -> None:
    found = {
        name: (w.graph.schedule, w.graph.timezone, w.graph.catchup, w.graph.data_intervals)
        for name, w in workflows.items()
    }
    assert found == {
        "edges": ("0 0 * * *", "UTC", False, False),
        "sql": ("6 h", "UTC", True, False),
        "python": (None, "UTC", False, False),
    }


def test_airflow_cfg_moves_data_intervals_and_catchup(tmp_path: Path, needs_airflow: None) -> None:
    config = tmp_path / "airflow.cfg"
    config.write_text("[scheduler]\ncreate_cron_data_intervals = True\ncatchup_by_default = True\n")
    found = AirflowImporter().read([FILE], ReadOptions(as_of=AS_OF, config=config, names=("edges",)))
    graph = found.imports[0].graph
    assert (graph.data_intervals, graph.catchup) == (True, True)
    assert found.facts.assumed == ("airflow.cfg says: cron with data intervals, catchup on, UTC",)


def test_rendered_templates_equal_airflows_own_on_many_dates(
    workflows: Mapping[str, ImportedWorkflow],
) -> None:
    dates = [datetime(2024, 2, 28, 23, 30, tzinfo=UTC) + timedelta(days=17 * n, hours=5 * n) for n in range(40)]
    answers = execute([Job(FILE, (DAGS,))], ReadOptions(), AS_OF, render=dates, twice=False).answers[str(FILE)]
    compared = 0
    for row in answers[0]["dags"]:
        dag = read_dag(row)
        for task in dag.tasks:
            step = steps(workflows[dag.dag_id])[task.task_id]
            if not isinstance(step.run, Sql | Check) or "$blocked$" in step.run.sql or "$item" in step.run.sql:
                continue
            if task.task_id in ("bracket", "role", "files", "constants", "scalar"):
                continue  # rewritten on purpose; their texts are compared above
            for moment, rendered in zip(dates, task.rendered, strict=True):
                assert isinstance(rendered, dict)
                context = {"params": {"who": "x", "n": 3, "flag": True}, "moment": moment}
                ours = substitute(
                    step.run.sql, {name: evaluate(sql, context) for name, sql in step.bind.items()}, moment
                )
                assert ours == rendered["sql"], (task.task_id, moment)
                compared += 1
    assert compared >= 40 * 8


def test_every_step_says_where_it_comes_from(result: ReadResult) -> None:
    for workflow in result.imports:
        for step in workflow.graph.steps:
            assert step.source is not None
            assert re.match(r"dags/forms\.py:\d+", step.source)
