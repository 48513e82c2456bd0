"""Golden files: what a writer gives, kept as text and read in review.

They change only on demand: `PGDURABLE_UPDATE_GOLDEN=1 pytest ...` writes them anew and fails, so that no run with the
flag on can pass for a test.
"""

import os
from pathlib import Path

import pytest


def assert_golden(path: Path, text: str) -> None:
    """Compare `text` with the file, byte for byte."""
    if os.environ.get("PGDURABLE_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        pytest.fail(f"{path.name} was written anew; read the difference, then run without the flag")
    assert text == path.read_bytes().decode()
