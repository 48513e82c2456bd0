"""Roles for tests: people with their own steps, and workers that serve some of them."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from engine_room import Engine
from server import Database

from pgdurable_core.engine import Connection


@dataclass
class People:
    """Roles of one database; the owner of df may act as each of them, as an administrator who made them could."""

    database: Database
    owner: Engine
    superuser: psycopg.Connection[tuple[object, ...]]
    connections: list[Connection]

    def user(self, settings: dict[str, str] | None = None) -> tuple[str, Engine]:
        """Make a role that may use df, and log in as it."""
        role = self.role()
        for name, value in (settings or {}).items():
            self.superuser.execute(f"alter role {role} set {name} = {value}".encode())
        self.owner.rows("select df.grant_usage(%s)", role)
        self.superuser.execute(f"grant create on schema public to {role}".encode())
        return role, self.login(role)

    def role(self, options: str = "login") -> str:
        role = self.database.server.create_role(options)
        self.database.server.run("grant {} to {}", role, self.database.owner)
        return role

    def stranger(self) -> tuple[str, Engine]:
        """Make a role with no right at all."""
        role = self.database.server.create_role()
        return role, self.login(role)

    def worker(self, *serves: str) -> tuple[str, Engine]:
        """Make a login that only works, for these roles."""
        role = self.database.server.create_role()
        for served in serves:
            self.owner.rows("select df.grant_worker(%s, %s)", role, served)
        return role, self.login(role)

    def login(self, role: str) -> Engine:
        connection = self.database.connect(role)
        self.connections.append(connection)
        return Engine(connection)
