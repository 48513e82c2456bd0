"""Where trials run: databases that exist for them alone, beside others on a server."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgdurable_core.embedded import EMBEDDED_VERSION, Embedded, find_binaries, has_binaries
from pgdurable_core.embedded.home import ROLE
from pgdurable_core.engine import Connection, connect, translated
from pgdurable_core.errors import DatabaseUnavailableError, MissingDependencyError, SetupError, UsageError
from pgdurable_core.schema import Identity, install

PREFIX: Final = "pgdurable_test_"
KEPT: Final = "pgdurable_kept_"
_NAME: Final = re.compile(rf"{PREFIX}(\d+)_([0-9a-f]{{8}})_\d+")
_numbers = itertools.count(1)

# A copy is a database of its own, and nothing that was under way in the original goes on in it.
_BEGIN_ANEW: Final = """
truncate df._instances, df._run_keys, df._scopes, df._steps, df._joins, df._attempts, df._events, df._logs,
         df._commands, df._sessions, df._workers, df._sleepers, df._stops, df._positions, df._purging, df._retention;
update df._engine
set    database_oid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()),
       solo_token = null, solo_session = null, draining = false
"""
_LEFT: Final = """
select datname::text from pg_catalog.pg_database
where  pg_catalog.starts_with(datname, %s) and pg_catalog.pg_has_role(datdba, 'member') order by 1
"""
_CONNECTED: Final = """
select coalesce(nullif(application_name, ''), 'unnamed') || ' as ' || usename || ', pid ' || pid
from   pg_catalog.pg_stat_activity
where  datname = %s and pid <> pg_catalog.pg_backend_pid() order by 1
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A server that may make databases: `admin` is where that is asked for, `owner` whom they belong to.

    `owner` is None where they belong to the role of `admin`, which then is the role that trials run as.
    """

    admin: str
    owner: str | None
    shown: str

    def dsn(self, database: str) -> str:
        """Return the connection string of one of its databases, as the owner."""
        given = {**conninfo_to_dict(self.admin), "dbname": database}
        return make_conninfo("", **(given if self.owner is None else {**given, "user": self.owner}))

    @contextmanager
    def scratch(self, copy_of: str | None = None) -> Iterator[str]:
        """Make a database with the engine in it and give its name; it is dropped whatever happens, unless renamed.

        A copy has the tables and the workflows of the original, and none of its instances: those of a copied queue
        must not run here. Raises SetupError when the role may not make it, UsageError while others use the original.
        """
        name = f"{PREFIX}{os.getpid()}_{_host()}_{next(_numbers)}"
        self._create(name, copy_of)
        try:
            with connect(self.dsn(name), application_name="pgdurable test") as connection:
                install(connection, identity=Identity(environment="test", is_test=True))
                with translated(), connection.transaction():
                    connection.execute(_BEGIN_ANEW)
            yield name
        finally:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Drop a database, disconnecting whoever is connected; one that is not there is left at that."""
        with self._admin() as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def keep(self, name: str) -> str:
        """Rename a database so that nothing drops it; return its name. Nobody may be connected."""
        kept = KEPT + name.removeprefix(PREFIX)
        with self._admin() as admin, translated():
            admin.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(name), sql.Identifier(kept)))
        return kept

    def sweep(self) -> list[str]:
        """Drop what killed processes of this machine left; return the names. What is in use stays."""
        swept: list[str] = []
        with self._admin() as admin:
            for (name,) in admin.execute(_LEFT, [PREFIX]).fetchall():
                parts = _NAME.fullmatch(name)
                # Another machine's process cannot be looked for here.
                if parts is None or parts[2] != _host() or _is_alive(int(parts[1])):
                    continue
                try:
                    admin.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
                except (psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
                    continue  # somebody looks at it, or was faster
                swept.append(name)
        return swept

    def seed(self, database: str, file: Path) -> None:
        """Run an SQL file with psql in one transaction. Raises UsageError with psql's own words when it fails."""
        if not file.is_file():
            raise UsageError(f"there is no fixture {file}")
        parts = conninfo_to_dict(self.dsn(database))
        # The password travels in the environment, where `ps` does not show it.
        password = parts.pop("password", None)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG") or self._is_named}
        environment |= {"PGOPTIONS": ""} | ({} if password is None else {"PGPASSWORD": str(password)})
        done = subprocess.run(
            [
                *(_psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction"),
                *("-f", str(file), make_conninfo("", **parts)),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        if done.returncode != 0:
            raise UsageError(f"the fixture {file} failed", detail=done.stderr.strip())

    @property
    def _is_named(self) -> bool:
        return self.owner is None

    def _admin(self) -> Connection:
        return connect(self.admin, application_name="pgdurable test")

    def _create(self, name: str, copy_of: str | None) -> None:
        admin = self._admin() if copy_of is None else self._aside(copy_of)
        statement = sql.SQL("create database {} template {}").format(
            sql.Identifier(name), sql.Identifier(copy_of or "template0")
        )
        if self.owner is not None:
            statement += sql.SQL(" owner {}").format(sql.Identifier(self.owner))
        with admin:
            try:
                admin.execute(statement)
            except psycopg.errors.InsufficientPrivilege as error:
                raise SetupError(
                    f"role {admin.info.user} may not make the database that a trial needs:"
                    f" {error.diag.message_primary}",
                    hint="alter role … createdb (and to copy a database, own it); or leave --dsn and --env out",
                ) from error
            except psycopg.errors.ObjectInUse as error:
                others = [str(row[0]) for row in admin.execute(_CONNECTED, [copy_of]).fetchall()]
                raise UsageError(
                    f"database {copy_of} cannot be copied while somebody is connected to it: {len(others)} sessions",
                    detail="\n".join(others),
                    hint="end them (workers, psql), or leave --clone out and give --fixture",
                ) from error

    def _aside(self, copy_of: str) -> Connection:
        """Connect to another database than the one that is to be copied: our own session would hinder it, too."""
        for database in ("postgres", "template1"):
            if database != copy_of:
                given = {**conninfo_to_dict(self.admin), "dbname": database}
                try:
                    return connect(make_conninfo("", **given), application_name="pgdurable test")
                except DatabaseUnavailableError:
                    continue
        raise UsageError(f"to copy {copy_of} a session in another database is needed, and postgres lets nobody in")


def embedded_place() -> Place:
    """Return the private server, started when it is not running; databases belong to its ordinary role."""
    embedded = Embedded()
    embedded.start()
    return Place(embedded.server.dsn(), ROLE, "the embedded PostgreSQL")


def named_place(dsn: str, shown: str) -> Place:
    """Return the server of a connection string; the database that it names is connected to and not touched."""
    return Place(dsn, None, shown)


def _psql() -> str:
    if has_binaries(EMBEDDED_VERSION):
        return str(find_binaries() / ("psql.exe" if os.name == "nt" else "psql"))
    found = shutil.which("psql")
    if found is None:
        raise MissingDependencyError("a fixture needs psql", hint="pip install 'pgdurable[embedded]'")
    return found


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # signal 0 would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
