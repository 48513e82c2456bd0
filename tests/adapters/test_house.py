"""The importer's own rules: codes are listed, the child is one plain file, the protocol is kept, files are safe."""

import ast
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from airflow_oracle import ROOT
from pgdurable_airflow.importer import AirflowImporter
from pgdurable_airflow.importer.codes import CODES
from pgdurable_airflow.importer.coverage import coverage_table

from pgdurable_core.errors import MissingDependencyError, NotSupportedHereError, OutputError, UsageError
from pgdurable_core.graph.document import graph_hash
from pgdurable_core.graph.emit.sql import Notes, emit_sql
from pgdurable_core.graph.model import Graph, Sql, Step
from pgdurable_core.importing.files import stamp, stamp_document, write_workflows
from pgdurable_core.importing.protocol import (
    ImportedWorkflow,
    ReadFacts,
    ReadOptions,
    ReadResult,
    ScheduleFacts,
    WorkflowFile,
)

HERE = ROOT / "adapters" / "airflow" / "pgdurable_airflow" / "importer"
CHILD = HERE / "load" / "child.py"


def test_every_code_raised_is_listed_and_every_code_listed_is_raised() -> None:
    raised = {
        code
        for file in HERE.rglob("*.py")
        if file.name != "codes.py"
        for code in re.findall(r"\"(AF\d{3})\"", file.read_text())
    }
    assert raised == set(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_text_a_person_can_read(code: str) -> None:
    entry = CODES[code]
    assert entry.code == code
    assert len(entry.text) > 40
    assert entry.text.endswith((".", ")"))
    assert "\n" not in entry.text


def test_the_child_is_python_3_8_and_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(CHILD.read_text(), feature_version=(3, 8))
    roots = {alias.name.partition(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    roots |= {(node.module or "").partition(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert roots <= set(sys.stdlib_module_names)


def test_only_the_child_imports_airflow() -> None:
    for file in HERE.rglob("*.py"):
        if file == CHILD:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "airflow"], file


def test_hooks_that_are_not_offered_say_so() -> None:
    importer = AirflowImporter()
    with pytest.raises(NotSupportedHereError):
        importer.live("http://localhost")
    with pytest.raises(NotSupportedHereError):
        importer.cutover(Path("migration.yaml"))
    with pytest.raises(NotSupportedHereError):
        importer.oracle(workflow("select 1"))


def test_an_interpreter_without_airflow_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("from airflow.sdk import DAG\n")
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(MissingDependencyError, match="cannot import Airflow"):
        AirflowImporter().read([file], ReadOptions(python=bare))


def test_paths_and_files_that_are_not_there_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder"):
        AirflowImporter().read([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="no Python file"):
        AirflowImporter().read([tmp_path])


def workflow(sql: str, name: str = "w") -> ImportedWorkflow:
    graph = Graph(name=name, steps=(Step("a", Sql(sql)),))
    files = (
        WorkflowFile(f"{name}.sql", emit_sql(graph, Notes())),
        WorkflowFile(f"{name}.graph.json", f'{{"hash": "{graph_hash(graph)}"}}\n'),
    )
    return ImportedWorkflow(
        name=name, graph=graph, notes=Notes(), tasks=(), findings=(), files=files, source="dags/x.py", source_hash="",
        schedule=ScheduleFacts("no schedule"),
    )  # fmt: skip


def result(*found: ImportedWorkflow) -> ReadResult:
    return ReadResult(found, (), ReadFacts("Airflow 3", "live"))


def test_a_changed_source_rewrites_a_file_that_nobody_touched(tmp_path: Path) -> None:
    write_workflows(result(workflow("select 1")), tmp_path)
    again = write_workflows(result(workflow("select 2")), tmp_path)
    assert {path.name for path in again.written} == {"w.sql", "w.graph.json"}
    assert "select 2" in (tmp_path / "w.sql").read_text()


def test_an_edited_file_with_the_same_graph_stays_as_it_is(tmp_path: Path) -> None:
    write_workflows(result(workflow("select 1")), tmp_path)
    file = tmp_path / "w.sql"
    file.write_text("-- mine\n" + file.read_text())
    again = write_workflows(result(workflow("select 1")), tmp_path)
    assert (again.written, again.conflicts) == ((), ())
    assert file.read_text().startswith("-- mine\n")


def test_an_edited_file_with_a_changed_source_stops_and_shows_both_sides(tmp_path: Path) -> None:
    write_workflows(result(workflow("select 1")), tmp_path)
    file = tmp_path / "w.sql"
    edited = file.read_text().replace("select 1", "select 1 -- mine")
    file.write_text(edited)
    document = (tmp_path / "w.graph.json").read_text()
    again = write_workflows(result(workflow("select 2")), tmp_path)
    assert [conflict.path for conflict in again.conflicts] == [file]
    assert "-- mine" in again.conflicts[0].diff
    assert "+" in again.conflicts[0].diff
    assert again.written == ()
    assert file.read_text() == edited
    assert (tmp_path / "w.graph.json").read_text() == document


def test_a_file_without_our_last_line_is_the_persons_alone(tmp_path: Path) -> None:
    (tmp_path / "w.sql").write_text("select 'mine'\n")
    again = write_workflows(result(workflow("select 2")), tmp_path)
    assert [path.name for path in again.kept] == ["w.sql", "w.graph.json"] or [path.name for path in again.kept] == [
        "w.sql"
    ]
    assert (tmp_path / "w.sql").read_text() == "select 'mine'\n"


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("report.md", [stamp("# one\n", "<!--", " -->"), stamp("# two\n", "<!--", " -->")]),
        ("report.json", [stamp_document({"n": "one"}), stamp_document({"n": "two"})]),
    ],
)
def test_a_report_is_rewritten_unless_a_person_wrote_into_it(tmp_path: Path, name: str, texts: list[str]) -> None:
    first, second = (WorkflowFile(name, text) for text in texts)
    write_workflows(result(), tmp_path, [first])
    assert write_workflows(result(), tmp_path, [second]).written == (tmp_path / name,)
    edited = second.text.replace("two", "mine")
    (tmp_path / name).write_text(edited)
    stopped = write_workflows(result(), tmp_path, [first])
    assert [conflict.path for conflict in stopped.conflicts] == [tmp_path / name]
    assert "mine" in stopped.conflicts[0].diff
    assert (tmp_path / name).read_text() == edited


@pytest.mark.parametrize("content", [b"# mine\n", b'{"mine": 1}\n', b"{mine", b"\xff\xfe\x00"])
def test_a_report_that_the_import_never_wrote_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    said = write_workflows(result(), tmp_path, [WorkflowFile("report.json", stamp_document({"n": 1}))])
    assert (said.written, said.kept) == ((), (tmp_path / "report.json",))
    assert (tmp_path / "report.json").read_bytes() == content


def test_a_conflict_in_one_workflow_does_not_stop_another(tmp_path: Path) -> None:
    write_workflows(result(workflow("select 1"), workflow("select 1", "v")), tmp_path)
    file = tmp_path / "w.sql"
    file.write_text(file.read_text().replace("select 1", "select 0"))
    again = write_workflows(result(workflow("select 2"), workflow("select 2", "v")), tmp_path)
    assert {path.name for path in again.written} == {"v.sql", "v.graph.json"}
    assert [conflict.path.name for conflict in again.conflicts] == ["w.sql"]


def test_files_keep_their_bytes(tmp_path: Path) -> None:
    odd = replace(workflow("select 1"), files=(WorkflowFile("odd.sql", "a\r\nb\n"),))
    write_workflows(result(odd), tmp_path)
    assert (tmp_path / "odd.sql").read_bytes() == b"a\r\nb\n"


def test_what_was_killed_between_two_files_is_put_right_by_the_next_import(tmp_path: Path) -> None:
    write_workflows(result(workflow("select 1")), tmp_path)
    old = (tmp_path / "w.sql").read_bytes()
    write_workflows(result(workflow("select 2")), tmp_path)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    # The SQL takes its place last, so this is what a kill in between leaves.
    (tmp_path / "w.sql").write_bytes(old)
    again = write_workflows(result(workflow("select 2")), tmp_path)
    assert [path.name for path in again.written] == ["w.sql"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_ctrl_c_waits_until_every_file_is_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, order = Path.replace, list[str]()

    def interrupted(self: Path, target: Path) -> Path:
        order.append(target.name)
        signal.raise_signal(signal.SIGINT)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_workflows(result(workflow("select 1"), workflow("select 1", "v")), tmp_path)
    assert order == ["w.graph.json", "v.graph.json", "w.sql", "v.sql"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(order)


def test_a_file_that_cannot_be_written_undoes_those_before_it(tmp_path: Path) -> None:
    write_workflows(result(workflow("select 1")), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    long = replace(workflow("select 1"), name="y", files=(WorkflowFile(f"{'y' * 300}.sql", "select 1"),))
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        write_workflows(result(workflow("select 2"), workflow("select 1", "v"), long), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_cannot_be_written_leaves_no_folder_behind(tmp_path: Path) -> None:
    long = replace(workflow("select 1"), files=(WorkflowFile(f"{'x' * 300}.sql", "select 1"),))
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        write_workflows(result(workflow("select 1", "v"), long), tmp_path / "deep" / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_readme_lists_exactly_the_rules_there_are() -> None:
    assert coverage_table() in (ROOT / "adapters" / "airflow" / "README.md").read_text()
