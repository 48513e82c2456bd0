"""`pgdurable.toml`: the namespace, and per environment what names stand for.

    namespace   = "mart"
    python_path = ["dags"]              # where deploy looks for pinned modules

    [environments.dev]
    dsn     = "host=dev-db dbname=warehouse user=mart_bot"   # absent: the embedded server
    fixture = "seed.sql"                # run once into an embedded database that does not have it yet
    date    = "2026-11-21"              # what a run without --date takes: a day that the fixture has data for
    beside  = "python3 erp.py"          # runs while `--run` runs, stopped after it

    [environments.dev.connections]
    warehouse = "here"                  # this database, as whoever starts the instance
    ledger    = { role = "ledger_bot" } # this database, as this role

    [environments.dev.variables]
    slack_channel = "#mart"

A DSN may be a reference, `env:NAME` or `file:PATH`, so that the file holds no secret.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pgdurable_core.cli.moments import read_moment
from pgdurable_core.errors import UsageError

FILE_NAME: Final = "pgdurable.toml"
# The environment of commands that name neither --env nor --dsn, when the file has it.
EMBEDDED: Final = "embedded"

_TOP: Final = frozenset({"namespace", "python_path", "environments"})
_ENVIRONMENT: Final = frozenset({"dsn", "fixture", "date", "beside", "connections", "variables"})


@dataclass(frozen=True, slots=True)
class Environment:
    """One `[environments.<name>]`. `dsn` is None for the embedded server; a connection maps to a role or None."""

    name: str
    dsn: str | None = None
    fixture: Path | None = None
    date: datetime | None = None
    beside: str | tuple[str, ...] | None = None
    connections: Mapping[str, str | None] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Project:
    """What the file says; `file` is None when there is none and every default holds."""

    file: Path | None = None
    namespace: str = "default"
    python_path: tuple[Path, ...] = ()
    environments: Mapping[str, Environment] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path.cwd() if self.file is None else self.file.parent

    def environment(self, name: str) -> Environment:
        """Return an environment by name. Raises UsageError, naming those there are."""
        found = self.environments.get(name)
        if found is None:
            known = ", ".join(self.environments) or "none"
            where = f"{FILE_NAME} was not found" if self.file is None else f"{self.file} has: {known}"
            raise UsageError(f"no environment is called {name!r}", hint=where)
        return found


def find_project(places: Iterable[Path] = ()) -> Project:
    """Read the nearest `pgdurable.toml`: upwards from each place, then from the working folder."""
    for start in (*places, Path.cwd()):
        start = start.absolute()
        for folder in (start, *start.parents):
            if (folder / FILE_NAME).is_file():
                return read_project(folder / FILE_NAME)
    return Project()


def read_project(file: Path) -> Project:
    """Read one file. Raises UsageError for what is misspelt, naming file and key."""
    try:
        with file.open("rb") as stream:
            raw = tomllib.load(stream)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    _refuse_unknown(file, "", raw, _TOP)
    folders = raw.get("python_path", ["dags", "."])
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise UsageError(f"{file}: python_path must be a list of folders")
    return Project(
        file,
        _text(file, "namespace", raw.get("namespace", "default")),
        tuple(file.parent / folder for folder in folders),
        {name: _environment(file, name, table) for name, table in _table(file, "environments", raw).items()},
    )


def _environment(file: Path, name: str, raw: Any) -> Environment:
    place = f"environments.{name}"
    if not isinstance(raw, dict):
        raise UsageError(f"{file}: {place} must be a table")
    _refuse_unknown(file, f"{place}.", raw, _ENVIRONMENT)
    beside = raw.get("beside")
    if isinstance(beside, list):
        beside = tuple(_text(file, f"{place}.beside", part) for part in beside)
    elif beside is not None:
        beside = _text(file, f"{place}.beside", beside)
    fixture = raw.get("fixture")
    return Environment(
        name,
        None if raw.get("dsn") is None else _text(file, f"{place}.dsn", raw["dsn"]),
        None if fixture is None else file.parent / _text(file, f"{place}.fixture", fixture),
        _moment(file, f"{place}.date", raw.get("date")),
        beside,
        {
            key: _role(file, f"{place}.connections.{key}", value)
            for key, value in _table(file, "connections", raw).items()
        },
        {key: _text(file, f"{place}.variables.{key}", value) for key, value in _table(file, "variables", raw).items()},
    )


def _role(file: Path, place: str, value: Any) -> str | None:
    if value == "here":
        return None
    if isinstance(value, dict) and value.keys() == {"role"}:
        return _text(file, f"{place}.role", value["role"])
    raise UsageError(f'{file}: {place} must be "here" or {{ role = "…" }}')


def _table(file: Path, key: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{file}: {key} must be a table")
    return value


def _text(file: Path, place: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{file}: {place} must be text")
    return value


def _moment(file: Path, place: str, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        return read_moment(value)
    except UsageError as error:
        raise UsageError(f"{file}: {place}: {error}", hint=error.hint) from error


def _refuse_unknown(file: Path, place: str, raw: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in raw:
        if key not in known:
            raise UsageError(f"{file}: unknown key {place}{key}", hint=f"known: {', '.join(sorted(known))}")


def resolve_reference(text: str) -> str:
    """Return what `env:NAME` or `file:PATH` stands for, or the text itself. Raises UsageError when it is missing."""
    kind, _, rest = text.partition(":")
    if kind == "env":
        value = os.environ.get(rest)
        if value is None:
            raise UsageError(f"the environment variable {rest} is not set", hint=f"a DSN says {text!r}")
        return value
    if kind == "file":
        try:
            return Path(rest).expanduser().read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UsageError(f"{rest} cannot be read: {error.strerror}", hint=f"a DSN says {text!r}") from error
    return text
