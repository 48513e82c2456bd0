"""Homes for the commands under test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Pgdurable

from pgdurable_core.embedded import EMBEDDED_VERSION, Server


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The home of an embedded server that the whole session shares."""
    with tempfile.TemporaryDirectory(prefix="pgdurable-home-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
        Server.of_version(EMBEDDED_VERSION, Path(folder) / f"postgres-{EMBEDDED_VERSION}").remove()


@pytest.fixture
def pgdurable(home: Path, tmp_path: Path) -> Pgdurable:
    """The command, in an empty folder."""
    return Pgdurable(tmp_path, home)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Pgdurable]:
    """The command on a machine that has never seen it: no embedded server yet."""
    with tempfile.TemporaryDirectory(prefix="pgdurable-home-", ignore_cleanup_errors=True) as folder:
        yield Pgdurable(tmp_path, Path(folder))
        Server.of_version(EMBEDDED_VERSION, Path(folder) / f"postgres-{EMBEDDED_VERSION}").remove()
