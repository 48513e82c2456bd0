"""A second import says one thing about a workflow: what the first one wrote and is no longer meant goes, or is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from pgdurable_core.graph.document import dump_graph
from pgdurable_core.graph.emit.sql import Notes, emit_sql
from pgdurable_core.graph.model import Graph, Sql, Step
from pgdurable_core.importing import (
    ImportedWorkflow,
    Leftover,
    ReadFacts,
    ReadResult,
    remove_leftovers,
    write_workflows,
)
from pgdurable_core.importing.files import stamp
from pgdurable_core.importing.protocol import ScheduleFacts, WorkflowFile

SOURCE = "dags/x.py"


def workflow(name: str, sql: str = "select 1", *, draft: bool = False, slices: bool = False) -> ImportedWorkflow:
    graph = Graph(name=name, steps=(Step("a", Sql(sql)),))
    text = emit_sql(graph, Notes(header=(name, "", f"From    {SOURCE} (source 4be1c07d), read live: Airflow 3.3.2")))
    files = [WorkflowFile(f"{name}.sql.draft", text)] if draft else [WorkflowFile(f"{name}.sql", text)]
    if not draft:
        files.append(WorkflowFile(f"{name}.graph.json", dump_graph(graph)))
    if slices:
        module = stamp(f'"""Callables of {SOURCE}, copied as they stand there."""\n', "#")
        files.append(WorkflowFile(f"tasks/{name.replace('-', '_')}.py", module))
    return ImportedWorkflow(
        name=name, graph=graph, notes=Notes(), tasks=(), findings=(), files=tuple(files), source=SOURCE, source_hash="",
        schedule=ScheduleFacts("no schedule"),
    )  # fmt: skip


def put(out: Path, *found: ImportedWorkflow, known: bool = True, folders: tuple[Path, ...] = ()) -> list[Leftover]:
    """Import these as all that the source holds, and return what was left over."""
    sources = {SOURCE: frozenset(each.name for each in found)} if known else {}
    result = ReadResult(found, (), ReadFacts("Airflow 3", "live"), sources=sources, folders=folders)
    return list(remove_leftovers(result, out, write_workflows(result, out)))


def names(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_a_workflow_that_became_a_draft_leaves_no_sql_to_deploy(tmp_path: Path) -> None:
    assert put(tmp_path, workflow("w", slices=True)) == []
    left = put(tmp_path, workflow("w", "select 2", draft=True))
    assert names(tmp_path) == {"w.sql.draft"}
    assert {(one.path.name, one.is_removed) for one in left} == {
        ("w.sql", True),
        ("w.graph.json", True),
        ("w.py", True),
    }
    assert {one.why for one in left} == {"w is written as w.sql.draft now"}
    assert put(tmp_path, workflow("w", "select 2", draft=True)) == []


def test_a_draft_that_became_a_workflow_leaves_no_draft(tmp_path: Path) -> None:
    put(tmp_path, workflow("w", draft=True))
    assert put(tmp_path, workflow("w")) == [Leftover(tmp_path / "w.sql.draft", "w is written as w.sql now", True)]
    assert names(tmp_path) == {"w.sql", "w.graph.json"}


def test_a_renamed_dag_leaves_nothing_under_its_old_name(tmp_path: Path) -> None:
    put(tmp_path, workflow("old-name", slices=True), workflow("other"))
    left = put(tmp_path, workflow("new"), workflow("other"))
    assert names(tmp_path) == {"new.sql", "new.graph.json", "other.sql", "other.graph.json"}
    assert {(one.why, one.is_removed) for one in left} == {("it is not in dags/x.py any more", True)}


def test_what_a_person_edited_stays_and_is_told(tmp_path: Path) -> None:
    put(tmp_path, workflow("w"), workflow("v"), workflow("u"))
    for name in ("w", "v"):
        file = tmp_path / f"{name}.sql"
        file.write_text(file.read_text().replace("select 1", "select 1 -- mine"))
    document = tmp_path / "u.graph.json"
    document.write_text(document.read_text().replace("  ", " "))
    left = put(tmp_path, workflow("w", draft=True))
    assert {(one.path.name, one.is_removed) for one in left} == {
        ("w.sql", False),
        ("w.graph.json", False),
        ("v.sql", False),
        ("v.graph.json", False),
        ("u.sql", True),
        ("u.graph.json", False),
    }
    assert names(tmp_path) == {"w.sql", "w.graph.json", "w.sql.draft", "v.sql", "v.graph.json", "u.graph.json"}


def test_a_file_without_our_last_line_is_told_only_where_it_stands_beside_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "w.sql").write_text("select 'mine'\n")
    (tmp_path / "v.sql").write_text(f"-- From    {SOURCE} (source 4be1c07d), once\nselect 'mine'\n")
    left = put(tmp_path, workflow("w", draft=True))
    assert left == [Leftover(tmp_path / "w.sql", "w is written as w.sql.draft now", False)]
    assert names(tmp_path) == {"w.sql", "v.sql", "w.sql.draft"}


def test_nothing_is_removed_that_this_reading_cannot_speak_for(tmp_path: Path) -> None:
    put(tmp_path, workflow("w"), workflow("v"))
    assert put(tmp_path, workflow("w"), known=False) == []
    assert names(tmp_path) == {"w.sql", "w.graph.json", "v.sql", "v.graph.json"}


def test_where_nothing_new_is_written_the_old_stays_and_is_told(tmp_path: Path) -> None:
    put(tmp_path, workflow("w"))
    left = put(tmp_path, replace(workflow("w"), files=()))
    assert {(one.why, one.is_removed) for one in left} == {("nothing is written for w this time", False)}
    assert names(tmp_path) == {"w.sql", "w.graph.json"}


def test_a_conflict_keeps_everything_of_its_workflow(tmp_path: Path) -> None:
    put(tmp_path, workflow("w", draft=True))
    draft = tmp_path / "w.sql.draft"
    draft.write_text(draft.read_text().replace("select 1", "select 1 -- mine"))
    (tmp_path / "w.sql").write_text(workflow("w").files[0].text)
    assert put(tmp_path, workflow("w", "select 2", draft=True)) == []
    assert names(tmp_path) == {"w.sql", "w.sql.draft"}


@pytest.mark.parametrize(("out", "is_removed"), [("workflows", True), ("elsewhere/workflows", False)])
def test_a_file_of_a_source_that_is_gone_goes_where_no_other_folder_writes(
    tmp_path: Path, out: str, is_removed: bool
) -> None:
    (tmp_path / "dags").mkdir()
    place = tmp_path / out
    put(place, workflow("w"))
    left = put(place, known=False, folders=(tmp_path / "dags",))
    assert {(one.path.name, one.why, one.is_removed) for one in left} == {
        ("w.sql", "there is no dags/x.py any more", is_removed),
        ("w.graph.json", "there is no dags/x.py any more", is_removed),
    }
    (tmp_path / "dags" / "x.py").write_text("")
    assert put(place, known=False, folders=(tmp_path / "dags",)) == []
