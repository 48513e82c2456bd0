"""Carry workflow files, the modules they pin and the names of an environment into a database, all or nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import psycopg
import sqlglot
from sqlglot.errors import SqlglotError

from pgdurable_core.engine import Client, MissingConnectionRow
from pgdurable_core.engine.client import translate, translated
from pgdurable_core.engine.rows import WorkflowRow
from pgdurable_core.errors import DefinitionError, EngineError, NotFoundError, UsageError

Fate = Literal["create", "change", "unchanged", "gone"]

DRAFT: Final = ".sql.draft"
_MODULES: Final = re.compile(r"\bmodules\s*=>\s*'((?:[^']|'')*)'")
_TRANSACTION: Final = frozenset({"begin", "start", "commit", "rollback", "abort", "end", "savepoint", "prepare"})


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """One SQL file that defines workflows."""

    path: Path
    text: str

    @property
    def modules(self) -> Mapping[str, str]:
        """Return the modules it pins: name to 64 hex digits."""
        pins: dict[str, str] = {}
        for literal in _MODULES.findall(self.text):
            try:
                found = json.loads(literal.replace("''", "'"))
            except ValueError:
                continue
            pins |= {name: str(pin).removeprefix("sha256:") for name, pin in found.items()}
        return pins


@dataclass(frozen=True, slots=True)
class Change:
    """What a deployment does to one workflow; `file` is None for one that no file has any more.

    `missing_connections` are steps that name a connection which the database would not know then.
    """

    fate: Fate
    namespace: str
    name: str
    before: int | None
    after: int | None
    is_paused: bool
    file: Path | None = None
    missing_connections: tuple[MissingConnectionRow, ...] = ()

    def __str__(self) -> str:
        version = {
            "create": f"v{self.after}, new",
            "change": f"v{self.before} -> v{self.after}",
            "unchanged": f"v{self.after}",
            "gone": f"v{self.before}, in no file; left as it is",
        }[self.fate]
        return f"{self.fate:<10}{self.name}  {version}{', paused' if self.is_paused else ''}"


@dataclass(frozen=True, slots=True)
class Names:
    """What the names in the files stand for here: connections as roles (None: whoever starts), variables as text."""

    connections: Mapping[str, str | None] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


def read_workflow_files(paths: Sequence[Path]) -> tuple[list[WorkflowFile], list[Path]]:
    """Read files and the `*.sql` of folders; return them and the drafts, which hold a blocked task and stay out."""
    files: list[WorkflowFile] = []
    drafts: list[Path] = []
    for path in paths:
        drafts += [path] if path.name.endswith(DRAFT) else sorted(path.glob(f"*{DRAFT}")) if path.is_dir() else []
        for file in sorted(path.glob("*.sql")) if path.is_dir() else [path]:
            if not file.name.endswith(DRAFT):
                files.append(WorkflowFile(file, _text(file)))
    if not files and not drafts:
        raise UsageError(f"no workflow file in {', '.join(map(str, paths))}", hint="a workflow file ends in .sql")
    for workflow in files:
        _refuse_transaction_control(workflow)
    return files, drafts


def _text(file: Path) -> str:
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: byte {error.start}", hint="a workflow file is UTF-8 text") from error
    if "create_workflow" not in text:
        raise UsageError(f"{file} defines no workflow", hint="a workflow file calls df.create_workflow(…)")
    return text


def apply(
    client: Client,
    files: Sequence[WorkflowFile],
    names: Names,
    *,
    namespace: str,
    search: Iterable[Path] = (),
    modules: Mapping[tuple[str, str], str] | None = None,
    dry_run: bool = False,
) -> list[Change]:
    """Deploy in one transaction and say what became of every workflow; with `dry_run` it is rolled back.

    A pinned module is taken from `modules` ((name, sha256) to source), else from the folders in `search`, by content.
    New workflows with a schedule are paused. Raises NotFoundError for a module that is nowhere, DefinitionError for a
    file that the engine refuses, naming file and line; nothing was changed then.
    """
    search = list(search)
    changes: list[Change] = []
    with translated(client.connection), client.connection.transaction(force_rollback=dry_run):
        client.define_in(namespace)
        _store_modules(client, files, search, modules or {})
        known = _workflows(client)
        for file in files:
            _execute(client, file)
            now = _workflows(client)
            changes += _changes(file, known, now, namespace)
            known = now
        # A file may say a namespace of its own; its names mean there what they mean here.
        for place in sorted({namespace, *(change.namespace for change in changes)}):
            for name, role in names.connections.items():
                client.set_connection(name, role, place)
            for name, value in names.variables.items():
                client.set_variable(name, value, place)
        missing = client.missing_connections()
    return [
        replace(
            change,
            missing_connections=tuple(
                row for row in missing if (row.namespace, row.workflow) == (change.namespace, change.name)
            ),
        )
        for change in changes
    ]


def differs(client: Client, names: Names, namespace: str) -> bool:
    """Say whether a connection or variable of the environment is not yet in the database as it is named here."""
    connections, variables = client.connections(namespace), client.variables(namespace)
    return not (names.connections.items() <= connections.items() and names.variables.items() <= variables.items())


def gone(client: Client, changes: Sequence[Change], namespace: str) -> list[Change]:
    """List the workflows of a namespace that the files do not have."""
    there = {(change.namespace, change.name) for change in changes}
    return [
        Change("gone", row.namespace, row.name, row.version, None, row.is_paused)
        for row in client.workflows(namespace=namespace)
        if (row.namespace, row.name) not in there
    ]


def _workflows(client: Client) -> dict[tuple[str, str], WorkflowRow]:
    return {(row.namespace, row.name): row for row in client.workflows()}


def _changes(
    file: WorkflowFile,
    before: Mapping[tuple[str, str], WorkflowRow],
    after: Mapping[tuple[str, str], WorkflowRow],
    namespace: str,
) -> list[Change]:
    changes: list[Change] = []
    for key, row in after.items():
        old = before.get(key)
        if old is None or old.version != row.version:
            fate: Fate = "create" if old is None else "change"
        elif row.namespace != namespace and not re.search(
            rf"\bnamespace\s*=>\s*'{re.escape(row.namespace)}'", file.text
        ):
            # another's of the same name
            continue
        elif re.search(rf"create_workflow\s*\(\s*(?:name\s*=>\s*)?'{re.escape(row.name)}'", file.text):
            fate = "unchanged"
        else:
            continue
        changes.append(Change(fate, *key, None if old is None else old.version, row.version, row.is_paused, file.path))
    return changes


def _execute(client: Client, file: WorkflowFile) -> None:
    try:
        client.connection.execute(file.text.encode())
    except psycopg.Error as error:
        ours = translate(error, client.connection.info.user)
        if ours is not None and not isinstance(ours, EngineError):
            raise ours from error
        position = error.diag.statement_position
        line = "" if position is None else f":{file.text[: int(position)].count(chr(10)) + 1}"
        kind = DefinitionError if ours is None else type(ours)
        raise kind(
            f"{file.path}{line}: {error.diag.message_primary or error}",
            detail=error.diag.message_detail,
            hint=error.diag.message_hint,
            sqlstate=error.sqlstate,
        ) from error


def _store_modules(
    client: Client, files: Sequence[WorkflowFile], search: Sequence[Path], given: Mapping[tuple[str, str], str]
) -> None:
    wanted = {pin: file for file in files for pin in file.modules.items()}
    if not wanted:
        return
    stored = client.stored_modules()
    for (name, digest), file in wanted.items():
        if (name, digest) in stored:
            continue
        beside = file.path.absolute().parent
        places = [beside / "tasks", *(search or [beside.parent / "dags", beside.parent])]
        source = given.get((name, digest)) or _find_module(name, digest, places)
        if source is None:
            looked = ", ".join(str(folder) for folder in places)
            raise NotFoundError(
                f"{file.path} pins module {name} with sha256 {digest[:12]}…, and no file has that content",
                detail=f"looked in {looked}",
                hint="a changed module needs a new import: pgdurable import airflow PATH",
            )
        client.set_module(name, source)


def _find_module(name: str, digest: str, folders: Sequence[Path]) -> str | None:
    path = name.replace(".", "/")
    for folder in folders:
        for candidate in (folder / f"{path}.py", folder / path / "__init__.py"):
            if candidate.is_file():
                content = candidate.read_bytes()
                if hashlib.sha256(content).hexdigest() == digest:
                    return content.decode()
    return None


def _refuse_transaction_control(file: WorkflowFile) -> None:
    """A file that commits could not be tried without being done; what sqlglot cannot read the server will refuse."""
    try:
        tokens = sqlglot.tokenize(file.text, read="postgres")
    except SqlglotError:
        return
    is_start = True
    for token in tokens:
        if is_start and token.text.lower() in _TRANSACTION:
            raise UsageError(
                f"{file.path}:{token.line}: {token.text.upper()} ends or begins a transaction",
                hint="deploy applies all files in one transaction of its own",
            )
        is_start = token.text == ";"
