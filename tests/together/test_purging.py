# ruff: noqa: E501
"""Purging beside everything else: nobody waits, nothing that is open or asked to run again goes, nothing is left over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest
from consistency import assert_consistent
from crew import Crew, chain, fan_out, in_background, start, until, value, workflow
from server import Database

from pgdurable_core.engine import Connection

PURGE = "call df.purge('0', max_seconds => 20)"
# Rows of instances that are gone, but for those that the next purge removes.
ORPHANS = " union all ".join(
    f"select '{table}' as t, x.instance_id from df.{table} x where x.instance_id is not null"
    " and not exists (select from df._instances i where i.instance_id = x.instance_id)"
    " and not exists (select from df._purging p where p.instance_id = x.instance_id)"
    for table in ("_steps", "_joins", "_scopes", "_attempts", "_events", "_logs", "_commands")
)
DANGLING = """
select 'version', instance_id from df._instances i where not exists (
    select from df._workflow_versions v where v.workflow_id = i.workflow_id and v.version = i.version and v.plan_id = i.plan_id)
union all select 'plan', version::text from df._workflow_versions v where not exists (select from df._plans p where p.plan_id = v.plan_id)
union all select 'plan steps', plan_id::text from df._plan_steps s where not exists (select from df._plans p where p.plan_id = s.plan_id)
union all select 'current', name from df._workflows w where not exists (
    select from df._workflow_versions v where v.workflow_id = w.workflow_id and v.version = w.version)
