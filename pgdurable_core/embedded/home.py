"""The one embedded database of a user: where it lives, and how commands reach it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import psycopg
from psycopg import sql

from pgdurable_core.embedded.binaries import EMBEDDED_VERSION
from pgdurable_core.embedded.server import Server

ROLE = "pgdurable"
DATABASE = "pgdurable"


def home_folder() -> Path:
    """Return `PGDURABLE_HOME`, else the user's data folder (`~/.local/share/pgdurable` on Linux)."""
    named = os.environ.get("PGDURABLE_HOME")
    if named:
        return Path(named).expanduser().absolute()
    return Path(platformdirs.user_data_path("pgdurable", appauthor=False))


def embedded_server(settings: Mapping[str, str] | None = None) -> Server:
    """Describe the user's own server without starting it."""
    return Server.of_version(EMBEDDED_VERSION, home_folder() / f"postgres-{EMBEDDED_VERSION}", settings)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embedded database, reachable as an ordinary role that owns it, as a managed service would have it."""

    server: Server = field(default_factory=embedded_server)

    @property
    def dsn(self) -> str:
        return self.server.dsn(DATABASE, ROLE)

    @property
    def is_running(self) -> bool:
        return self.server.running() is not None

    def start(self) -> bool:
        """Start the server with role and database; say whether it had to be started. Safe to call twice at once."""
        started = self.server.start()
        with self.server.locked():
            _ensure_database(self.server)
        return started

    def stop(self) -> bool:
        """Stop the server, disconnecting whoever is connected; say whether it was running."""
        return self.server.stop("fast")


def _ensure_database(server: Server) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        role = connection.execute("select 1 from pg_catalog.pg_roles where rolname = %s", [ROLE]).fetchone()
        if role is None:
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(ROLE)))
        there = connection.execute("select 1 from pg_catalog.pg_database where datname = %s", [DATABASE]).fetchone()
        if there is None:
            connection.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(DATABASE), sql.Identifier(ROLE))
            )
