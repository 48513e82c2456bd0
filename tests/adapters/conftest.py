"""What the tests of the importer share; they are skipped where Airflow is not installed."""

import importlib.util
from pathlib import Path

import pytest
from airflow_oracle import OracleRunner


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Airflow where it is not installed."""
    if importlib.util.find_spec("airflow") is not None:
        return
    for item in items:
        if Path(__file__).parent in item.path.parents and "needs_airflow" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="apache-airflow is not installed"))


@pytest.fixture(scope="session")
def needs_airflow() -> None:
    """Mark what executes DAG files."""


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory, needs_airflow: None) -> OracleRunner:
    """Ask Airflow itself for tasks, upstreams, rules and retries."""
    return OracleRunner(tmp_path_factory.mktemp("oracle"))
