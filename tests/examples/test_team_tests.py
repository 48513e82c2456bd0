"""The tests that an example brings along, as its team runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from example_runs import EXAMPLES

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/test_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_the_tests_of_an_example_pass(name: str, newcomer: Mapping[str, str], tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=folder,
        env=newcomer,
        capture_output=True,
        text=True,
        timeout=240,
    )
    count = sum(file.read_text().count("\ndef test_") for file in folder.glob("test_*.py"))
    assert (done.returncode, done.stdout.splitlines()[-1][: len(f"{count} passed")]) == (0, f"{count} passed"), (
        done.stdout + done.stderr
    )


def test_the_first_example_shows_how() -> None:
    assert NAMES[:1] == ["01_orders_daily"]
