"""The schema as it was in version 1, with instances, sessions and workers on it, brought up to date under their hands.

`version_1.sql.xz` is the whole of version 1 as `pgdurable schema sql` printed it; `version_1_calls.txt` every statement
that its client sends. Both are frozen.
"""

from __future__ import annotations

import lzma
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from server import Database, TestServer

from pgdurable_core.schema import install, load_catalog, verify
from pgdurable_core.worker import Worker, WorkerOptions

HERE = Path(__file__).parent
NOW = load_catalog().schema_version
EFFECT = "insert into public.effects values (''{instance_id}'', ''{step}'', ''{map_index}''); select pg_sleep(0.01)"
WORKFLOWS = f"""
create table public.effects (instance_id text, step text, map_index text);
select df.create_workflow('chain', steps => array(select df.step('s' || n, '{EFFECT}',
    after => case when n > 0 then array['s' || n - 1] end) from generate_series(0, 7) n));
select df.create_workflow('fan', steps => array[df.step('rows', 'select g from generate_series(1, 8) g'),
    df.step('item', '{EFFECT}', each => 'rows'), df.step('last', '{EFFECT}', after => '{{item}}')]);
select df.create_workflow('timed', steps => array[df.step('a', '{EFFECT}', timeout => '1 min'),
    df.step('b', 'do $$ begin if nextval(''public.tries'') % 2 = 1 then raise ''no''; end if; end $$; {EFFECT}',
        after => '{{a}}', retries => 30, retry_delay => '0.2 s'),
    df.step('c', df.shell('echo'), after => '{{b}}')]);
"""


@pytest.fixture
def version_1(empty_database: Database) -> Database:
    """A database with version 1, marked for tests, and workflows of all kinds."""
    empty_database.execute(lzma.decompress((HERE / "version_1.sql.xz").read_bytes()).decode())
    empty_database.execute("update df._engine set is_test = true, environment = 'test'")
    empty_database.execute("create sequence public.tries")
    empty_database.execute(WORKFLOWS)
    return empty_database


class Sessions:
    """Sessions that call df.work again and again, as psql would, with housekeeping beside them."""

    def __init__(self, database: Database, count: int) -> None:
        self.database = database
        self.errors: list[psycopg.Error] = []
        self.over = threading.Event()
        statements = ["call df.work(5, 0.2)"] * count + ["call df.tick()"]
        self.threads = [threading.Thread(target=self._repeat, args=[text], daemon=True) for text in statements]

    def __enter__(self) -> Sessions:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()

    def _repeat(self, statement: str) -> None:
        with self.database.connect() as connection:
            while not self.over.wait(0.05):
                try:
                    connection.execute(statement.encode())
                except psycopg.Error as error:
                    self.errors.append(error)


def worker_on(database: Database) -> Worker:
    worker = Worker(WorkerOptions(database.dsn, sql_sessions=2, python_slots=1))
    worker.start()
    assert worker.wait_ready(20)
    return worker


