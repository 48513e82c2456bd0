"""Get the engine into a database, whole or not at all, and bring an older one up to date."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as distribution_version
from typing import Literal

import psycopg

from pgdurable_core.engine.client import Connection, translated
from pgdurable_core.errors import SchemaError
from pgdurable_core.schema.catalog import Catalog, SqlFile, load_catalog
from pgdurable_core.schema.fingerprint import Fingerprint, take_fingerprint
from pgdurable_core.schema.script import LOCK, SETTINGS, record, registration
from pgdurable_core.schema.state import Standing, look, refuse_foreign

# A migration waits this long for a table lock, then lets the workers pass and asks again: a queued
# ALTER TABLE holds back every claim behind it.
LOCK_TIMEOUT = "1s"
UPGRADE_SECONDS = 60.0

_VIEW = re.compile(r"^create or replace view df\.(\w+) (.*?);$", re.MULTILINE | re.DOTALL)
_SAME_VIEW = """
select pg_catalog.pg_get_viewdef(a.oid) = pg_catalog.pg_get_viewdef(b.oid)
       and a.reloptions is not distinct from b.reloptions
from   pg_catalog.pg_class a, pg_catalog.pg_class b
where  a.oid = %s::pg_catalog.regclass and b.oid = 'pg_temp.pgdurable_view'::pg_catalog.regclass
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a database is told about itself at `init`; None keeps what it was told before."""

    environment: str | None = None
    endpoint: str | None = None
    is_test: bool | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """What `init` did."""

    outcome: Literal["created", "upgraded", "refreshed", "unchanged"]
    before: int
    after: int

    def __str__(self) -> str:
        match self.outcome:
            case "created":
                return f"schema df {self.after} created"
            case "upgraded":
                return f"schema df upgraded from {self.before} to {self.after}"
            case "refreshed":
                return f"schema df {self.after}, functions and rights brought up to date"
            case "unchanged":
                return f"schema df {self.after}, unchanged"


def install(
    connection: Connection,
    catalog: Catalog | None = None,
    identity: Identity | None = None,
    *,
    patience: float = UPGRADE_SECONDS,
) -> Installed:
    """Install the engine or bring it up to date; twice changes nothing.

    Needs CREATE on the database (its owner has it); no superuser, no extension. One transaction, so that a failure
    leaves what was there. Two at once: the second waits, then finds nothing to do. Whatever it needs a lock for is
    tried for `patience` seconds; an upgrade of the tables announces `draining` first. Calls of df.work that run
    meanwhile end at their next turn, and the next ones are of the new functions.
    Raises SchemaError for a schema df that is not ours, one that is newer than this package, missing rights.
    `connection` must be in autocommit mode, outside a transaction.
    """
    catalog = load_catalog() if catalog is None else catalog
    identity = Identity() if identity is None else identity
    standing = look(connection)
    _refuse(standing, catalog)
    if standing.engine is None:
        return _install_once(connection, catalog, identity)
    if not catalog.after(standing.schema_version):
        return _install_patiently(connection, catalog, identity, patience)
    _drain(connection, True)
    try:
        return _install_patiently(connection, catalog, identity, patience)
    finally:
        _drain(connection, False)


def _refuse(standing: Standing, catalog: Catalog) -> None:
    refuse_foreign(standing)
    if standing.kind == "nothing" and not standing.may_create:
        raise SchemaError(
            f"role {standing.role} may not create schemas in database {standing.database}",
            hint=f'grant create on database "{standing.database}" to "{standing.role}", or connect as its owner',
        )
    if standing.kind == "ours" and standing.engine is None:
        raise SchemaError(
            f"schema df belongs to role {standing.owner}, not to {standing.role}", hint=f"connect as {standing.owner}"
        )
    if standing.schema_version > catalog.schema_version:
        raise SchemaError(
            f"schema df is version {standing.schema_version}, this pgdurable knows up to {catalog.schema_version}",
            hint="pip install --upgrade pgdurable",
        )


def _install_once(connection: Connection, catalog: Catalog, identity: Identity) -> Installed:
    """Apply what is missing in one transaction; under the lock everything is looked at again."""
    with translated(), connection.transaction():
        connection.execute(LOCK)
        standing = look(connection)
        _refuse(standing, catalog)
        before = standing.schema_version
        if standing.kind == "ours":
            connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        old = take_fingerprint(connection) if standing.kind == "ours" else Fingerprint({})
        _apply(connection, catalog, before)
        connection.execute(registration(catalog.schema_version, package_version()).encode())
        connection.execute(record(), [identity.environment, identity.endpoint, identity.is_test], prepare=False)
        if standing.kind == "nothing":
            return Installed("created", 0, catalog.schema_version)
        if before != catalog.schema_version:
            return Installed("upgraded", before, catalog.schema_version)
        is_same = old == take_fingerprint(connection)
        return Installed("unchanged" if is_same else "refreshed", before, before)


def _apply(connection: Connection, catalog: Catalog, schema_version: int) -> None:
    connection.execute(SETTINGS)
    for file in (*catalog.after(schema_version), *catalog.behaviour):
        try:
            connection.execute(_VIEW.sub(partial(_unless_it_stands, connection), file.text).encode())
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.Error as error:
            raise _in_file(file, error) from error


def _unless_it_stands(connection: Connection, view: re.Match[str]) -> str:
    """Leave out a view that stands as the text has it.

    Replacing it would wait for every transaction that read it, a step of hours among them, and everybody who wants to
    read it would queue behind.
    """
    found = connection.execute("select pg_catalog.to_regclass(%s) is not null", [f"df.{view[1]}"]).fetchone()
    if found is None or not found[0]:
        return view[0]
    connection.execute(f"create temporary view pgdurable_view {view[2]}".encode())
    same = connection.execute(_SAME_VIEW, [f"df.{view[1]}"]).fetchone()
    connection.execute("drop view pg_temp.pgdurable_view")
    return "" if same == (True,) else view[0]


def _in_file(file: SqlFile, error: psycopg.Error) -> SchemaError:
    """Name file and line of a statement that failed."""
    position = error.diag.statement_position
    line = "" if position is None else f":{file.text[: int(position)].count(chr(10)) + 1}"
    message = error.diag.message_primary or str(error)
    return SchemaError(
        f"{file.name}{line}: {message}",
        detail=error.diag.message_detail or error.diag.context,
        hint=error.diag.message_hint,
        sqlstate=error.sqlstate,
    )


def _install_patiently(connection: Connection, catalog: Catalog, identity: Identity, patience: float) -> Installed:
    """Ask for the locks again and again without ever queueing for long."""
    deadline = time.monotonic() + patience
    pause = 0.05
    while True:
        try:
            return _install_once(connection, catalog, identity)
        except psycopg.errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise SchemaError(
                    f"the tables of df were in use for {patience:.0f} s; nothing was changed",
                    hint="end the open transactions that use schema df (see pg_stat_activity), then again",
                ) from error
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def _drain(connection: Connection, draining: bool) -> None:
    with translated():
        connection.execute("update df._engine set draining = %s where draining <> %s", [draining, draining])


def package_version() -> str:
    """Return the version of this distribution; `0` when it runs from a source tree that was never installed."""
    try:
        return distribution_version("pgdurable")
    except ModuleNotFoundError:
        return "0"


__all__ = ["Identity", "Installed", "install", "package_version"]
