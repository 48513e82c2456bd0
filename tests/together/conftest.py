"""Servers that a module may kill, and the rule that whatever happened, the rows agree in the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from server import SETTINGS, Database, TestServer, _prepared

from pgdurable_core.embedded import EMBEDDED_VERSION, has_binaries, private_server
from pgdurable_core.engine import Connection


@pytest.fixture(scope="module")
def mortal(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """A server of this module's own, to be killed; of another version when a test asks for one."""
    version = getattr(request, "param", EMBEDDED_VERSION)
    if not has_binaries(version):
        pytest.skip(f"PostgreSQL {version} is not on this machine")
    with tempfile.TemporaryDirectory(prefix="pgdurable-kill-", ignore_cleanup_errors=True) as folder:
        server = private_server(Path(folder) / "postgres", version, SETTINGS | {"restart_after_crash": "on"})
        yield _prepared(TestServer(server.dsn(), server))
        server.remove()


@pytest.fixture
def mortal_database(mortal: TestServer) -> Iterator[Database]:
    """A database with the engine on the server that may be killed."""
    database = mortal.create_database(mortal.engine_template())
    yield database
    database.drop()


@pytest.fixture
def superuser(database: Database) -> Iterator[Connection]:
    with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
        yield connection
