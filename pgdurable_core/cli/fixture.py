"""Seed the embedded database once: what was put in is remembered there."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from pgdurable_core.embedded import Embedded
from pgdurable_core.engine import connect, translated
from pgdurable_core.errors import UsageError

_MEMORY = """
create schema if not exists pgdurable_embedded;
comment on schema pgdurable_embedded is 'which fixtures were put into this private database';
create table if not exists pgdurable_embedded.fixtures (
    sha256 text primary key,
    path text not null,
    at timestamptz not null default clock_timestamp()
);
"""


def seed(embedded: Embedded, file: Path, *, again: bool = False) -> bool:
    """Run an SQL file with psql, in one transaction, unless the same content was run before; say whether it ran.

    `again` runs it anyway. Raises UsageError with psql's own words when it fails; nothing of it stays then.
    """
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"the fixture {file} cannot be read: {error.strerror}") from error
    with connect(embedded.dsn, application_name="pgdurable fixture") as connection, translated():
        # Two commands at once: the second waits here and then finds the fixture in place.
        connection.execute("select pg_catalog.pg_advisory_lock(1885824103)")
        connection.execute(_MEMORY)
        known = connection.execute("select from pgdurable_embedded.fixtures where sha256 = %s", [digest]).fetchone()
        if known is not None and not again:
            return False
        _run(embedded, file, digest)
    return True


def _run(embedded: Embedded, file: Path, digest: str) -> None:
    remember = (
        "insert into pgdurable_embedded.fixtures (sha256, path) values (:'digest', :'path')"
        " on conflict (sha256) do update set at = clock_timestamp(), path = excluded.path"
    )
    # psql reads what pg_dump writes, COPY included. Variables are not put into -c, hence the second file, on stdin.
    done = subprocess.run(
        [
            *(embedded.server.binaries / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction"),
            *("-v", f"digest={digest}", "-v", f"path={file}", "-f", file, "-f", "-", embedded.dsn),
        ],
        input=remember,
        capture_output=True,
        text=True,
        check=False,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "PGOPTIONS": ""},
    )
    if done.returncode != 0:
        raise UsageError(f"the fixture {file} failed", detail=done.stderr.strip())
