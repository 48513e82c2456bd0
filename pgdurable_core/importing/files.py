"""Writing what was imported, without ever writing over a person's work.

A file that the import wrote ends with a line that holds the hash of the text above it; a report in JSON, with a key
that does. No such line: the file is the person's alone. A hash that fits: nobody touched it. The same graph: nothing
is written, edited or not.
"""

import difflib
import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pgdurable_core.errors import OutputError
from pgdurable_core.importing.protocol import ImportedWorkflow, ReadResult, WorkflowFile

_SEAL: Final = "pgdurable_import"

_TRAILER: Final = re.compile(
    r"^(?:--|#|<!--) pgdurable import: (?:graph (?P<graph>[0-9a-f]{8}), )?text (?P<text>[0-9a-f]{8})\b.*\n?\Z", re.M
)

Fate = Literal["written", "unchanged", "kept", "conflict"]
Owner = Literal["import", "both", "person"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that could not be written without harm: why, and both sides as a unified diff from theirs to ours."""

    path: Path
    diff: str
    why: str = "was edited and its source changed"


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


def stamp_document(document: Mapping[str, object]) -> str:
    """Write a JSON document with a last key that lets a later import see whether a person edited it."""
    return json.dumps({**document, _SEAL: f"text {_sum(document)}"}, indent=2, ensure_ascii=False) + "\n"


def owner(text: str) -> Owner:
    """Say whose a file is: the import's as it wrote it, also a person's since, or without our mark a person's."""
    if text.startswith("{"):
        return _owner_of_document(text)
    trailer = _TRAILER.search(text)
    if trailer is None:
        return "both" if " pgdurable import: " in text else "person"
    return "import" if _digest(text[: trailer.start()]) == trailer["text"] else "both"


def write_workflows(result: ReadResult, out_dir: Path, reports: Sequence[WorkflowFile] = ()) -> WriteResult:
    """Write every imported workflow below `out_dir`, and the reports beside them.

    Files of one workflow are written together or, when one of them is in conflict, not at all. A repeat with the same
    input changes nothing, not even a modification time. All new files are complete on the disk before the first takes
    its place. Raises OutputError when one cannot be written; nothing has changed then.
    """
    new: list[tuple[Path, str]] = []
    unchanged: list[Path] = []
    kept: list[Path] = []
    conflicts: list[Conflict] = []
    try:
        judged = [_judge(workflow, out_dir) for workflow in result.imports]
        for group in [*judged, *([_judged(one, out_dir)] for one in reports)]:
            stopped = [
                conflict for file, path, fate in group if fate == "conflict" for conflict in _conflicts(file, path)
            ]
            conflicts += stopped
            for file, path, fate in group:
                if fate == "unchanged":
                    unchanged.append(path)
                elif fate == "kept":
                    kept.append(path)
                elif fate == "written" and not stopped:
                    new.append((path, file.text))
        _put(out_dir, new)
    except OSError as error:
        raise OutputError(
            f"{error.filename or out_dir} cannot be written: {error.strerror or error}",
            hint="Nothing was changed. Another folder: --out.",
        ) from error
    return WriteResult(tuple(path for path, _ in new), tuple(unchanged), tuple(conflicts), tuple(kept))


def _judge(workflow: ImportedWorkflow, out_dir: Path) -> list[tuple[WorkflowFile, Path, Fate]]:
    """Decide about each file; the JSON document has no last line, so it shares the fate of the SQL beside it."""
    fates: list[tuple[WorkflowFile, Path, Fate]] = []
    leader: Fate = "written"
    for file in workflow.files:
        path = out_dir / file.path
        if not file.path.endswith(".json"):
            fate = _fate(file, path)
            leader = fate if _is_leader(path) else leader
        elif path.exists() and _read(path) == file.text:
            fate = "unchanged"
        else:
            fate = "unchanged" if leader == "unchanged" and path.exists() else leader
            fate = "written" if fate in ("unchanged", "conflict") and not path.exists() else fate
        fates.append((file, path, fate))
    return fates


def _judged(file: WorkflowFile, out_dir: Path) -> tuple[WorkflowFile, Path, Fate]:
    path = out_dir / file.path
    return file, path, _fate(file, path)


def _is_leader(path: Path) -> bool:
    return path.suffix in (".sql", ".draft")


def _fate(file: WorkflowFile, path: Path) -> Fate:
    if _namesake(path) is not None:
        return "conflict"
    if not path.exists():
        return "written"
    there = _read(path)
    if there == file.text:
        return "unchanged"
    if there is None:
        return "kept"
    whose = owner(there)
    old, new = _TRAILER.search(there), _TRAILER.search(file.text)
    if whose == "person" or (old is None and not there.startswith("{")):
        return "kept"
    if old is not None and new is not None and old["graph"] is not None and old["graph"] == new["graph"]:
        return "unchanged"
    return "written" if whose == "import" else "conflict"


def _conflicts(file: WorkflowFile, path: Path) -> Iterator[Conflict]:
    namesake = _namesake(path)
    if namesake is not None:
        why = f"would take the place of {namesake.name} where case does not count"
        yield Conflict(path, f"Rename or remove {namesake}, or give the workflow another name.", why)
    elif not path.name.endswith(".graph.json"):
        there = (_read(path) or "").splitlines(keepends=True)
        ours = file.text.splitlines(keepends=True)
        diff = "".join(difflib.unified_diff(there, ours, f"{path} (yours)", f"{path} (imported now)"))
        yield Conflict(path, diff)


def _namesake(path: Path) -> Path | None:
    """Find a file whose name differs in case only: on many machines it is the same file."""
    if not path.parent.is_dir():
        return None
    folded = path.name.casefold()
    return next((one for one in path.parent.iterdir() if one.name.casefold() == folded and one.name != path.name), None)


def _read(path: Path) -> str | None:
    """Read a file that may be anybody's; what is no text is None."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def _owner_of_document(text: str) -> Owner:
    try:
        document = json.loads(text)
    except ValueError:
        # Only what we wrote once can have been broken since.
        return "both" if f'"{_SEAL}"' in text else "person"
    if not isinstance(document, dict) or _SEAL not in document:
        return "person"
    seal = document.pop(_SEAL)
    return "import" if seal == f"text {_sum(document)}" else "both"


def _sum(document: Mapping[str, object]) -> str:
    return _digest(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _put(out_dir: Path, new: Sequence[tuple[Path, str]]) -> None:
    """Write all texts beside their places first, to the disk, then rename: at no moment is a half file in sight."""
    if not new:
        return
    missing = [folder for folder in (out_dir, *out_dir.parents) if not folder.exists()]
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out_dir, prefix=".pgdurable-") as name:
            staged = [(_stage(Path(name) / str(number), text), path) for number, (path, text) in enumerate(new)]
            # The SQL goes last: whoever is killed in between leaves an old one, which the next import replaces.
            staged.sort(key=lambda pair: _is_leader(pair[1]))
            with _undisturbed():
                _rename(staged)
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def _rename(staged: Sequence[tuple[Path, Path]]) -> None:
    """Rename all, or undo what was renamed; every file is the old or the new one at every moment."""
    kept: list[tuple[Path, Path | None]] = []
    try:
        for temporary, path in staged:
            path.parent.mkdir(parents=True, exist_ok=True)
            old = _keep(path, temporary.with_suffix(".old"))
            temporary.replace(path)
            kept.append((path, old))
    except OSError:
        for path, old in reversed(kept):
            with suppress(OSError):
                path.unlink() if old is None else old.replace(path)
        raise


def _keep(path: Path, old: Path) -> Path | None:
    """Keep a file by another name, if it is there; a second name takes no space, where there can be one."""
    if not path.exists():
        return None
    try:
        old.hardlink_to(path)
    except OSError:
        shutil.copy2(path, old)
    return old


def _stage(temporary: Path, text: str) -> Path:
    with temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        # A full disk or quota may say so no earlier than here (fsync(2)).
        os.fsync(stream.fileno())
    temporary.chmod(0o644)
    return temporary


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back until everything is in its place."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
