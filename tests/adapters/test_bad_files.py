"""Files that hang, eat memory, exit, print, raise, lie or hold secrets: each a finding, and the others go on."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from airflow_oracle import AS_OF
from pgdurable_airflow.importer import AirflowImporter

from pgdurable_core.graph.model import Branch
from pgdurable_core.importing import (
    ImportedWorkflow,
    ReadOptions,
    ReadResult,
    make_report,
    render_json,
    render_markdown,
)
from pgdurable_core.importing.report.model import totals

QUERY = "from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator as Q\n"
EMPTY = "from airflow.providers.standard.operators.empty import EmptyOperator\n"
HEAD = "from datetime import datetime\nfrom airflow.sdk import DAG\n" + QUERY + EMPTY

FILES = {
    "loops.py": "from airflow.sdk import DAG\nwhile True:\n    pass\n",
    "eats.py": "from airflow.sdk import DAG\nheld = []\nwhile True:\n    held.append(bytearray(50_000_000))\n",
    "exits.py": "import sys\nfrom airflow.sdk import DAG\nsys.exit(3)\n",
    "ends.py": "import os\nfrom airflow.sdk import DAG\nos._exit(0)\n",
    "raises.py": "from airflow.sdk import DAG\n\nraise ValueError('no such table')\n",
    "syntax.py": "from airflow.sdk import DAG\nwith DAG('x'\n",
    "none.py": "from airflow.sdk import dag\n@dag\ndef never_called():\n    pass\n",
    "prints.py": HEAD + "import os, sys\nprint('{\"kind\": \"end\"}')\nos.write(1, b'{\"kind\": \"end\"}\\n')\n"
    "sys.stderr.write('x' * 300_000)\nwith DAG('prints'):\n    EmptyOperator(task_id='a')\n",
    "forks.py": HEAD + "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\n"
    "with DAG('forks'):\n    EmptyOperator(task_id='a')\n",
    "cycle.py": HEAD + "with DAG('cycle'):\n    a = EmptyOperator(task_id='a')\n    b = EmptyOperator(task_id='b')\n"
    "    a >> b >> a\n",
    "empty_dag.py": HEAD + "with DAG('empty_dag'):\n    pass\n",
    "missing.py": HEAD + "from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator\n"
    "from cosmos import DbtTaskGroup, ProjectConfig\n"
    "with DAG('constructed', default_args={'location': 'EU'}, start_date=datetime.min):\n"
    "    BigQueryInsertJobOperator(task_id='q', configuration={}) >> EmptyOperator(task_id='b')\n"
    "with DAG('generated'):\n"
    "    EmptyOperator(task_id='e') >> DbtTaskGroup(group_id='dbt', project_config=ProjectConfig('/dbt'))\n",
    "looped.py": HEAD + "import missing_helper\nwith DAG('looped'):\n    EmptyOperator(task_id='a')\n"
    "    for name in missing_helper.tables():\n        EmptyOperator(task_id=name)\n",
    "optional.py": HEAD + "try:\n    import not_installed_anywhere\nexcept ImportError:\n"
    "    not_installed_anywhere = None\n"
    "with DAG('optional'):\n    EmptyOperator(task_id='a' if not_installed_anywhere is None else 'b')\n",
    "legacy.py": "from airflow import DAG\nfrom airflow.operators.dummy_operator import DummyOperator\n"
    "from airflow.providers.postgres.operators.postgres import PostgresOperator\n"
    "from airflow.utils.dates import days_ago\n"
    "with DAG('legacy', schedule_interval='@daily', start_date=days_ago(2), default_args={'provide_context': True}):\n"
    "    DummyOperator(task_id='a', trigger_rule='none_failed') >> PostgresOperator(\n"
    "        task_id='b', postgres_conn_id='wh', sql='select 1')\n",
    "baked.py": HEAD + "import os, random\nfrom airflow.sdk import BaseHook, Variable\n"
    "schema = Variable.get('schema')\nlogin = BaseHook.get_connection('src')\n"
    "with DAG('baked', start_date=datetime(2026, 1, 1), schedule=os.environ.get('PGDURABLE_TEST_CRON', '@daily')):\n"
    "    Q(task_id='t', conn_id='wh', sql=f'insert into {schema}.t select 1')\n"
    "with DAG('secret', start_date=datetime(2026, 1, 1)):\n"
    "    Q(task_id='t', conn_id='wh', sql=f\"select * from dblink('password={login.password}') d(x int)\")\n"
    "with DAG('absent', start_date=datetime(2026, 1, 1)):\n"
    "    Q(task_id='t', conn_id='wh', sql=f\"select * from {Variable.get('not_given')}.t\")\n"
    "with DAG('today', start_date=datetime.now()):\n"
    "    Q(task_id='t', conn_id='wh', sql=f\"select '{datetime.now():%Y-%m-%d}'\")\n"
    "with DAG('dice', start_date=datetime(2026, 1, 1)):\n"
    "    Q(task_id='t', conn_id='wh', sql=f'select {random.random()}')\n",
    "namesakes.py": "from airflow.sdk import DAG, task\n"
    "def first():\n    @task\n    def load():\n        return 1\n    return load()\n"
    "def second():\n    @task\n    def load():\n        return 2\n    return load()\n"
    "with DAG('namesakes'):\n    first() >> second()\n",
    "older.py": "from airflow.models import BaseOperator\nfrom airflow.utils.decorators import apply_defaults\n"
    "from airflow import DAG\nfrom airflow.operators.python_operator import PythonOperator\n"
    "class Own(BaseOperator):\n    @apply_defaults\n    def __init__(self, table, **kwargs):\n"
    "        super().__init__(**kwargs)\n        self.table = table\n"
    "def work(ds):\n    return ds\n"
    "with DAG('older', schedule_interval=None):\n    Own(task_id='own', table='t') >> PythonOperator(\n"
    "        task_id='work', python_callable=work, op_kwargs={'ds': '{{ ds }}'}, provide_context=True)\n",
    "oldest.py": "from datetime import datetime\nfrom airflow import DAG\nfrom airflow.models.param import Param\n"
    "from airflow.operators.check_operator import CheckOperator\nfrom airflow.operators.dummy import DummyOperator\n"
    "from airflow.operators.python_operator import BranchPythonOperator, PythonOperator\n"
    "from airflow.contrib.sensors.file_sensor import FileSensor\nfrom airflow.utils.trigger_rule import TriggerRule\n"
    "SIZE = {'x': 1}\n"
    "def pick(**context):\n    return 'left' if context['params']['wide'] else 'right'\n"
    "def both(params, **context):\n    return 'left' if params['wide'] else context['ds']\n"
    "def stays(ds):\n    return SIZE\n"
    "dag = DAG('oldest', 'Says what it is.', '@daily', datetime(2021, 1, 1),\n"
    "          default_args={'task_concurrency': 1, 'trigger_rule': 'dummy'},\n"
    "          params={'wide': Param(True, type='boolean')})\n"
    "first = CheckOperator(task_id='first', conn_id='wh', sql='select 1', dag=dag)\n"
    "left, right = (DummyOperator(task_id=name, trigger_rule='all_success', dag=dag) for name in ('left', 'right'))\n"
    "BranchPythonOperator(task_id='pick', python_callable=pick, trigger_rule='all_done', dag=dag) >> [left, right]\n"
    "BranchPythonOperator(task_id='both', python_callable=both, dag=dag)\n"
    "DummyOperator(task_id='join', trigger_rule=TriggerRule.NONE_FAILED_OR_SKIPPED, dag=dag) << [left, right]\n"
    "DummyOperator(task_id='join_too', trigger_rule='none_failed_or_skipped', dag=dag) << [left, right]\n"
    "FileSensor(task_id='file', filepath='/x', dag=dag)\n"
    "PythonOperator(task_id='stays', python_callable=stays, dag=dag)\n",
    "twin.py": HEAD + "with DAG('twin'):\n    EmptyOperator(task_id='a')\n",
    "twin_too.py": HEAD + "with DAG('twin'):\n    EmptyOperator(task_id='b') >> EmptyOperator(task_id='c')\n",
    "again.py": HEAD + "for number in (1, 2):\n    with DAG('again'):\n"
    "        Q(task_id='t', conn_id='wh', sql=f'select {number}')\n"
    "with DAG('aüb'):\n    EmptyOperator(task_id='a')\nwith DAG('a_b'):\n    EmptyOperator(task_id='a')\n",
    "wrong.py": HEAD + "with DAG('wrong'):\n    EmptyOperator(task_id='a', colour='red')\n",
    "validated.py": HEAD + "from missing_helper import pool\nwith DAG('validated'):\n"
    "    EmptyOperator(task_id=pool())\n",
    "strange.py": HEAD + "with DAG('für.alle'):\n    EmptyOperator(task_id='größe') >> EmptyOperator(task_id='c')\n",
}  # fmt: skip

# How a value from a missing module gets into a task: what comes before the DAG, and the operator's arguments.
STUBBED = {
    "f_string": ("", "sql=f'select * from {tbl}'"),
    "f_repr": ("", "sql=f'select * from {tbl!r}'"),
    "f_width": ("", "sql=f'select * from {tbl:>40}'"),
    "f_cut": ("", "sql=f'select {tbl:.0}1'"),
    "percent": ("", "sql='select * from %s' % tbl"),
    "percent_r": ("", "sql='select * from %r' % (tbl,)"),
    "format": ("", "sql='select * from {}'.format(tbl)"),
    "format_map": ("", "sql='select * from {t.x}'.format_map({'t': tbl})"),
    "str": ("", "sql='select * from ' + str(tbl)"),
    "repr": ("", "sql='select * from ' + repr(tbl)"),
    "attribute": ("", "sql='select * from ' + str(tbl.x)"),
    "joined": ("", "sql='select ' + ', '.join(map(str, [tbl.a, tbl.b]))"),
    "in_a_list": ("", "sql=f'select {[tbl]}'"),
    "cut_away": ("", "sql='select ' + str(len(str(tbl)))"),
    "added": ("", "sql='select * from ' + tbl"),
    "itself": ("", "sql=tbl"),
    "library": ("from string import Template\n", "sql=Template('select * from $t').substitute(t=tbl)"),
    "module": ("import nosuch3.deep\n", "sql=f'select * from {nosuch3.deep}'"),
    "equal": ("", "sql='select 1' if tbl == 3 else 'select 2'"),
    "equal_right": ("", "sql='select 1' if 3 == tbl else 'select 2'"),
    "unequal": ("", "sql='select 1' if tbl != 3 else 'select 2'"),
    "less": ("", "sql='select 1' if tbl < 3 else 'select 2'"),
    "at_least": ("", "sql='select 1' if 3 <= tbl else 'select 2'"),
    "in_a_tuple": ("", "sql='select 1' if tbl in ('a', 'b') else 'select 2'"),
    "in_a_set": ("", "sql='select 1' if tbl in {'a', 'b'} else 'select 2'"),
    "key": ("", "sql={'a': 'select 1'}.get(tbl, 'select 2')"),
    "truth": ("", "sql='select 1' if tbl else 'select 2'"),
    "before": ("name = f'{tbl}'[:0]\n", "sql='select 1' + name"),
    "autocommit": ("", "sql='select 1', autocommit=tbl"),
    "parameters": ("", "sql='select %(a)s', parameters={'a': tbl}"),
    "split": ("", "sql='select 1', split_statements=tbl"),
    "shared": ("", "sql='select 1', default_args={'autocommit': tbl}"),
}  # fmt: skip
FILES |= {
    f"stub_{name}.py": HEAD
    + f"from nosuch2 import tbl\n{before}with DAG('stub_{name}'):\n    Q(task_id='t', conn_id='wh', {arguments})\n"
    for name, (before, arguments) in STUBBED.items()
}
FILES["stub_unused.py"] = (
    HEAD + "import logging\nfrom typing import Optional, Union\nfrom nosuch2 import notify, Row\n"
    "logging.getLogger('x').info('%s', notify)\n"
    "def shape(row: Optional[Row], other: Union[Row, None, int]) -> list[Row]:\n    return [row]\n"
    "class Shown:\n    def __repr__(self):\n        return f'{notify}'\n"
    "with DAG('stub_unused'):\n"
    "    Q(task_id='t', conn_id='wh', sql='select 1')\n"
    "with DAG('stub_shown'):\n"
    "    Q(task_id='t', conn_id='wh', sql='select 1', parameters={'a': Shown()})\n"
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, needs_airflow: None) -> ReadResult:
    folder = tmp_path_factory.mktemp("bad")
    dags = folder / "dags"
    dags.mkdir()
    for name, text in FILES.items():
        (dags / name).write_text(text, encoding="utf-8")
    variables, connections = folder / "variables.json", folder / "connections.json"
    variables.write_text(json.dumps({"schema": "dev"}))
    connections.write_text(json.dumps({"src": "postgresql://me:verysecret@host/db"}))
    options = ReadOptions(as_of=AS_OF, variables=variables, connections=connections, time_limit=8, memory_limit=700)
    return AirflowImporter().read([dags], options)


@pytest.fixture(scope="module")
def workflows(result: ReadResult) -> Mapping[str, ImportedWorkflow]:
    return {workflow.name: workflow for workflow in result.imports}


@pytest.mark.parametrize(
    ("name", "code", "line", "words"),
    [
        ("loops.py", "AF002", None, "8 s"),
        ("eats.py", "AF003", None, "700 MiB"),
        ("exits.py", "AF001", 3, "SystemExit: 3"),
        ("ends.py", "AF004", None, "exit 0"),
        ("raises.py", "AF001", 3, "ValueError: no such table"),
        ("syntax.py", "AF001", 2, "SyntaxError"),
        ("none.py", "AF005", None, "defines no DAG"),
        ("cycle.py", "AF001", None, "Cycle"),
        ("wrong.py", "AF001", 6, "{'colour': 'red'}"),
        ("validated.py", "AF001", 7, "a value from a module that is not installed (missing_helper)"),
    ],
)
def test_a_bad_file_is_a_failure_with_its_place(
    result: ReadResult, name: str, code: str, line: int | None, words: str
) -> None:
    failures = [failure for failure in result.failures if failure.path == f"dags/{name}"]
    assert [failure.finding.code for failure in failures] == [code]
    assert words in failures[0].finding.what
    assert line is None or failures[0].finding.line == line


def test_no_failure_is_a_mistake_of_the_importer(result: ReadResult) -> None:
    assert [failure for failure in result.failures if failure.finding.code == "AF009"] == []


def test_the_other_files_are_read_all_the_same(workflows: Mapping[str, ImportedWorkflow]) -> None:
    assert {"prints", "forks", "optional", "constructed", "generated", "looped", "legacy", "baked"} <= set(workflows)


def codes(workflow: ImportedWorkflow) -> set[str]:
    return {finding.code for finding in workflow.findings}


def test_an_operator_class_that_is_not_installed_blocks_its_task_alone(
    workflows: Mapping[str, ImportedWorkflow],
) -> None:
    fidelities = {task.key: task.fidelity for task in workflows["constructed"].tasks}
    assert fidelities == {"q": "blocked", "b": "exact"}
    assert workflows["constructed"].graph.by_key["b"].after == ("q",)
    assert "AF011" not in codes(workflows["constructed"])
    assert "AF201" not in codes(workflows["constructed"]), "nobody knows what a class that is not there takes"
    assert workflows["constructed"].graph.start_date == "0001-01-01 00:00 UTC"


@pytest.mark.parametrize("name", ["generated", "looped"])
def test_a_stub_that_builds_the_graph_blocks_the_dag(workflows: Mapping[str, ImportedWorkflow], name: str) -> None:
    assert "AF011" in codes(workflows[name])
    assert workflows[name].is_blocked
    assert all(not file.path.endswith(".sql") for file in workflows[name].files)


@pytest.mark.parametrize("name", STUBBED)
def test_what_a_stub_went_into_is_blocked(workflows: Mapping[str, ImportedWorkflow], name: str) -> None:
    workflow = workflows[f"stub_{name}"]
    assert codes(workflow) & {"AF011", "AF112", "AF117"}
    assert workflow.is_blocked
    assert all(not file.path.endswith(".sql") for file in workflow.files)


def test_a_stub_that_shapes_nothing_blocks_nothing(workflows: Mapping[str, ImportedWorkflow]) -> None:
    assert "AF011" not in codes(workflows["stub_unused"]), "logs and annotations shape no task"
    assert [repr(step.run) for step in workflows["stub_unused"].graph.steps] == ["Sql(sql='select 1')"]
    assert workflows["stub_shown"].is_blocked


def test_an_optional_import_is_left_to_fail(workflows: Mapping[str, ImportedWorkflow]) -> None:
    assert [task.key for task in workflows["optional"].tasks] == ["a"]
    assert codes(workflows["optional"]) == set()


def test_names_of_airflow_2_are_read_and_named(workflows: Mapping[str, ImportedWorkflow]) -> None:
    workflow = workflows["legacy"]
    assert {task.key: task.becomes for task in workflow.tasks} == {"a": "empty", "b": "sql"}
    assert workflow.graph.settings(workflow.graph.by_key["b"]).connection == "wh"
    assert workflow.graph.start_date == "2026-11-20 00:00 UTC"
    named = " ".join(finding.what for finding in workflow.findings if finding.code == "AF012")
    for word in ("DummyOperator", "PostgresOperator", "days_ago", "schedule_interval", "provide_context"):
        assert word in named


def test_a_decorator_and_an_argument_of_airflow_1_are_read_and_named(workflows: Mapping[str, ImportedWorkflow]) -> None:
    workflow = workflows["older"]
    assert [(task.key, task.fidelity) for task in workflow.tasks] == [("own", "blocked"), ("work", "equivalent")]
    named = " ".join(finding.what for finding in workflow.findings if finding.code == "AF012")
    assert "apply_defaults" in named
    assert "provide_context" in named


def test_names_of_airflow_1_give_todays_classes_rules_and_limits(workflows: Mapping[str, ImportedWorkflow]) -> None:
    workflow = workflows["oldest"]
    assert {task.key: (task.becomes, task.fidelity) for task in workflow.tasks} == {
        "first": ("check", "review"),
        "pick": ("branch, lifted from Python", "review"),
        "both": ("nothing yet", "blocked"),
        "left": ("empty", "review"),
        "right": ("empty", "review"),
        "join": ("empty", "review"),
        "join_too": ("empty", "review"),
        "file": ("nothing yet", "blocked"),
        "stays": ("nothing yet", "blocked"),
    }
    steps = workflow.graph.by_key
    assert {key: step.rule for key, step in steps.items()} == {
        "first": "always",
        "pick": "all_done",
        "both": "always",
        "left": "all_success",
        "right": "all_success",
        "join": "none_failed_min_one_success",
        "join_too": "none_failed_min_one_success",
        "file": "always",
        "stays": "always",
    }
    assert steps["pick"].run == Branch("select case when $params.wide then 'left' else 'right' end")
    assert (workflow.graph.schedule, workflow.graph.start_date) == ("0 0 * * *", "2021-01-01 00:00 UTC")
    assert workflow.graph.doc == "Says what it is."
    assert "max_active_tis_per_dag" in {finding.short for finding in workflow.findings if finding.task == "first"}
    assert {finding.short.partition(":")[0] for finding in workflow.findings if finding.code == "AF012"} == {
        "DAG(description, schedule_interval, start_date by position)",
        "DAG(schedule_interval=)",
        "TriggerRule.NONE_FAILED_OR_SKIPPED",
        "airflow.contrib.sensors.file_sensor.FileSensor",
        "airflow.operators.check_operator.CheckOperator",
        "airflow.operators.dummy.DummyOperator",
        "airflow.operators.python_operator.BranchPythonOperator",
        "airflow.operators.python_operator.PythonOperator",
        "default_args['task_concurrency']",
        "trigger_rule 'dummy'",
        "trigger_rule 'none_failed_or_skipped'",
    }
    what = {finding.task: finding.what for finding in workflow.findings if finding.code == "AF133"}
    assert list(what) == ["stays"]
    assert "Airflow 3 cannot load it" in what["stays"]


def test_what_was_fixed_while_parsing_is_found_and_named(workflows: Mapping[str, ImportedWorkflow]) -> None:
    def fixed(name: str) -> set[tuple[str | None, str]]:
        return {
            (finding.task, finding.short.removesuffix(" is fixed at import"))
            for finding in workflows[name].findings
            if finding.code == "AF013"
        }

    assert fixed("baked") == {("t", "sql")}
    assert fixed("today") == {("t", "sql"), (None, "start_date")}
    assert fixed("dice") == {("t", "sql")}
    assert workflows["today"].graph.start_date == "2026-11-22 12:00 UTC"
    what = next(finding.what for finding in workflows["baked"].findings if finding.code == "AF013")
    assert "Variable schema (line 7)" in what


def test_a_secret_never_comes_out_and_stops_its_file(
    result: ReadResult, workflows: Mapping[str, ImportedWorkflow]
) -> None:
    assert "AF006" in codes(workflows["secret"])
    assert workflows["secret"].files == ()
    assert "verysecret" not in render_json(make_report(result)) + render_markdown(make_report(result))


def test_a_variable_that_was_not_given_blocks_what_holds_it(workflows: Mapping[str, ImportedWorkflow]) -> None:
    assert "AF015" in codes(workflows["absent"])
    assert workflows["absent"].is_blocked
    assert "AF015" not in codes(workflows["baked"])


def test_ids_that_are_no_keys_get_safe_names(workflows: Mapping[str, ImportedWorkflow]) -> None:
    workflow = workflows["f_r.alle"]
    assert "AF016" in codes(workflow)
    assert [(step.key, step.after) for step in workflow.graph.steps] == [("gr__e", ()), ("c", ("gr__e",))]
    assert [file.path for file in workflow.files] == ["f_r.alle.sql", "f_r.alle.graph.json"]


def test_two_nested_functions_of_one_name_are_never_mixed_up(workflows: Mapping[str, ImportedWorkflow]) -> None:
    assert {task.fidelity for task in workflows["namesakes"].tasks} == {"blocked"}
    assert "AF133" in codes(workflows["namesakes"])


def test_an_empty_dag_is_refused_and_nothing_is_written(workflows: Mapping[str, ImportedWorkflow]) -> None:
    assert codes(workflows["empty_dag"]) == {"AF306"}
    assert workflows["empty_dag"].files == ()


def test_every_task_has_one_home_and_one_fidelity(result: ReadResult) -> None:
    for workflow in result.imports:
        counted = totals(workflow.tasks)
        assert sum(counted.homes.values()) == sum(counted.fidelities.values()) == counted.tasks
        assert counted.tasks == len(workflow.graph.steps)


def test_reports_of_a_folder_name_every_file_that_failed(result: ReadResult) -> None:
    text = render_markdown(make_report(result))
    for failure in result.failures:
        assert f"`{failure.finding.place or failure.path}`" in text
    assert Path("dags/loops.py").as_posix() in text


def test_a_dag_id_found_twice_is_a_finding_at_both_and_neither_is_written(result: ReadResult) -> None:
    def of(name: str) -> list[ImportedWorkflow]:
        return [workflow for workflow in result.imports if workflow.name == name]

    for name, tasks in (("twin", ["a", "b c"]), ("again", ["t", "t"]), ("a_b", ["a", "a"])):
        assert [" ".join(task.key for task in workflow.tasks) for workflow in of(name)] == tasks
        assert [workflow.files for workflow in of(name)] == [(), ()]
        assert all(workflow.is_blocked and "AF007" in codes(workflow) for workflow in of(name))
    said = {
        name: [finding.what for workflow in of(name) for finding in workflow.findings if finding.code == "AF007"]
        for name in ("twin", "again", "a_b")
    }
    assert said["twin"] == ["The DAG id `twin` is defined 2 times: dags/twin.py:5, dags/twin_too.py:5."] * 2
    assert said["again"] == ["The DAG id `again` is defined 2 times: dags/again.py:6, dags/again.py:6."] * 2
    assert said["a_b"] == ["DAG ids become one name, a_b: `aüb` at dags/again.py:8, `a_b` at dags/again.py:10."] * 2
    assert [repr(workflow.graph.steps[0].run) for workflow in of("again")] == [
        "Sql(sql='select 1')",
        "Sql(sql='select 2')",
    ]
    assert all("AF013" not in codes(workflow) for workflow in of("again"))
    report = render_markdown(make_report(result))
    assert report.count('<a id="twin"></a>') == report.count('<a id="twin-2"></a>') == 1
    assert "(#twin) " in report
    assert "(#twin-2) " in report
