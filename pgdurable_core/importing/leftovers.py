"""What an earlier import wrote and this one no longer means: an old file beside a draft, a DAG that was renamed.

A folder that holds both says two things about one workflow, and `deploy` would believe the old one. What the import
wrote and nobody touched goes; what a person edited stays, and is told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pgdurable_core.errors import OutputError, PgDurableError
from pgdurable_core.graph.document import dump_graph, load_graph
from pgdurable_core.importing.files import Owner, WriteResult, owner
from pgdurable_core.importing.protocol import ImportedWorkflow, ReadResult

# How a written file names what it was read from: in the header of the SQL, in the first line of copied callables.
_ORIGIN: Final = re.compile(r'^(?:-- From    |"""Callables of )(\S.*?)(?: \(source [0-9a-f]{8}\)|, copied)', re.M)
_ENDINGS: Final = (".sql.draft", ".graph.json", ".sql", ".py")
_PLACES: Final = ("*.sql", "*.sql.draft", "*.graph.json", "tasks/*.py")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file of an earlier import and why it is none of this one; `is_removed` unless a person has a say in it."""

    path: Path
    why: str
    is_removed: bool


def remove_leftovers(result: ReadResult, out_dir: Path, written: WriteResult) -> tuple[Leftover, ...]:
    """Remove what an earlier import left below `out_dir`, and name it; call it when the new files are written.

    Only what this reading can speak for is judged: files of workflows that it holds, and of sources that it read in
    full. Where something new is in conflict with an edited file, nothing of that workflow is removed.
    """
    found = list(_find(result, out_dir, frozenset(conflict.path for conflict in written.conflicts)))
    for leftover in found:
        if leftover.is_removed:
            try:
                leftover.path.unlink()
            except OSError as error:
                raise OutputError(
                    f"{leftover.path} cannot be removed: {error.strerror}", detail=leftover.why
                ) from error
    return tuple(found)


def _find(result: ReadResult, out_dir: Path, conflicts: frozenset[Path]) -> Iterator[Leftover]:
    meant = {out_dir / file.path for workflow in result.imports for file in workflow.files}
    for path in sorted(path for place in _PLACES for path in out_dir.glob(place) if path not in meant):
        whose = _owner(path)
        workflow = next((workflow for workflow in result.imports if _belongs(path, workflow.name)), None)
        if workflow is None:
            why, is_sure = _orphaned(path, result, out_dir)
            if why is None or whose == "person":
                continue
        elif conflicts & {out_dir / file.path for file in workflow.files}:
            continue
        else:
            why, is_sure = _replaced(workflow)
        yield Leftover(path, why, is_sure and whose == "import")


def _replaced(workflow: ImportedWorkflow) -> tuple[str, bool]:
    if not workflow.files:
        return f"nothing is written for {workflow.name} this time", False
    return f"{workflow.name} is written as {workflow.files[0].path} now", True


def _orphaned(path: Path, result: ReadResult, out_dir: Path) -> tuple[str | None, bool]:
    """Say why a file of no workflow of this reading stands there; it may be of a source that was not read."""
    origin = _origin(path)
    if origin is None:
        return None, False
    if origin in result.sources:
        names = result.sources[origin]
        return (
            (None, False) if any(_belongs(path, name) for name in names) else (f"it is not in {origin} any more", True)
        )
    for folder in result.folders:
        if origin.partition("/")[0] == folder.name and not (folder.parent / origin).exists():
            # Files of two folders of one name may have been written to one place; beside the folder there is one.
            return f"there is no {origin} any more", out_dir.resolve().parent == folder.parent
    return None, False


def _origin(path: Path) -> str | None:
    """Read where a file is from; the JSON document does not say, the SQL beside it does."""
    if path.suffix == ".json":
        path = path.with_name(f"{_name(path)}.sql")
    try:
        match = _ORIGIN.search(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return None if match is None else match[1]


def _belongs(path: Path, name: str) -> bool:
    """Say whether a file is named after a workflow; modules have letters, digits and underscores alone."""
    return _name(path) == (re.sub(r"[^A-Za-z0-9]", "_", name) if path.suffix == ".py" else name)


def _name(path: Path) -> str:
    ending = next(ending for ending in _ENDINGS if path.name.endswith(ending))
    return path.name.removesuffix(ending)


def _owner(path: Path) -> Owner:
    """Say whose a file is; the document has no last line, so it is the import's when it and the SQL beside it are."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".json":
            return owner(text)
        beside = path.with_name(f"{_name(path)}.sql")
        leader = _owner(beside) if beside.exists() else "import"
        return leader if leader != "import" or dump_graph(load_graph(text)) == text else "both"
    except (OSError, ValueError, PgDurableError):
        return "person"
