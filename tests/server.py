"""Databases for tests: a real server, a template with the engine in it, a fresh clone for every test.

`PGDURABLE_TEST_DSN` names a server to use (a role that may create roles and databases); without it private servers
are started in temporary folders, at most one per version and session. `PGDURABLE_TEST_POSTGRES` says which versions
the whole run uses: `18` (default), `16`, `15`, or several with commas. A test that needs certain versions says
`@pytest.mark.parametrize("server", [18, 16], indirect=True)`; versions this machine lacks are skipped.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgdurable_core.embedded import EMBEDDED_VERSION, Server, has_binaries, private_server
from pgdurable_core.engine import Client, Connection, connect
from pgdurable_core.schema import Identity, install

OWNER = "pgdurable"
# Speed without changing what commits mean: the machine stays up, only processes are killed.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum_naptime": "10s",
}

_numbers = itertools.count(1)


@dataclass
class TestServer:
    """A server in the role of an administrator; `private` is None when it belongs to somebody else."""

    __test__ = False

    admin_dsn: str
    private: Server | None = None
    template: str | None = None
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def dsn(self, database: str, role: str = OWNER) -> str:
        return make_conninfo("", **{**conninfo_to_dict(self.admin_dsn), "dbname": database, "user": role})

    @property
    def superuser(self) -> str:
        return str(conninfo_to_dict(self.admin_dsn)["user"])

    def run(self, statement: str, *names: str) -> None:
        """Run one administrator's statement; `{}` stand for quoted names."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]

    def create_database(self, template: str | None = None, owner: str = OWNER) -> Database:
        """Make a database of its own name, from a template or empty."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        if template is None:
            self.run("create database {} owner {} template template0", name, owner)
        else:
            # Copying files is four times as fast where fsync is off; elsewhere it would force a checkpoint.
            strategy = " strategy file_copy" if self.private else ""
            self.run("create database {} owner {} template {}" + strategy, name, owner, template)
            Database(self, name, owner).say_what_it_is()
        return Database(self, name, owner)

    def create_role(self, options: str = "login") -> str:
        """Make a role of its own name; it lives as long as the test database server."""
        name = f"r{os.getpid()}_{next(_numbers)}"
        self.run(f"create role {{}} {options}", name)
        return name

    def engine_template(self) -> str:
        """Return the name of a database with the engine in it, made once per session."""
        if self.template is None:
            database = self.create_database()
            with database.connect() as connection:
                install(connection, identity=Identity(environment="test", is_test=True))
            self.template = database.name
        return self.template


@dataclass(frozen=True)
class Database:
    """One database of a test server; dropped when its test ends."""

    server: TestServer
    name: str
    owner: str

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name, self.owner)

    @property
    def superuser_dsn(self) -> str:
        return self.server.dsn(self.name, self.server.superuser)

    def dsn_as(self, role: str) -> str:
        return self.server.dsn(self.name, role)

    def connect(self, role: str | None = None, *, autocommit: bool = True) -> Connection:
        """Connect as the owner or another role; the caller closes it (`with` does)."""
        return connect(self.dsn_as(role or self.owner), application_name="pgdurable test", autocommit=autocommit)

    def execute(self, statement: str, role: str | None = None) -> list[tuple[object, ...]]:
        """Run statements on a connection of their own and return the rows of the last."""
        with self.connect(role) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def say_what_it_is(self) -> None:
        """Make a clone a database of its own: workers refuse copies until somebody says what they are."""
        self.execute(
            "update df._engine set database_oid = (select oid from pg_database where datname = current_database())"
        )

    def drop(self) -> None:
        self.server.run("drop database if exists {} with (force)", self.name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the whole run use the versions named in the environment, unless the test names its own."""
    named = os.environ.get("PGDURABLE_TEST_POSTGRES")
    if named is None or "server" not in metafunc.fixturenames:
        return
    if any(marker.args[0] == "server" for marker in metafunc.definition.iter_markers("parametrize")):
        return
    metafunc.parametrize("server", [int(version) for version in named.split(",")], indirect=True, scope="session")


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[int], TestServer]]:
    """Give the server of a major version, started at its first use."""
    started: dict[int, TestServer] = {}

    def give(version: int) -> TestServer:
        if version not in started:
            if not has_binaries(version):
                pytest.skip(f"PostgreSQL {version} is not on this machine")
            folder = tempfile.TemporaryDirectory(prefix="pgdurable-test-", ignore_cleanup_errors=True)
            private = private_server(Path(folder.name) / f"postgres-{version}", version, SETTINGS)
            started[version] = _prepared(TestServer(private.dsn(), private, folder=folder))
        return started[version]

    yield give
    for server in started.values():
        assert server.private is not None
        server.private.remove()
        assert server.folder is not None
        server.folder.cleanup()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, servers: Callable[[int], TestServer]) -> TestServer:
    """The server that tests run on."""
    version: int | None = getattr(request, "param", None)
    dsn = os.environ.get("PGDURABLE_TEST_DSN")
    if version is None and dsn:
        return _prepared(TestServer(dsn))
    return servers(version or EMBEDDED_VERSION)


@pytest.fixture
def empty_database(server: TestServer) -> Iterator[Database]:
    """A database without the engine, owned by an ordinary role."""
    database = server.create_database()
    yield database
    database.drop()


@pytest.fixture
def database(server: TestServer) -> Iterator[Database]:
    """A database with the engine, marked for tests, owned by an ordinary role."""
    database = server.create_database(server.engine_template())
    yield database
    database.drop()


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """The owner's connection to the test's database, in autocommit mode."""
    with database.connect() as connection:
        yield connection


@pytest.fixture
def client(connection: Connection) -> Client:
    """The engine's calls as the owner of the test's database."""
    return Client(connection)


def _prepared(server: TestServer) -> TestServer:
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        there = connection.execute("select 1 from pg_roles where rolname = %s", [OWNER]).fetchone()
    if there is None:
        server.run("create role {} login", OWNER)
    return server
