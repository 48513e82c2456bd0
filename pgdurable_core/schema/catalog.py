"""What an installation consists of: the SQL files of the package, in the order in which they are applied."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

from pgdurable_core.errors import SetupError

# Stands in functions for a hash over every file. A `call df.work` that runs during an upgrade carries the hash it
# began with; where it meets functions with another, its state may be laid out otherwise, and it ends.
STAMP = "@functions@"

_MIGRATION_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One SQL file; `name` is its path under `pgdurable_core/sql`."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Migration(SqlFile):
    """A file that changes what holds data: applied once, frozen when released."""

    number: int


@dataclass(frozen=True)
class Catalog:
    """All files. Migrations are numbered 1, 2, … without a gap; `behaviour` is every function file, then the grants."""

    migrations: tuple[Migration, ...]
    behaviour: tuple[SqlFile, ...]

    @property
    def schema_version(self) -> int:
        """Return the number of the last migration."""
        return len(self.migrations)

    @cached_property
    def sha256(self) -> str:
        """Return one hash over every file, name and text."""
        parts = (f"{file.name} {file.sha256}\n" for file in (*self.migrations, *self.behaviour))
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def after(self, schema_version: int) -> tuple[Migration, ...]:
        """List the migrations that a schema of this version still misses."""
        return self.migrations[schema_version:]


def load_catalog(root: Traversable | None = None) -> Catalog:
    """Read the catalog from the package, or from another folder of the same shape.

    Raises SetupError when the migrations have a gap or a file has a wrong name: a broken installation.
    """
    root = files("pgdurable_core").joinpath("sql") if root is None else root
    migrations = tuple(_migration(file) for file in _read(root.joinpath("migrations"), "migrations"))
    if [migration.number for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise SetupError(f"the migrations of this package have a gap: {', '.join(m.name for m in migrations)}")
    functions = _read(root.joinpath("functions"), "functions")
    grants = root.joinpath("grants.sql")
    last = (SqlFile("grants.sql", grants.read_text(encoding="utf-8")),) if grants.is_file() else ()
    raw = Catalog(migrations, (*functions, *last))
    stamp = raw.sha256[:16]
    return Catalog(migrations, tuple(SqlFile(file.name, file.text.replace(STAMP, stamp)) for file in raw.behaviour))


def _read(folder: Traversable, name: str) -> tuple[SqlFile, ...]:
    """Read every SQL file below a folder, ordered by path."""
    if not folder.is_dir():
        return ()
    found: list[SqlFile] = []
    for entry in _by_name(folder.iterdir()):
        path = f"{name}/{entry.name}"
        if entry.is_dir():
            found += _read(entry, path)
        elif entry.name.endswith(".sql"):
            found.append(SqlFile(path, entry.read_text(encoding="utf-8")))
    return tuple(found)


def _by_name(entries: Iterable[Traversable]) -> list[Traversable]:
    return sorted(entries, key=lambda entry: entry.name)


def _migration(file: SqlFile) -> Migration:
    named = _MIGRATION_NAME.fullmatch(file.name.rpartition("/")[2])
    if named is None:
        raise SetupError(f"{file.name} is not named like a migration", hint="NNNN_what_it_does.sql")
    return Migration(file.name, file.text, int(named[1]))