def wait_for_the_end(database: Database, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    left = "select workflow, status, count(*) from df.instances where finished_at is null group by 1, 2"
    while rows := database.execute(left):
        assert time.monotonic() < deadline, rows
        time.sleep(0.1)


def assert_everything_happened_once(database: Database, instances: int) -> None:
    assert database.execute("select status, count(*) from df.instances group by 1") == [("completed", instances)]
    twice = "select * from public.effects group by 1, 2, 3 having count(*) > 1"
    assert database.execute(twice) == []
    missing = """
        select s.instance_id, s.key, s.map_index from df.steps s
        where s.sql_text ~ 'public.effects' and s.status = 'completed' and (s.kind <> 'map') and not exists (
            select from public.effects e where e.instance_id = s.instance_id and e.step = s.key
              and e.map_index = coalesce(s.map_index, -1)::text)
          and (s.is_item or s.map_index is null) and not exists (
            select from df.steps o
            where o.instance_id = s.instance_id and o.key = s.key and o.is_item and not s.is_item)"""
    assert database.execute(missing) == []
    assert database.execute("select * from df._steps where caught > 0 or state <> 'completed'") == []


@pytest.mark.parametrize("server", [18, 16], indirect=True)
def test_what_was_started_on_version_1_finishes_on_this_one_under_load(version_1: Database) -> None:
    over = threading.Event()
    started = [0]

    def keep_starting() -> None:
        with version_1.connect() as connection:
            while not over.wait(0.15):
                for name in ("chain", "fan", "timed"):
                    connection.execute("select df.start_workflow(%s)", [name])
                    started[0] += 1

    starting = threading.Thread(target=keep_starting)
    old_worker = worker_on(version_1)
    try:
        with Sessions(version_1, 2) as sessions:
            starting.start()
            time.sleep(1)
            before = version_1.execute("select instance_id from df.instances where finished_at is null")
            assert before
            with version_1.connect() as connection:
                done = install(connection)
                assert (done.outcome, done.before, done.after) == ("upgraded", 1, NOW)
            new_worker = worker_on(version_1)
            try:
                time.sleep(1)
                over.set()
                starting.join()
                wait_for_the_end(version_1)
            finally:
                new_worker.drain()
                assert new_worker.wait(20)
    finally:
        over.set()
        old_worker.drain()
        assert old_worker.wait(20)
    assert {error.sqlstate for error in sessions.errors} <= {"PD503"}, (
        "while tables change, calls are told to come again"
    )
    assert_everything_happened_once(version_1, started[0])
    with version_1.connect() as connection:
        assert verify(connection).differences == ()


def test_the_upgrade_waits_for_no_step_that_runs(version_1: Database) -> None:
    slow = "df.step('a', 'select pg_sleep(3)', timeout => '1 min'), df.step('b', 'select 1', after => '{a}')"
    version_1.execute(f"select df.create_workflow('slow', steps => array[{slow}])")
    version_1.execute("select df.create_workflow('fast', steps => array[df.step('a', 'select 1')])")
    version_1.execute("select df.start_workflow('slow')")
    call = threading.Thread(target=version_1.execute, args=["call df.work(60, 1)"])
    call.start()
    time.sleep(0.5)
    with version_1.connect() as connection:
        assert install(connection, patience=1.5).outcome == "upgraded"
        assert version_1.execute("select status from df.instances") == [("running",)]
        version_1.execute("select df.start_workflow('fast')")
        connection.execute("call df.work()")
        assert version_1.execute("select workflow, status from df.instances order by 1") == [
            ("fast", "completed"),
            ("slow", "running"),
        ]
        call.join(10)
        connection.execute("call df.work()")
    assert version_1.execute("select distinct status from df.instances") == [("completed",)]
    assert version_1.execute("select count(*) from df._attempts") == [(0,)]


def test_the_client_of_version_1_is_understood(version_1: Database) -> None:
    with version_1.connect() as connection:
        install(connection)
        for number, statement in enumerate(statements_of_version_1()):
            if statement.startswith("call"):
                values = re.sub(r"\$\d+", "null", statement)
                # bound, never run: a procedure's call cannot be prepared by name
                with pytest.raises(psycopg.Error) as caught, connection.transaction():
                    connection.execute(values.encode())
                assert caught.value.sqlstate in ("PD500", "2D000"), statement
            elif not statement.startswith("listen"):
                connection.execute(sql.SQL("prepare p{} as {}").format(sql.SQL(str(number)), sql.SQL(statement)))  # type: ignore[arg-type]


def statements_of_version_1() -> Iterator[str]:
    for statement in (HERE / "version_1_calls.txt").read_text().split("\n;\n"):
        if statement.strip():
            yield statement.strip()


def test_a_role_that_version_1_knew_has_its_number_noted(server: TestServer, version_1: Database) -> None:
    role = server.create_role()
    server.run("grant {} to {}", role, version_1.owner)
    version_1.execute(f"select df.grant_usage('{role}')")
    with version_1.connect() as connection:
        install(connection)
    noted = "select role::text, was = role::oid from df._role_oids order by 1"
    assert version_1.execute(noted) == [(version_1.owner, True), (role, True)]
    assert version_1.execute("select df.copied_from()") == [(None,)]
