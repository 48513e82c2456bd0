"""Every example as somebody meets it: an empty folder, no private PostgreSQL yet."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from example_runs import EXAMPLES, Example, environment_of

from pgdurable_core.embedded import EMBEDDED_VERSION, Server


@pytest.fixture
def newcomer() -> Iterator[Mapping[str, str]]:
    """The environment of somebody who has run nothing yet; what was started there ends with the test."""
    # An ERP of another test must not be the one that answers.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pgdurable-home-", ignore_cleanup_errors=True) as home:
        yield environment_of(Path(home), port)
        Server.of_version(EMBEDDED_VERSION, Path(home) / f"postgres-{EMBEDDED_VERSION}").remove()


@pytest.fixture
def example(request: pytest.FixtureRequest, newcomer: Mapping[str, str], tmp_path: Path) -> Example:
    """Copy an example (the first, unless the test names one) into an empty folder."""
    name = getattr(request, "param", "01_orders_daily")
    if (EXAMPLES / name / "dags").is_dir() and importlib.util.find_spec("airflow") is None:
        pytest.skip("apache-airflow is not installed")
    folder = tmp_path / "examples" / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Example(folder, newcomer)
