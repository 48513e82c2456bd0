"""Bringing an older schema up to date while people use it."""

from __future__ import annotations

import threading
import time

import pytest
from server import Database

from pgdurable_core.errors import SchemaError
from pgdurable_core.schema import Catalog, Installed, install, load_catalog, require_ours
from pgdurable_core.schema.catalog import Migration

NOW = load_catalog()
NEXT = NOW.schema_version + 1


def catalog_with(text: str) -> Catalog:
    """Return a catalog of the next version: this one and a migration more."""
    return Catalog((*NOW.migrations, Migration(f"migrations/{NEXT:04}_next.sql", text, NEXT)), NOW.behaviour)


def test_an_upgrade_applies_what_is_missing_and_nothing_twice(database: Database) -> None:
    newer = catalog_with("alter table df._variables add column note text;")
    with database.connect() as connection:
        assert install(connection, newer) == Installed("upgraded", NEXT - 1, NEXT)
        assert install(connection, newer) == Installed("unchanged", NEXT, NEXT)
        assert require_ours(connection).schema_version == NEXT


def test_an_upgrade_waits_for_an_open_transaction_and_lets_others_pass(database: Database) -> None:
    newer = catalog_with("alter table df._variables add column note text;")
    with database.connect(autocommit=False) as reader, database.connect() as connection:
        reader.execute("select * from df._variables")
        done: list[Installed] = []
        upgrade = threading.Thread(target=lambda: done.append(install(connection, newer)))
        upgrade.start()
        seen: set[tuple[object, ...]] = set()
        slowest = 0.0
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            began = time.monotonic()
            seen.update(database.execute("select draining from df._engine"))
            database.execute("select count(*) from df._variables")
            slowest = max(slowest, time.monotonic() - began)
        reader.rollback()
        upgrade.join()
    assert done == [Installed("upgraded", NEXT - 1, NEXT)]
    assert (True,) in seen
    assert slowest < 2.0, "nobody queues behind an ALTER TABLE for longer than its lock_timeout"
    assert database.execute("select draining from df._engine") == [(False,)]


def test_an_upgrade_that_never_gets_its_lock_changes_nothing_and_says_so(database: Database) -> None:
    newer = catalog_with("alter table df._variables add column note text;")
    with database.connect(autocommit=False) as reader, database.connect() as connection:
        reader.execute("select * from df._variables")
        with pytest.raises(SchemaError, match="were in use"):
            install(connection, newer, patience=0.5)
    assert database.execute("select schema_version, draining from df._engine") == [(NEXT - 1, False)]


def test_an_upgrade_that_fails_names_file_and_line_and_stops_draining(database: Database) -> None:
    with database.connect() as connection:
        with pytest.raises(SchemaError, match=rf"migrations/{NEXT:04}_next\.sql:3: syntax error"):
            install(connection, catalog_with("-- a\n\nalter tabel df.nowhere add column x int;"))
        engine = require_ours(connection)
    assert (engine.schema_version, engine.draining) == (NEXT - 1, False)


def test_init_ends_the_draining_that_a_killed_upgrade_left(database: Database) -> None:
    database.execute("update df._engine set draining = true")
    with database.connect() as connection:
        install(connection)
        assert require_ours(connection).draining is False
