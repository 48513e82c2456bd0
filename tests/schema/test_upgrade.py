"""Bringing an older schema up to date while people use it."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest
from server import Database

from pgdurable_core.errors import SchemaError
from pgdurable_core.schema import Catalog, Installed, install, load_catalog, require_ours
from pgdurable_core.schema.catalog import Migration, SqlFile

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


def test_the_mark_in_the_functions_is_a_hash_over_all_files(tmp_path: Path) -> None:
    for name in ("migrations/0001_a.sql", "functions/01_room/a.sql", "functions/01_room/b.sql"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"-- {name}\nselect '@functions@'")
    before = load_catalog(tmp_path)
    marks = {re.findall(r"select '(\w{16})'", file.text)[0] for file in before.behaviour}
    assert len(marks) == 1
    assert "@functions@" in before.migrations[0].text
    assert load_catalog(tmp_path) == before
    (tmp_path / "functions/01_room/b.sql").write_text("select 2")
    assert load_catalog(tmp_path).behaviour[0].text != before.behaviour[0].text


def test_new_functions_wait_for_no_step_that_runs_and_hold_back_nobody(database: Database) -> None:
    run = "select pg_sleep($params.seconds::float)"
    database.execute(f"select df.create_workflow('w', steps => array[df.step('a', '{run}')])")
    database.execute("select df.start_workflow('w', params => '{\"seconds\": 2}')")
    call = threading.Thread(target=database.execute, args=["call df.work(60)"])
    call.start()
    time.sleep(0.5)
    changed = [SqlFile(f.name, f.text.replace("is lost", "was lost")) for f in NOW.behaviour]
    changed += [SqlFile("functions/new.sql", "create or replace function df._new() returns int return 1")]
    with database.connect() as connection:
        began = time.monotonic()
        assert install(connection, Catalog(NOW.migrations, tuple(changed))).outcome == "refreshed"
        database.execute("select df.start_workflow('w', params => '{\"seconds\": 0}')")
        connection.execute("call df.work()")
        assert time.monotonic() - began < 1.2
        assert database.execute("select status from df.instances order by created_at") == [("running",), ("completed",)]
    call.join(5)
    assert database.execute("select distinct state from df._instances") == [("completed",)]


def test_new_functions_give_up_on_a_lock_in_time_and_say_so(database: Database) -> None:
    changed = [
        SqlFile(f.name, f.text.replace("m.created_at from", "m.created_at, 1 as one from")) for f in NOW.behaviour
    ]
    with database.connect(autocommit=False) as reader, database.connect() as connection:
        reader.execute("select * from df.modules")
        with pytest.raises(SchemaError, match="were in use"):
            install(connection, Catalog(NOW.migrations, tuple(changed)), patience=0.5)
        reader.rollback()
        assert install(connection).outcome == "unchanged"


def test_a_view_that_changed_is_replaced(database: Database) -> None:
    changed = [
        SqlFile(f.name, f.text.replace("m.created_by, m.created_at from", "m.created_by, m.created_at, 1 as one from"))
        for f in NOW.behaviour
    ]
    with database.connect() as connection:
        assert install(connection, Catalog(NOW.migrations, tuple(changed))).outcome == "refreshed"
        connection.execute("select one from df.modules")
        assert install(connection, Catalog(NOW.migrations, tuple(changed))).outcome == "unchanged"


def other_functions() -> Catalog:
    """Return a catalog of the same tables whose functions are marked as others."""
    stamp = NOW.behaviour[-1].sha256[:16]
    changed = [SqlFile(file.name, file.text.replace(_stamp(), stamp)) for file in NOW.behaviour]
    return Catalog(NOW.migrations, tuple(changed))


def _stamp() -> str:
    [found] = {match for file in NOW.behaviour for match in re.findall(r"w\[27\] := '([0-9a-f]{16})'", file.text)}
    return found


@pytest.mark.parametrize("more", ["timeout => '1 min'", "after => case when n > 0 then array['s' || n - 1] end"])
def test_new_functions_end_the_calls_of_the_old_and_lose_nothing(database: Database, more: str) -> None:
    database.execute("create table public.effects (instance_id text, step text)")
    effect = "insert into public.effects values (''{instance_id}'', ''{step}''); select pg_sleep(0.02)"
    steps = f"select df.step('s' || n, '{effect}', {more}) from generate_series(0, 5) n"
    database.execute(f"select df.create_workflow('w', steps => array({steps}))")
    database.execute("select df.start_workflow('w') from generate_series(1, 30)")
    answers: list[list[tuple[object, ...]]] = []
    calls = [threading.Thread(target=lambda: answers.append(database.execute("call df.work(60, 30)"))) for _ in "1234"]
    for call in calls:
        call.start()
    with database.connect() as connection:
        for catalog in (other_functions(), NOW, other_functions(), NOW, other_functions()):
            time.sleep(0.3)
            assert install(connection, catalog).outcome == "refreshed"
            for call in calls:
                call.join(3)
            assert not any(call.is_alive() for call in calls), "every call ends at its next turn"
            assert database.execute("select count(*) from df._sessions") == [(0,)]
            assert database.execute("select count(*) from df._steps where state = 'running'") == [(0,)]
            calls = [
                threading.Thread(target=lambda: answers.append(database.execute("call df.work(60, 30)")))
                for _ in "1234"
            ]
            for call in calls:
                call.start()
        install(connection, NOW)
        for call in calls:
            call.join(3)
        connection.execute("call df.work()")
    assert len(answers) == 24
    assert database.execute("select count(*), count(distinct (instance_id, step)) from public.effects") == [(180, 180)]
    assert database.execute("select count(*) from df._attempts") == [(0,)]
    assert database.execute("select count(*) from df._steps where caught > 0 or state <> 'completed'") == [(0,)]


def test_a_step_that_runs_through_the_change_holds_nobody_and_is_recorded_once(database: Database) -> None:
    slow = "df.step('a', 'select pg_sleep(2), $params.x'), df.step('b', 'select 1', after => '{a}')"
    database.execute(f"select df.create_workflow('slow', steps => array[{slow}])")
    database.execute("select df.create_workflow('quick', steps => array[df.step('a', 'select $params.x')])")
    database.execute("select df.start_workflow('slow', params => '{\"x\": 1}')")
    call = threading.Thread(target=database.execute, args=["call df.work(60, 30)"])
    call.start()
    time.sleep(0.5)
    with database.connect() as connection:
        began = time.monotonic()
        assert install(connection, other_functions()).outcome == "refreshed"
        database.execute("select df.start_workflow('quick', params => '{\"x\": 1}')")
        connection.execute("call df.work()")
        assert time.monotonic() - began < 1.2
        assert database.execute("select workflow, status from df.instances order by 1") == [
            ("quick", "completed"),
            ("slow", "running"),
        ]
        call.join(4)
        assert not call.is_alive()
        states = "select s.state from df._steps s join df._instances i using (instance_id) where i.workflow = 'slow'"
        assert database.execute(states + " order by step") == [("completed",), ("ready",)]
        connection.execute("call df.work()")
    assert database.execute("select distinct state from df._instances") == [("completed",)]
    assert database.execute("select count(*) from df._attempts") == [(0,)]
