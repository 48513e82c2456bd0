"""The engine floor: every test on every PostgreSQL of this machine that the engine supports."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from engine_people import People
from engine_room import Engine
from server import Database, TestServer

from pgdurable_core.embedded import has_binaries
from pgdurable_core.engine import Connection

ALWAYS = (18, 16)
WHERE_INSTALLED = (15,)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on 18 and 16, and on 15 where it is, unless the environment or the test names its servers."""
    if "server" not in metafunc.fixturenames:
        return
    if "PGDURABLE_TEST_POSTGRES" in os.environ or "PGDURABLE_TEST_DSN" in os.environ:
        return
    if any(marker.args[0] == "server" for marker in metafunc.definition.iter_markers("parametrize")):
        return
    versions = [*ALWAYS, *(version for version in WHERE_INSTALLED if has_binaries(version))]
    metafunc.parametrize("server", versions, indirect=True, scope="session", ids=lambda version: f"pg{version}")


@pytest.fixture
def engine(connection: Connection) -> Engine:
    """The engine of the test's own database, as the owner of df."""
    return Engine(connection)


@pytest.fixture(scope="session")
def pure(server: TestServer) -> Iterator[Engine]:
    """One database for all tests that write nothing, or nothing that another test could see."""
    database = server.create_database(server.engine_template())
    with database.connect() as connection:
        yield Engine(connection)
    database.drop()


@pytest.fixture
def people(database: Database, engine: Engine) -> Iterator[People]:
    """Roles of the test's own database."""
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        made = People(database, engine, superuser, [])
        yield made
        for connection in made.connections:
            connection.close()
