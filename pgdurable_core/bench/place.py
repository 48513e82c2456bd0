"""Where a benchmark runs: a private server, or a scratch database on a server that somebody named."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgdurable_core.embedded import EMBEDDED_VERSION, find_binaries, private_server
from pgdurable_core.engine import Connection, connect
from pgdurable_core.errors import SetupError
from pgdurable_core.schema import Identity, install

OWNER = "pgdurable"
STEP_ROLE = "pgdurable_bench_step"
# Room for a benchmark's data, nothing that changes what a commit means.
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "100"}


@dataclass(frozen=True, slots=True)
class Place:
    """A database with the engine and nothing else in it. `run_as`: whom the steps run as, through his runner."""

    dsn: str
    name: str
    run_as: str
    pgbench: Path

    def connect(self, autocommit: bool = True) -> Connection:
        return connect(self.dsn, application_name="pgdurable bench", autocommit=autocommit)


@contextmanager
def private_place() -> Iterator[Place]:
    """Start a server of our own in a temporary folder, with fsync on; it is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="pgdurable-bench-", ignore_cleanup_errors=True) as folder:
        server = private_server(Path(folder) / "postgres", EMBEDDED_VERSION, SETTINGS)
        try:
            with psycopg.connect(server.dsn(), autocommit=True) as superuser:
                superuser.execute(f"create role {OWNER} login")
                superuser.execute(f"create role {STEP_ROLE}")
                superuser.execute(f"grant {STEP_ROLE} to {OWNER} with admin option")
                superuser.execute(f"create database bench owner {OWNER}")
            dsn = server.dsn("bench", OWNER)
            with connect(dsn) as connection:
                install(connection, identity=Identity(environment="bench"))
                connection.execute("select df.grant_usage(%s)", [STEP_ROLE])
            yield Place(
                dsn,
                f"private, in a temporary folder, over its Unix socket, steps run as {STEP_ROLE}",
                STEP_ROLE,
                find_binaries(EMBEDDED_VERSION) / _program("pgbench"),
            )
        finally:
            server.remove()


@contextmanager
def given_place(dsn: str) -> Iterator[Place]:
    """Make a scratch database on the server of `dsn`, beside the one that it names; it is dropped afterwards.

    Raises SetupError when the role may not create databases.
    """
    scratch = f"pgdurable_bench_{os.getpid()}"
    with connect(dsn) as admin:
        try:
            admin.execute(sql.SQL("create database {} template template0").format(sql.Identifier(scratch)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise SetupError(
                "the benchmark makes a database of its own, and this role may not", hint="alter role … createdb"
            ) from error
        try:
            there = make_conninfo("", **{**conninfo_to_dict(dsn), "dbname": scratch})
            with connect(there) as connection:
                install(connection, identity=Identity(environment="bench"))
                role = connection.execute("select current_user").fetchone()
                assert role is not None
                shown = f"{connection.info.host}:{connection.info.port}, scratch database, steps run as {role[0]}"
            yield Place(there, shown, str(role[0]), find_binaries(EMBEDDED_VERSION) / _program("pgbench"))
        finally:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(scratch)))


def _program(name: str) -> str:
    return f"{name}.exe" if os.name == "nt" else name
