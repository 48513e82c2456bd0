"""The first example, whole: its files byte for byte, its table, and a second import that changes nothing."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_oracle import AS_OF, EXAMPLE, OracleRunner
from golden import assert_golden
from pgdurable_airflow.importer import AirflowImporter
from rich.console import Console

from pgdurable_core.graph.check import find_problems
from pgdurable_core.importing import (
    ReadOptions,
    ReadResult,
    make_report,
    render_json,
    render_terminal,
    report_files,
)
from pgdurable_core.importing.files import write_workflows
from pgdurable_core.importing.report.model import totals

DAG = EXAMPLE / "dags" / "orders_daily.py"


@pytest.fixture(scope="module")
def result(needs_airflow: None) -> ReadResult:
    return AirflowImporter().read([DAG], ReadOptions(as_of=AS_OF))


def read_live(text: str) -> str:
    """Take the Airflow version out of the text: the goldens were written with 3.3.2."""
    return re.sub(r"Airflow \d+\.\d+\.\d+", "Airflow 3.3.2", text)


@pytest.mark.parametrize("name", ["orders_daily.sql", "orders_daily.graph.json"])
def test_the_files_are_the_reviewed_ones_byte_for_byte(result: ReadResult, name: str) -> None:
    files = {file.path: file.text for file in result.imports[0].files}
    if "3.3.2" not in result.facts.system and name.endswith(".sql"):
        pytest.skip("the header names the version of Airflow, and the goldens were written with 3.3.2")
    assert_golden(EXAMPLE / "workflows" / name, files[name])


@pytest.mark.parametrize("name", ["report.md", "report.json"])
def test_the_report_is_the_reviewed_one_byte_for_byte(result: ReadResult, name: str) -> None:
    if "3.3.2" not in result.facts.system:
        pytest.skip("the report names the version of Airflow, and the golden was written with 3.3.2")
    files = {file.path: file.text for file in report_files(make_report(result))}
    assert_golden(EXAMPLE / "workflows" / name, files[name])


def test_importing_twice_touches_no_file(result: ReadResult, tmp_path: Path) -> None:
    first = write_workflows(result, tmp_path, report_files(make_report(result)))
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = AirflowImporter().read([DAG], ReadOptions())
    second = write_workflows(again, tmp_path, report_files(make_report(again)))
    assert len(first.written) == 4
    assert (second.written, second.conflicts, second.kept) == ((), (), ())
    assert set(second.unchanged) == set(first.written)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_keys_upstreams_rules_and_retries_equal_airflows(result: ReadResult, oracle: OracleRunner) -> None:
    theirs = oracle(DAG.parent, [DAG])[str(DAG)]["orders_daily"]
    graph = result.imports[0].graph
    ours = {step.key: [sorted(step.upstreams), step.rule, graph.settings(step).retries] for step in graph.steps}
    assert ours == theirs
    assert find_problems(graph) == ()


def test_ten_of_ten_tasks_have_a_home_and_the_totals_add_up(result: ReadResult) -> None:
    counted = totals(result.imports[0].tasks)
    assert counted.homes == {"native": 9, "worker": 1, "operator": 0, "airflow": 0}
    assert counted.fidelities == {"exact": 6, "equivalent": 3, "review": 1, "blocked": 0}
    assert sum(counted.homes.values()) == sum(counted.fidelities.values()) == counted.tasks == 10


def test_the_terminal_says_what_the_example_says_it_prints(result: ReadResult) -> None:
    console = Console(file=io.StringIO(), width=130, force_terminal=False)
    render_terminal(console, make_report(result))
    output = console.file
    assert isinstance(output, io.StringIO)
    printed = [line.rstrip() for line in output.getvalue().splitlines()]
    expected = (EXAMPLE / "expected.txt").read_text().splitlines()
    start = expected[: len(printed)]
    assert len(expected) >= len(printed)
    for line, wanted in zip(printed, start, strict=True):
        pattern = ".*".join(re.escape(part) for part in wanted.rstrip().split("..."))
        assert re.fullmatch(pattern, line), (line, wanted)


def test_the_two_modules_are_pinned_by_the_hash_of_their_text(result: ReadResult) -> None:
    workflow = result.imports[0]
    assert dict(workflow.graph.modules) == {name: module.digest for name, module in workflow.modules.items()}
    assert {name: module.path for name, module in workflow.modules.items()} == {
        "orders_daily": DAG,
        "common.alerts": DAG.parent / "common" / "alerts.py",
    }


def test_findings_stand_at_the_line_that_causes_them(result: ReadResult) -> None:
    def lines_with(text: str) -> Iterator[int]:
        return (number for number, line in enumerate(DAG.read_text().splitlines(), 1) if text in line)

    places = {finding.code: finding.line for finding in result.imports[0].findings}
    assert places["AF201"] == next(lines_with("email_on_sucess"))
    assert places["AF131"] == next(lines_with("def erp_batch"))
    assert places["AF203"] == next(lines_with("purge = "))
    assert places["AF161"] == next(lines_with("summarise = "))


def test_the_json_report_says_the_same_twice(result: ReadResult) -> None:
    again = AirflowImporter().read([DAG], ReadOptions(as_of=AS_OF))
    assert render_json(make_report(again)) == render_json(make_report(result))
