"""One Airflow for all tests of the provider, and a database with a worker for each."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_process import AirflowProcess, connection_to
from server import Database

from pgdurable_core.cli.companions import run_worker_beside


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an Airflow 3.3 with its own tables in it."""
    try:
        version = importlib.metadata.version("apache-airflow-core")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("apache-airflow 3 is not installed")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < (3, 3):
        pytest.skip(f"these tests speak to Airflow 3.3, this is {version}")
    home = tmp_path_factory.mktemp("airflow")
    with AirflowProcess(home, {}) as process:
        process.ask("prepare")
    return home


@pytest.fixture(scope="session")
def one_airflow(airflow_home: Path) -> Iterator[AirflowProcess]:
    with AirflowProcess(airflow_home, {}) as process:
        yield process


@pytest.fixture
def airflow(one_airflow: AirflowProcess, database: Database) -> AirflowProcess:
    """Airflow whose default connection leads to the test's database."""
    one_airflow.ask("environ", **connection_to(database))
    return one_airflow


@pytest.fixture
def another(airflow: AirflowProcess, airflow_home: Path, database: Database) -> Iterator[AirflowProcess]:
    """A second Airflow on the same tables, to be killed."""
    with AirflowProcess(airflow_home, connection_to(database)) as process:
        yield process


@pytest.fixture
def worker(database: Database) -> Iterator[None]:
    """A real worker for the test's database."""
    with run_worker_beside(database.dsn, sql=2, python=1) as companion:
        companion.wait_ready()
        yield
        companion.check()
