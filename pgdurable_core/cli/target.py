"""Which database a command speaks to, and how a person is asked before it is changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from psycopg.conninfo import conninfo_to_dict

from pgdurable_core.cli.invocation import Invocation, current
from pgdurable_core.cli.project import EMBEDDED, Environment, Project, find_project, resolve_reference
from pgdurable_core.embedded import EMBEDDED_VERSION, Embedded, home_folder
from pgdurable_core.engine import Client, connect
from pgdurable_core.errors import SchemaError, UsageError
from pgdurable_core.schema import look
from pgdurable_core.schema.state import refuse_unfit

Kind = Literal["embedded", "dsn", "environment", "libpq"]


class DeclinedError(Exception):
    """A person answered no; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Target:
    """A database, how it was named, and the environment of `pgdurable.toml` that goes with it."""

    kind: Kind
    dsn: str
    name: str
    project: Project
    environment: Environment

    @property
    def is_embedded(self) -> bool:
        return self.kind == "embedded"

    @property
    def place(self) -> str:
        """Say where it is, without a password: `mart_bot@dev-db:5432/warehouse`."""
        if self.is_embedded:
            return f"embedded PostgreSQL in {short_path(home_folder())}"
        return place_of(self.dsn)

    @property
    def flag(self) -> str:
        """Return the option that names this target again, to be shown in advice."""
        match self.kind:
            case "embedded" | "libpq":
                return ""
            case "dsn":
                return " --dsn …"
            case "environment":
                return f" --env {self.name}"


def resolve_target(invocation: Invocation, *, writes: bool, near: Sequence[Path] = (), makes: bool = False) -> Target:
    """Decide where a command goes: --dsn, else --env, else (reading only) libpq's environment, else embedded.

    The embedded server is started when it is needed; one that is not there yet is made by commands that say so alone.
    """
    project = find_project(near)
    if invocation.dsn is not None and invocation.env is not None:
        raise UsageError("--dsn and --env both name a target", hint="say one of them")
    if invocation.dsn is not None:
        return Target("dsn", resolve_reference(invocation.dsn), "", project, Environment(""))
    if invocation.env is not None:
        environment = project.environment(invocation.env)
        if environment.dsn is not None:
            return Target("environment", resolve_reference(environment.dsn), environment.name, project, environment)
        return _embedded(invocation, project, environment, makes=makes)
    if not writes and any(os.environ.get(name) for name in ("PGHOST", "PGSERVICE", "PGDATABASE", "PGHOSTADDR")):
        return Target("libpq", "", "", project, Environment(""))
    return _embedded(
        invocation, project, project.environments.get(EMBEDDED, Environment(EMBEDDED)), writes=writes, makes=makes
    )


def _embedded(
    invocation: Invocation, project: Project, environment: Environment, *, writes: bool = True, makes: bool
) -> Target:
    embedded = Embedded()
    if not makes and not embedded.server.data.exists():
        raise UsageError(
            f"there is no embedded database yet in {short_path(home_folder())}",
            hint="pgdurable import airflow PATH --run, or pgdurable init; or name yours with --dsn or --env",
        )
    if not embedded.is_running:
        with invocation.err.status(f"starting PostgreSQL {EMBEDDED_VERSION} in {short_path(home_folder())}"):
            embedded.start()
    elif writes:
        embedded.start()
    return Target("embedded", embedded.dsn, environment.name, project, environment)


@contextmanager
def open_client(
    target: Target, application_name: str = "pgdurable", *, whatever_version: bool = False
) -> Iterator[Client]:
    """Connect to a target that must hold the engine, and say so when it is a copy that nobody has adopted.

    Raises SchemaError when there is no engine, or, but for `whatever_version`, one that is older than this package.
    """
    with connect(target.dsn, application_name=application_name) as connection:
        standing = look(connection)
        refuse_unfit(standing, target.flag, whatever_version=whatever_version)
        if standing.kind == "nothing":
            raise SchemaError(
                f"there is no engine in {target.place}, database {standing.database}",
                hint=f"pgdurable init{target.flag}",
            )
        client = Client(connection)
        original = client.copied_from()
        if original is not None:
            current().say(
                "Copy",
                f"this database is a copy of {original}",
                f"nothing runs in it until its owner says what it is: pgdurable adopt move|copy{target.flag}",
            )
        yield client


def find_workflow(client: Client, text: str, namespace: str) -> tuple[str, str]:
    """Return (namespace, name) of `name` or `namespace/name`; a bare name may live in any one namespace.

    Raises UsageError when several namespaces have it and the project's own is not among them. A name that nobody has
    is returned as it is: the engine says what is wrong with it.
    """
    place, slash, name = text.rpartition("/")
    if slash:
        return place, name
    there = [row.namespace for row in client.workflows(name=name)]
    if namespace in there or not there:
        return namespace, name
    if len(there) > 1:
        raise UsageError(
            f"{name} is in several namespaces", hint=f"say {' or '.join(f'{one}/{name}' for one in there)}"
        )
    return there[0], name


def ask(invocation: Invocation, target: Target, lines: Sequence[str], *, yes: bool) -> None:
    """Print target, role and what would happen, and ask; the embedded server is the user's own and is not asked about.

    Raises DeclinedError on no, UsageError without a terminal and without --yes.
    """
    if target.is_embedded:
        return
    name = f"{target.name} = " if target.name else ""
    invocation.say("Target", f"{name}{target.place}", *lines)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to say yes to this", hint="--yes, when a script should do it")
    if not click.confirm("Continue?", default=False, err=True):
        raise DeclinedError


def place_of(dsn: str) -> str:
    """Show a connection string without its secrets."""
    parts = conninfo_to_dict(dsn)
    user = parts.get("user") or os.environ.get("PGUSER") or ""
    host = parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST") or parts.get("service") or "local"
    port = parts.get("port") or os.environ.get("PGPORT") or "5432"
    database = parts.get("dbname") or os.environ.get("PGDATABASE") or user
    return f"{user}@{host}:{port}/{database}".removeprefix("@")


def short_path(path: Path) -> str:
    """Write a path as a person would: relative to here, or with a tilde."""
    path = path.absolute()
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        pass
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
