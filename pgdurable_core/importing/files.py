"""Writing what was imported, without ever writing over a person's work.

A file that the import wrote ends with a line that holds the hash of the text above it. No such line: the file is the
person's alone. A hash that fits: nobody touched it. The same graph: nothing is written, edited or not.
"""

import difflib
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pgdurable_core.importing.protocol import ImportedWorkflow, ReadResult, WorkflowFile

_TRAILER: Final = re.compile(
    r"^(?:--|#|<!--) pgdurable import: (?:graph (?P<graph>[0-9a-f]{8}), )?text (?P<text>[0-9a-f]{8})\b.*\n?\Z", re.M
)

Fate = Literal["written", "unchanged", "kept", "conflict"]
Owner = Literal["import", "both", "person"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file a person edited whose source changed too: both sides, as a unified diff from theirs to ours."""

    path: Path
    diff: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of every file. `kept` are files without our last line: the person's alone, left as they are."""

    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    conflicts: tuple[Conflict, ...]
    kept: tuple[Path, ...] = ()


def stamp(text: str, opening: str, closing: str = "", graph: str | None = None) -> str:
    """Close a text with the line that lets a later import see whether a person edited it."""
    body = text if text.endswith("\n") else text + "\n"
    shown = f"graph {graph[:8]}, " if graph else ""
    return f"{body}{opening} pgdurable import: {shown}text {_digest(body)}{closing}\n"


def owner(text: str) -> Owner:
    """Say whose a file is: the import's as it wrote it, also a person's since, or without our line a person's."""
    trailer = _TRAILER.search(text)
    if trailer is None:
        return "both" if " pgdurable import: " in text else "person"
    return "import" if _digest(text[: trailer.start()]) == trailer["text"] else "both"


def write_workflows(result: ReadResult, out_dir: Path, report: str | None = None) -> WriteResult:
    """Write every imported workflow below `out_dir`, and the report as `report.md`.

    Files of one workflow are written together or, when one of them is in conflict, not at all. A repeat with the same
    input changes nothing, not even a modification time.
    """
    written: list[Path] = []
    unchanged: list[Path] = []
    kept: list[Path] = []
    conflicts: list[Conflict] = []
    for workflow in result.imports:
        fates = _judge(workflow, out_dir)
        stopped = [(file, path) for file, path, fate in fates if fate == "conflict"]
        conflicts.extend(
            Conflict(path, _difference(file, path)) for file, path in stopped if not file.path.endswith(".json")
        )
        for file, path, fate in fates:
            if fate == "unchanged":
                unchanged.append(path)
            elif fate == "kept":
                kept.append(path)
            elif fate == "written" and not stopped:
                _write(path, file.text)
                written.append(path)
    if report is not None:
        path = out_dir / "report.md"
        file = WorkflowFile("report.md", report)
        match _fate(file, path):
            case "written":
                _write(path, report)
                written.append(path)
            case "unchanged":
                unchanged.append(path)
            case "kept":
                kept.append(path)
            case "conflict":
                conflicts.append(Conflict(path, _difference(file, path)))
    return WriteResult(tuple(written), tuple(unchanged), tuple(conflicts), tuple(kept))


def _judge(workflow: ImportedWorkflow, out_dir: Path) -> list[tuple[WorkflowFile, Path, Fate]]:
    """Decide about each file; the JSON document has no last line, so it shares the fate of the SQL beside it."""
    fates: list[tuple[WorkflowFile, Path, Fate]] = []
    leader: Fate = "written"
    for file in workflow.files:
        path = out_dir / file.path
        if not file.path.endswith(".json"):
            fate = _fate(file, path)
            leader = fate if path.suffix in (".sql", ".draft") else leader
        elif path.exists() and path.read_text(encoding="utf-8") == file.text:
            fate = "unchanged"
        else:
            fate = "unchanged" if leader == "unchanged" and path.exists() else leader
            fate = "written" if fate in ("unchanged", "conflict") and not path.exists() else fate
        fates.append((file, path, fate))
    return fates


def _fate(file: WorkflowFile, path: Path) -> Fate:
    if not path.exists():
        return "written"
    there = path.read_text(encoding="utf-8")
    if there == file.text:
        return "unchanged"
    old, new = _TRAILER.search(there), _TRAILER.search(file.text)
    if old is None:
        return "kept"
    if new is not None and old["graph"] is not None and old["graph"] == new["graph"]:
        return "unchanged"
    return "written" if owner(there) == "import" else "conflict"


def _difference(file: WorkflowFile, path: Path) -> str:
    there = path.read_text(encoding="utf-8").splitlines(keepends=True)
    ours = file.text.splitlines(keepends=True)
    return "".join(difflib.unified_diff(there, ours, f"{path} (yours)", f"{path} (imported now)"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
