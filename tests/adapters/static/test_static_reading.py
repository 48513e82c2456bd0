"""Static reading by itself: nothing runs, Airflow is not there, and what is not known says so at its line."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from airflow_oracle import AS_OF, EXAMPLE
from constructs import HEAD
from pgdurable_airflow.importer import AirflowImporter
from pgdurable_airflow.importer.load.static import read_statically
from pgdurable_airflow.importer.reading import find_jobs
from test_bundled_examples import folders

from pgdurable_core.errors import MissingDependencyError
from pgdurable_core.importing import ReadOptions, ReadResult

WITH = 'with DAG("a", start_date=S, schedule=None) as d:\n'


def read(folder: Path, text: str, head: str = HEAD) -> ReadResult:
    file = folder / "dags" / "x.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(head + text)
    return AirflowImporter().read([file], ReadOptions(as_of=AS_OF, static=True))


def codes(result: ReadResult) -> set[tuple[str, str | None]]:
    return {(finding.code, finding.task) for workflow in result.imports for finding in workflow.findings}


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate((HEAD + text).splitlines(), 1) if part in line)


UNKNOWN = {
    "a condition": (WITH + "    if open('x').read():\n        E(task_id='maybe')\n    E(task_id='sure')\n", "AF030"),
    "a loop": (WITH + "    for name in os.listdir('.'):\n        E(task_id=name)\n", "AF030"),
    "a call of a library": (WITH + "    from company.dags import fill\n    fill(d)\n    E(task_id='sure')\n", "AF030"),
    "an edge": (WITH + "    from company.dags import other\n    E(task_id='a') >> other\n", "AF030"),
    "an argument": (WITH + "    Q(task_id='q', conn_id='w', sql=open('x.sql').read())\n", "AF032"),
    "a retry": (WITH + "    E(task_id='e', retries=os.cpu_count())\n", "AF032"),
    "a class": (WITH + "    from company.operators import CopyOperator\n    CopyOperator(task_id='c')\n", "AF031"),
    "a schedule": (
        'import yaml\nwith DAG("a", start_date=S, schedule=yaml.safe_load("x")):\n    E(task_id="e")\n',
        "AF033",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_said_and_never_dropped(tmp_path: Path, name: str) -> None:
    text, code = UNKNOWN[name]
    result = read(tmp_path, text)
    assert result.failures == ()
    assert code in {found for found, _ in codes(result)}
    calls = sum(part in text for part in ("task_id='maybe'", "task_id='sure'", "task_id=name", "task_id='q'"))
    assert len(result.imports[0].tasks) >= calls
    if code != "AF033":
        assert [file.path for file in result.imports[0].files] == ["a.sql.draft"]


def test_a_doubt_stands_at_the_line_that_makes_it(tmp_path: Path) -> None:
    text, _ = UNKNOWN["a condition"]
    result = read(tmp_path, text)
    found = next(finding for finding in result.imports[0].findings if finding.code == "AF030")
    assert (found.file, found.line) == ("dags/x.py", line_of(text, "open('x')"))


def test_one_unknown_argument_blocks_its_task_alone(tmp_path: Path) -> None:
    text = (
        WITH
        + "    Q(task_id='q', conn_id='w', sql=open('x.sql').read()) >> Q(task_id='r', conn_id='w', sql='select 1')\n"
    )
    tasks = {task.key: task.fidelity for task in read(tmp_path, text).imports[0].tasks}
    assert tasks == {"q": "blocked", "r": "exact"}


def test_a_file_with_side_effects_leaves_none(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = (
        f"Path({str(mark)!r}).write_text('x')\nopen({str(mark)!r}, 'w').write('x')\nos.system('touch {mark}')\n"
        f"import subprocess\nsubprocess.run(['touch', {str(mark)!r}])\nexec('raise SystemExit')\n"
        "class Meta(type):\n    def __init__(cls, *args):\n        raise SystemExit\n" + WITH + "    E(task_id='e')\n"
    )
    result = read(tmp_path, text)
    assert not mark.exists()
    assert [task.key for task in result.imports[0].tasks] == ["e"]


BROKEN = {
    "syntax": ("with DAG(:\n", "SyntaxError"),
    "raises": ("raise ValueError('not here')\n", "ValueError: not here"),
    "no such name": ("undefined_name\n", "NameError: name 'undefined_name' is not defined"),
    "for ever": ("while True:\n    pass\n", "TooMuch"),
    "recursion": (
        "def f(n):\n    return [f(n + 1) for _ in range(9)]\nf(1)\n" + WITH + "    E(task_id='e')\n",
        "TooMuch",
    ),
    "twice": (WITH + "    E(task_id='e')\n    E(task_id='e')\n", "DuplicateTaskIdFound"),
    "wrong argument": (WITH + "    E(task_id='e', sqll='x')\n", "Invalid arguments"),
    "null bytes": ("\0", ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_failure_with_its_sentence(tmp_path: Path, name: str) -> None:
    text, message = BROKEN[name]
    result = read(tmp_path, text)
    assert result.imports == ()
    assert [failure.finding.code for failure in result.failures] == ["AF001"]
    assert message in result.failures[0].finding.what


def test_siblings_are_read_for_constants_and_callables(tmp_path: Path) -> None:
    common = tmp_path / "dags" / "common"
    common.mkdir(parents=True)
    (common / "__init__.py").write_text("")
    (common / "names.py").write_text("SCHEMA = 'mart'\ndef work():\n    return 1\n")
    text = "from common.names import SCHEMA, work\nfrom common import names\n" + WITH
    text += "    Q(task_id='q', conn_id='w', sql=f'select 1 from {SCHEMA}.t')\n"
    text += "    PythonOperator(task_id='p', python_callable=names.work)\n"
    workflow = read(tmp_path, text).imports[0]
    assert {task.key: task.fidelity for task in workflow.tasks} == {"q": "exact", "p": "exact"}
    assert set(workflow.modules) == {"common.names"}


def test_variables_and_the_clock_are_given_and_what_they_fix_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_SCHEMA", "dev")
    text = "from airflow.sdk import Variable\nSCHEMA = Variable.get('schema')\n" + WITH
    text += "    Q(task_id='q', conn_id='w', sql=f'select 1 from {SCHEMA}.t')\n"
    result = read(tmp_path, text)
    assert ("AF013", "q") in codes(result)


def test_an_operator_that_nothing_reaches_is_named(tmp_path: Path) -> None:
    text = (
        "def never():\n    E(task_id='lost')\n" + WITH + "    if False:\n        E(task_id='no')\n    E(task_id='e')\n"
    )
    found = [finding.what for finding in read(tmp_path, text).imports[0].findings if finding.code == "AF035"]
    lines = [line_of(text, "'lost'"), line_of(text, "'no'")]
    assert [f"dags/x.py:{line}" in what for what, line in zip(found, lines, strict=True)] == [True, True]


def test_every_operator_call_of_airflows_examples_is_accounted_for(needs_airflow: None) -> None:
    counted = 0
    for folder in folders():
        jobs = find_jobs([folder])
        for path, answers in read_statically(jobs, ReadOptions(), AS_OF, twice=False).answers.items():
            answer = answers[0]
            assert answer["errors"] == [], path
            places = {(line, column) for file, line, column, _ in answer["made"] if file == path}
            unreached = {call["line"] for call in answer["unreached"]}
            for node in ast.walk(ast.parse(Path(path).read_bytes())):
                if not isinstance(node, ast.Call) or not any(word.arg == "task_id" for word in node.keywords):
                    continue
                name = ast.unparse(node.func)
                if name.rpartition(".")[2].endswith(("Operator", "Sensor", "Marker")):
                    assert (node.lineno, node.col_offset) in places or node.lineno in unreached, (path, node.lineno)
                    counted += 1
    assert counted > 100


def test_no_airflow_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'airflow':\n"
        "            raise AssertionError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from pathlib import Path\n"
        "from pgdurable_airflow.importer import AirflowImporter\n"
        "from pgdurable_core.importing import ReadOptions\n"
        f"found = AirflowImporter().read([Path({str(EXAMPLE / 'dags')!r})], ReadOptions(static=True))\n"
        "assert [len(workflow.tasks) for workflow in found.imports] == [10], found.failures\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'airflow']\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=tmp_path)


def test_where_no_airflow_can_be_imported_files_are_read_statically_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    result = AirflowImporter().read([EXAMPLE / "dags" / "orders_daily.py"], ReadOptions(as_of=AS_OF))
    assert result.facts.how == "statically as Airflow 3.3.2 would"
    assert result.facts.assumed[0].startswith("read statically (no Airflow can be imported): no code was run")
    with pytest.raises(MissingDependencyError):
        AirflowImporter().read([EXAMPLE / "dags" / "orders_daily.py"], ReadOptions(python=bare))
