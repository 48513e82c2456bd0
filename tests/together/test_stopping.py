"""Hazards 9, 10, 46, 47: a stop hits its target within a second and nobody else, and a stray cancel costs nothing."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import psycopg
import pytest
from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, chain, pause, start, until, value, workflow
from server import Database

from pgdurable_core.engine import Connection
from pgdurable_core.errors import SetupError

TRAP = """
create function public.stubborn() returns void language plpgsql as $$
declare v_end timestamptz := clock_timestamp() + interval '60 seconds';
begin
    while clock_timestamp() < v_end loop
        begin
            perform pg_sleep(60);
        exception when query_canceled then
            null;
        end;
    end loop;
end $$
"""


@pytest.mark.parametrize("instances", [250, pytest.param(3000, marks=pytest.mark.slow)])
def test_cancels_at_random_hit_their_targets_and_nobody_else(
    database: Database, connection: Connection, instances: int
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("four", 4, f"{EFFECT}; select pg_sleep(0.002)").encode())
    generator = random.Random(9)
    asked: set[str] = set()
    with Crew(database, 6, watchdog=True, idle=0) as crew:
        ids = start(connection, "four", instances)
        for instance in generator.sample(ids, instances // 3):
            with suppress(psycopg.Error):  # it had ended
                connection.execute("select df.cancel(%s)", [instance])
                asked.add(instance)
            pause(generator, 0, 0.01)
        crew.finish(90)
    ended = dict(connection.execute("select instance_id, state from df._instances").fetchall())
    cancelled = {instance for instance, state in ended.items() if state == "cancelled"}
    assert cancelled <= asked
    assert len(cancelled) > 10
    assert all(ended[instance] == "completed" for instance in set(ids) - cancelled)
    assert _charged(connection) == 0
    assert_once(connection)
    assert_consistent(connection)


def test_stray_cancels_without_a_stop_row_cost_nobody_anything(
    database: Database, connection: Connection, superuser: psycopg.Connection
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("ten", 10, f"{EFFECT}; select pg_sleep(0.01)").encode())
    generator = random.Random(15)
    with Crew(database, 4, idle=0) as crew:
        ids = start(connection, "ten", 60)
        aimed = 0
        while value(connection, "select count(*) from df._instances where finished_at is null") > 0 and aimed < 60:
            pids = list(crew.pids.values())
            if pids:
                superuser.execute("select pg_cancel_backend(%s)", [generator.choice(pids)])
                aimed += 1
            pause(generator, 0.01, 0.06)
        crew.finish(60)
    assert aimed > 20
    states = connection.execute("select state, count(*) from df._instances group by 1").fetchall()
    assert states == [("completed", len(ids))]
    assert _charged(connection) == 0
    assert_once(connection)
    assert_consistent(connection)


def test_a_cancel_stops_a_running_statement_within_a_second(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(workflow("sleeper", f"df.step('s', run => $run${EFFECT}; select pg_sleep(60)$run$)").encode())
    with Crew(database, 2, watchdog=True) as crew:
        [instance] = start(connection, "sleeper")
        until(lambda: value(connection, "select count(*) from df._steps where state = 'running'") == 1)
        time.sleep(0.1)
        connection.execute("select df.cancel(%s)", [instance])
        asked = time.monotonic()
        until(lambda: value(connection, "select state from df._steps") == "cancelled", 5)
        assert time.monotonic() - asked < 1
        crew.finish()
    assert value(connection, "select count(*) from public.effects") == 0
    assert value(connection, "select finished_at - started_at > interval '100 ms' from df._steps") is True
    assert_consistent(connection)


def test_a_cancel_is_obeyed_while_every_session_runs_something_long(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(workflow("sleeper", f"df.step('s', run => $run${EFFECT}; select pg_sleep(60)$run$)").encode())
    with Crew(database, 2, watchdog=True) as crew:
        instances = start(connection, "sleeper", 2)
        until(lambda: value(connection, "select count(*) from df._steps where state = 'running'") == 2)
        time.sleep(0.1)
        for instance in instances:
            connection.execute("select df.cancel(%s)", [instance])
        asked = time.monotonic()
        until(lambda: value(connection, "select count(*) from df._steps where state = 'cancelled'") == 2, 5)
        assert time.monotonic() - asked < 1
        crew.finish()
    assert value(connection, "select count(*) from public.effects") == 0
    assert_consistent(connection)


def test_a_timeout_is_recorded_as_one_and_tried_again(database: Database, connection: Connection) -> None:
    connection.execute(
        workflow(
            "slow",
            "df.step('s', retries => 1, retry_delay => '100 ms', timeout => '400 ms', run => $$select pg_sleep(30)$$)",
        ).encode()
    )
    with Crew(database, 2, watchdog=True) as crew:
        start(connection, "slow")
        crew.finish(15)
    row = connection.execute("select state, attempt, error ->> 'sqlstate' from df._steps").fetchone()
    assert row == ("failed", 2, "PD408")
    assert_consistent(connection)


@pytest.mark.parametrize("why", ["cancel", "timeout"])
def test_a_step_that_traps_the_cancel_is_terminated_and_still_ends_as_what_it_is(
    database: Database, connection: Connection, why: str
) -> None:
    connection.execute(TRAP.encode())
    connection.execute(EFFECTS.encode())
    connection.execute(chain("innocent", 3).encode())
    timeout = ", timeout => '300 ms'" if why == "timeout" else ""
    connection.execute(workflow("stubborn", f"df.step('s'{timeout}, run => $$select public.stubborn()$$)").encode())
    with Crew(database, 3, watchdog=True, idle=0) as crew:
        [instance] = start(connection, "stubborn")
        until(lambda: value(connection, "select count(*) from df._steps where state = 'running'") == 1)
        start(connection, "innocent", 10)
        begun = time.monotonic()
        if why == "cancel":
            connection.execute("select df.cancel(%s)", [instance])
        until(
            lambda: value(connection, "select finished_at from df._steps where instance_id = %s", instance) is not None,
            20,
        )
        assert time.monotonic() - begun < 9
        crew.finish(30)
    state, sqlstate = connection.execute(
        "select state, error ->> 'sqlstate' from df._steps where instance_id = %s", [instance]
    ).fetchone() or ("", "")
    assert (state, sqlstate) == (("cancelled", "PD499") if why == "cancel" else ("failed", "PD408"))
    assert (
        value(connection, "select count(*) from df._instances where workflow = 'innocent' and state = 'completed'")
        == 10
    )
    assert _charged(connection) == 0
    assert_once(connection)
    assert_consistent(connection)


def test_work_refuses_a_session_with_a_statement_timeout(connection: Connection) -> None:
    connection.execute("set statement_timeout = '10min'")
    with pytest.raises(SetupError) as caught:
        _translated(connection, "call df.work()")
    assert "set statement_timeout = 0" in str(caught.value.hint)


def test_a_statement_timeout_inside_a_step_ends_that_step_alone(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(
        workflow(
            "own",
            "df.step('a', run => $$set statement_timeout = '50ms'$$)",
            f"df.step('b', after => '{{a}}', run => $run${EFFECT}; select pg_sleep(0.3)$run$)",
        ).encode()
    )
    with Crew(database, 1) as crew:
        start(connection, "own", 2)
        crew.finish()
    assert crew.errors == []
    assert connection.execute("select state, count(*) from df._steps group by 1").fetchall() == [("completed", 4)]
    assert_consistent(connection)


def _charged(connection: Connection) -> int:
    return int(value(connection, "select count(*) from df._steps where charged > 0 or attempt > 1"))


def _translated(connection: Connection, statement: str) -> None:
    from pgdurable_core.engine import translated

    with translated():
        connection.execute(statement.encode())