"""


def assert_whole(connection: Connection) -> None:
    """Nothing of what is gone is left, and nothing that is there lacks what it needs."""
    assert connection.execute(ORPHANS).fetchall() == []
    assert connection.execute(DANGLING.encode()).fetchall() == []


def purged(connection: Connection) -> int:
    return int(value(connection, PURGE)["instances"])


def count(connection: Connection, table: str = "_instances") -> int:
    return int(value(connection, f"select count(*) from df.{table}"))


@pytest.fixture
def one(connection: Connection) -> str:
    """An instance that has failed."""
    connection.execute(workflow("w", "df.step('a', run => $$select 1 / 0$$)").encode())
    [instance] = start(connection, "w")
    connection.execute("call df.work()")
    return instance


def test_a_retry_that_is_not_committed_yet_keeps_its_instance(
    database: Database, connection: Connection, one: str
) -> None:
    with database.connect(autocommit=False) as other:
        other.execute("select df.retry_instance(%s)", [one])
        assert purged(connection) == 0
        other.commit()
    assert purged(connection) == 0, "nor does a retry that waits to be obeyed let it go"
    connection.execute("call df.work()")
    assert value(connection, "select count(*) from df.events where kind = 'retry'") == 1
    assert purged(connection) == 1


def test_a_retry_that_is_taken_back_keeps_nothing(database: Database, connection: Connection, one: str) -> None:
    with database.connect(autocommit=False) as other:
        other.execute("select df.retry_instance(%s)", [one])
        other.rollback()
    assert purged(connection) == 1


def test_a_retry_of_what_is_being_purged_is_told_so_at_once(
    database: Database, connection: Connection, one: str
) -> None:
    with database.connect(autocommit=False) as other:
        other.execute('select df._ask(\'purge\', \'{"older_than": "0", "max_seconds": 1}\')')
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("select df.retry_instance(%s)", [one])
        assert (caught.value.sqlstate, caught.value.diag.message_primary) == (
            "PD409",
            f"instance {one} is being purged",
        )
        other.commit()
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("select df.retry_instance(%s)", [one])
    assert caught.value.sqlstate == "PD404"


@pytest.mark.parametrize("times", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_every_retry_either_runs_or_is_refused(database: Database, connection: Connection, times: int) -> None:
    connection.execute("create sequence public.tries; grant usage on public.tries to public")
    connection.execute(workflow("w", "df.step('a', run => $$select 1 / (nextval('public.tries') % 3)$$)").encode())
    asked: list[str] = []
    refused: set[str | None] = set()
    over = threading.Event()

    def retry() -> None:
        with database.connect() as other:
            while not over.wait(0.002):
                for (instance,) in other.execute(
                    "select instance_id from df.instances where status = 'failed'"
                ).fetchall():
                    if instance in asked:  # asked twice before the first was obeyed, the second is refused
                        continue
                    try:
                        other.execute("select df.retry_instance(%s)", [instance])
                        asked.append(instance)
                    except psycopg.Error as error:
                        refused.add(error.sqlstate)

    def purge() -> None:
        with database.connect() as other:
            while not over.is_set():
                # old enough that somebody on a busy machine has seen it, too
                other.execute("call df.purge('30 ms', batch => 3)")

    with Crew(database, 2) as crew, in_background(retry, purge):
        for _ in range(times // 10):
            start(connection, "w", 10)
            time.sleep(0.05)
        crew.finish()
        over.set()
    assert crew.unexpected == []
    assert refused <= {"PD404", "PD409"}
    assert value(connection, "select count(*) from df.events where kind ~ '_refused$'") == 0
    assert asked, "some were asked to run again before they were purged"
    assert_whole(connection)
    assert_consistent(connection)


def test_old_snapshots_and_open_transactions_hold_up_no_purge_and_lose_nothing(
    database: Database, connection: Connection
) -> None:
    connection.execute(chain("c", 3, "select 1").encode())
    start(connection, "c", 200)
    connection.execute("call df.work()")
    with database.connect(autocommit=False) as old, database.connect(autocommit=False) as starter:
        old.execute("set transaction isolation level repeatable read")
        seen = old.execute("select instance_id, status from df.steps order by 1, 2").fetchall()
        [begun] = start(starter, "c")
        assert purged(connection) == 200
        assert old.execute("select instance_id, status from df.steps order by 1, 2").fetchall() == seen
        starter.commit()
    connection.execute("call df.work()")
    assert value(connection, "select status from df.instances where instance_id = %s", begun) == "completed"
    assert_whole(connection)


def test_two_purges_share_the_work_and_wait_for_nothing(database: Database, connection: Connection) -> None:
    connection.execute(chain("c", 2, "select 1").encode())
    start(connection, "c", 300)
    connection.execute("call df.work()")
    gone: list[int] = []

    def purge() -> None:
        with database.connect() as other:
            other.execute("set lock_timeout = '5 s'")
            gone.append(int(value(other, "call df.purge('0', batch => 10)")["instances"]))

    with in_background(purge, purge, purge):
        pass
    assert sum(gone) + purged(connection) == 300
    assert count(connection) == 0
    assert_whole(connection)


def test_a_purge_killed_half_way_is_finished_by_the_next(database: Database, connection: Connection) -> None:
    connection.execute(fan_out("f", 40, "select 1").encode())
    start(connection, "f", 200)
    with Crew(database, 3) as crew:
        crew.finish()
    open_one = start(connection, "f")[0]
    before = connection.execute("select x::text from df._steps x where instance_id = %s", [open_one]).fetchall()
    killed = 0
    for _ in range(6):
        with database.connect() as other:
            call = threading.Thread(target=lambda connection=other: _until_cut(connection))
            call.start()
            had = count(connection)
            until(lambda had=had, call=call: count(connection) < had or not call.is_alive(), every=0.001)
            connection.execute("select pg_terminate_backend(%s)", [other.info.backend_pid])
            call.join()
            killed += count(connection) > 1
        assert_whole(connection)
    assert killed >= 2, "some were killed with work left to do"
    while purged(connection):
        pass
    assert connection.execute("select instance_id from df._instances").fetchall() == [(open_one,)]
    assert connection.execute("select x::text from df._steps x where instance_id = %s", [open_one]).fetchall() == before
    assert count(connection, "_purging") == 0
    connection.execute("call df.work()")
    assert value(connection, "select status from df.instances") == "completed"
    assert_whole(connection)
    assert_consistent(connection)


def _until_cut(connection: Connection) -> None:
    with suppress(psycopg.OperationalError):
        connection.execute("call df.purge('0', batch => 5)")


def test_a_purge_killed_inside_a_large_instance_leaves_rows_that_the_next_removes(
    database: Database, connection: Connection
) -> None:
    connection.execute(workflow("w", "df.step('a', run => $$select 1$$)").encode())
    [large] = start(connection, "w")
    connection.execute("call df.work()")
    lines = "insert into df._logs (instance_id, scope_id, step, attempt, token, stream, line) select %s, 0, 1, 1, 1, 'stdout', 'x' from generate_series(1, 50000)"
    connection.execute(lines, [large])
    with suppress(psycopg.OperationalError), database.connect(autocommit=False) as other:
        other.execute("set transaction isolation level read committed")
        other.execute('select df._ask(\'purge\', \'{"older_than": "0", "max_seconds": 1}\')')
        other.commit()
        state = other.execute('select df._ask(\'purge\', \'{"older_than": "0", "max_seconds": 1}\')').fetchone()
        assert state is not None
        connection.execute("select pg_terminate_backend(%s)", [other.info.backend_pid])
    assert (count(connection, "_purging"), count(connection, "_logs")) == (1, 30000)
    assert purged(connection) == 0
    assert (count(connection, "_purging"), count(connection, "_logs"), count(connection, "_steps")) == (0, 0, 0)


# Definitions: what is started or defined in an open transaction names a version, and a plan.


def defined(connection: Connection, text: str) -> None:
    connection.execute(workflow("w", f"df.step('a', run => $$select {text}$$)").encode())


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_a_version_that_an_open_start_names_stays(database: Database, connection: Connection, isolation: str) -> None:
    defined(connection, "1")
    with database.connect(autocommit=False) as starter:
        starter.execute(f"set transaction isolation level {isolation}".encode())
        [begun] = start(starter, "w")
        defined(connection, "2")
        assert value(connection, PURGE)["versions"] == 0
        starter.commit()
    assert value(connection, PURGE)["versions"] == 0
    connection.execute("call df.work()")
    assert value(connection, "select result from df.steps where instance_id = %s", begun) == [{"?column?": 1}]
    assert value(connection, PURGE) == {
        "instances": 1,
        "run_keys": 0,
        "versions": 1,
        "plans": 1,
        "modules": 0,
        "is_over": True,
    }
    assert_whole(connection)


def test_a_start_under_an_old_snapshot_cannot_name_a_version_that_is_gone(
    database: Database, connection: Connection
) -> None:
    defined(connection, "1")
    with database.connect(autocommit=False) as starter:
        starter.execute("set transaction isolation level repeatable read")
        starter.execute("select version from df.workflows")
        defined(connection, "2")
        assert value(connection, PURGE)["versions"] == 1
        with pytest.raises(psycopg.errors.SerializationFailure):
            start(starter, "w")
    assert_whole(connection)


def test_a_start_beside_an_open_purge_of_versions_waits_for_nothing(database: Database, connection: Connection) -> None:
    defined(connection, "1")
    defined(connection, "2")
    with database.connect(autocommit=False) as purger:
        purger.execute('select df._ask(\'purge\', \'{"older_than": "0", "max_seconds": 1}\')')
        held = "select count(*) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and classid::bigint = 57090::bigint << 16"
        assert value(connection, held) == 1
        connection.execute("set lock_timeout = '1 s'")
        [begun] = start(connection, "w")
        purger.commit()
    connection.execute("call df.work()")
    assert value(connection, "select result from df.steps where instance_id = %s", begun) == [{"?column?": 2}]
    assert_whole(connection)


def test_a_plan_that_an_open_definition_found_stays(database: Database, connection: Connection) -> None:
    defined(connection, "1")
    defined(connection, "2")
    with database.connect(autocommit=False) as definer:
        definer.execute("select df.create_workflow('other', steps => array[df.step('a', run => $$select 1$$)])")
        gone = value(connection, PURGE)
        assert (gone["versions"], gone["plans"]) == (1, 0)
        definer.commit()
    assert value(connection, PURGE)["plans"] == 0
    assert_whole(connection)
    start(connection, "other")
    connection.execute("call df.work()")
    assert value(connection, "select status from df.instances") == "completed"


def test_a_plan_that_is_being_purged_is_not_found_and_not_waited_for(
    database: Database, connection: Connection
) -> None:
    defined(connection, "1")
    defined(connection, "2")
    ask = 'select df._ask(\'purge\', \'{"older_than": "0", "max_seconds": 1}\')'
    assert value(connection, "call df.purge('0', max_seconds => 0)")["versions"] == 1
    with database.connect(autocommit=False) as purger:
        purger.execute(ask)
        connection.execute("set lock_timeout = '1 s'")
        connection.execute("select df.create_workflow('other', steps => array[df.step('a', run => $$select 1$$)])")
        purger.commit()
    assert_whole(connection)


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_definitions_starts_and_purges_at_once_leave_nothing_dangling(
    database: Database, connection: Connection, seconds: int
) -> None:
    over = threading.Event()
    numbers = iter(range(10**9))
    refused: list[str] = []

    def again(act: Callable[[Connection], object], isolation: str = "read committed") -> Callable[[], None]:
        def run() -> None:
            with database.connect() as other:
                other.execute(f"set default_transaction_isolation = '{isolation}'".encode())
                while not over.is_set():
                    try:
                        act(other)
                    except psycopg.errors.SerializationFailure:
                        refused.append(isolation)

        return run

    def remove(other: Connection) -> None:
        nonlocal removed
        removed += int(value(other, "call df.purge('0')")["versions"])

    removed = 0

    def start_late(other: Connection) -> None:
        with other.transaction():
            start(other, "w", 3)
            time.sleep(0.01)

    defined(connection, "1")
    with Crew(database, 1) as crew:
        with in_background(
            again(lambda other: defined(other, str(next(numbers) % 5))),
            again(start_late),
            again(start_late, "repeatable read"),
            again(lambda other: remove(other)),
            again(lambda other: other.execute("call df.purge('1 ms')")),
        ):
            time.sleep(seconds)
            over.set()
        crew.finish()
    assert crew.unexpected == []
    assert_whole(connection)
    assert "read committed" not in refused
    assert value(connection, "select count(*) from df._instances where state <> 'completed'") == 0
    assert removed > 10, "versions went while starts came without a pause"
    value(connection, PURGE)
    assert (count(connection), count(connection, "_workflow_versions"), count(connection, "_plans")) == (0, 1, 1)
    assert_consistent(connection)


def test_a_run_key_whose_time_runs_out_while_it_is_asked_for_starts_anew(
    database: Database, connection: Connection
) -> None:
    connection.execute(workflow("w", "df.step('a', run => $$select 1$$)").encode())
    began = "select df.start_workflow('w', run_key => 'k')"
    first = value(connection, began)
    connection.execute("call df.work()")
    purged(connection)
    with database.connect(autocommit=False) as purger:
        purger.execute('select df._ask(\'purge\', \'{"older_than": "0", "keep_keys": "0", "max_seconds": 1}\')')
        answers: list[str] = []
        with database.connect() as other:
            asking = threading.Thread(target=lambda: answers.append(value(other, began)))
            asking.start()
            time.sleep(0.2)
            purger.commit()
            asking.join(5)
    assert len(answers) == 1
    assert answers[0] not in (None, first)


@pytest.mark.parametrize("instances", [4000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_tables_stay_bounded_however_many_instances_come_and_go(
    database: Database, connection: Connection, instances: int
) -> None:
    connection.execute(
        workflow(
            "w",
            "df.step('rows', run => $$select g from generate_series(1, 2) g$$)",
            "df.step('item', each => 'rows', run => $$select $item.g$$)",
            "df.step('last', after => '{item}', run => df.check($$select true$$))",
        ).encode()
    )
    tables = ("_instances", "_steps", "_joins", "_scopes", "_run_keys")
    over = threading.Event()
    most = dict.fromkeys(tables, 0)
    pages: list[int] = []

    def purge() -> None:
        with database.connect() as other:
            while not over.wait(0.02):
                other.execute("call df.purge('500 ms', keep_keys => '1 s')")

    def look() -> None:
        with database.connect() as other:
            while not over.wait(0.5):
                for table in tables:
                    most[table] = max(most[table], count(other, table))
                other.execute("vacuum df._instances, df._steps, df._joins, df._scopes, df._run_keys")
                pages.append(
                    int(
                        value(
                            other,
                            "select sum(pg_total_relation_size(c.oid)) / 8192 from pg_class c where c.relname = any(%s) and c.relnamespace = 'df'::regnamespace",
                            list(tables),
                        )
                    )
                )

    began = 0
    with Crew(database, 2) as crew, in_background(purge, look):
        while began < instances:
            connection.execute(
                "select df.start_workflow('w', run_key => (%s + n)::text) from generate_series(1, 100) n", [began]
            )
            began += 100
            until(lambda: value(connection, "select count(*) from df._instances where finished_at is null") < 200, 120)
        crew.finish(120)
        until(lambda: sum(count(connection, table) for table in tables) == 0, 60)
        over.set()
    assert crew.unexpected == []
    assert value(connection, "select last_value from df._instance_ids") == instances
    assert most["_instances"] < max(3000, instances // 10)
    if instances > 10_000:
        half = len(pages) // 2
        assert max(pages[half:]) < 2 * max(pages[:half]), "the second half takes no more room than the first"
    assert_whole(connection)
    assert_consistent(connection)
