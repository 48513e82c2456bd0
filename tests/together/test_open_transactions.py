# ruff: noqa: E501
"""Hazards 6, 8, 51: nobody's open transaction and no running step makes the engine wait."""

from __future__ import annotations

import time

from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, chain, start, until, value, workflow
from server import Database

from pgdurable_core.engine import Connection


def test_an_arrival_at_a_step_that_fired_early_does_not_wait_for_it(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(
        workflow(
            "early",
            f"df.step('quick', run => $run${EFFECT}$run$)",
            f"df.step('slow', run => $run${EFFECT}; select pg_sleep(0.5)$run$)",
            f"df.step('first', after => '{{quick,slow}}', rule => 'one_success', run => $run${EFFECT}; select pg_sleep(2.5)$run$)",
        ).encode()
    )
    with Crew(database, 3) as crew:
        [instance] = start(connection, "early")
        until(lambda: _state(connection, instance, "slow") == "completed", 10)
        # It arrived at the join of a step that still runs, and its own effects are committed.
        assert _state(connection, instance, "first") == "running"
        assert value(connection, "select count(*) from public.effects where step like 'slow%%'") == 1
        crew.finish(20)
    assert crew.unexpected == []
    assert_once(connection)
    assert_consistent(connection)


def test_open_transactions_with_a_start_and_a_cancel_hold_up_nobody(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("ten", 10, f"{EFFECT}; select pg_sleep(0.02)").encode())
    with database.connect(autocommit=False) as forgotten, Crew(database, 4, watchdog=True, idle=0) as crew:
        ids = start(connection, "ten", 6)
        start(forgotten, "ten", 3)
        forgotten.execute("select df.cancel(%s), df.cancel(%s)", ids[:2])
        begun = time.monotonic()
        crew.finish(20)
        more = start(connection, "ten", 4)
        crew.finish(20)
        assert time.monotonic() - begun < 15
        waiting = value(
            connection,
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
        )
        assert waiting == 0
        forgotten.rollback()
        time.sleep(0.3)
    assert crew.errors == []
    # Rolled back: the cancel never happened, the starts neither.
    states = connection.execute("select instance_id, state from df._instances").fetchall()
    assert dict(states) == dict.fromkeys([*ids, *more], "completed")
    assert value(connection, "select count(*) from df.events where kind like 'cancel%%'") == 0
    assert_once(connection)
    assert_consistent(connection)


def test_an_open_cancel_of_a_waiting_retry_holds_up_nobody_and_counts_once_it_is_committed(
    database: Database, connection: Connection
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(workflow("bad", f"df.step('s', run => $run${EFFECT}; select 1 / 0$run$)").encode())
    connection.execute(chain("ten", 10, EFFECT).encode())
    with database.connect(autocommit=False) as forgotten:
        taken, late = start(connection, "bad", 2)
        with Crew(database, 2) as crew:
            crew.finish(20)
        connection.execute("select df.retry_instance(%s), df.retry_instance(%s)", [taken, late])
        connection.execute("select df.cancel(%s)", [taken])
        forgotten.execute("select df.cancel(%s)", [late])
        with Crew(database, 4, idle=0) as crew:
            start(connection, "ten", 4)
            crew.finish(20)
            forgotten.commit()
            until(lambda: value(connection, "select count(*) from df._commands") == 0, 5)
    assert crew.errors == []
    told = connection.execute(
        "select instance_id, kind, detail ->> 'answer' from df.events where kind ~ 'cancel|retry'"
    )
    assert sorted(told.fetchall()) == sorted(
        [
            (taken, "retry_refused", "taken back by a cancel"),
            (taken, "cancel", None),
            (late, "retry", None),
            (late, "cancel_refused", "it had ended before"),
        ]
    )
    tries = dict(connection.execute("select instance_id, attempt from df.steps where key = 's'").fetchall())
    assert tries == {taken: 1, late: 2}
    assert_consistent(connection)


def test_two_definitions_of_the_same_new_graph_do_not_wait_for_each_other(
    database: Database, connection: Connection
) -> None:
    with database.connect(autocommit=False) as first:
        first.execute(chain("a", 3, "select 'same'").encode())
        connection.execute("set lock_timeout = '2s'")
        connection.execute(chain("b", 3, "select 'same'").encode())
        first.commit()
    with Crew(database, 2) as crew:
        start(connection, "a")
        start(connection, "b")
        crew.finish(20)
    assert_consistent(connection)


def test_a_step_that_starts_and_cancels_others_and_then_sleeps_holds_up_nobody(
    database: Database, connection: Connection
) -> None:
    connection.execute(chain("one", 1, "select 1").encode())
    connection.execute(chain("long", 2, "select pg_sleep(0.05)").encode())
    connection.execute(
        workflow(
            "meddler",
            "df.step('s', run => $run$select df.start_workflow('one'); "
            "select df.cancel(instance_id) from df.instances where workflow = 'long' and status = 'pending'; select pg_sleep(2)$run$)",
        ).encode()
    )
    with Crew(database, 3) as crew:
        start(connection, "meddler")
        until(lambda: value(connection, "select count(*) from df.steps where status = 'running'") == 1)
        ids = start(connection, "long", 5)
        until(lambda: value(connection, "select count(*) from df._instances where state = 'completed'") >= 5, 5)
        assert (
            value(connection, "select count(*) from df.instances where workflow = 'meddler' and status = 'running'")
            == 1
        )
        crew.finish(20)
    assert (
        value(connection, "select count(*) from df._instances where instance_id = any(%s) and state = 'completed'", ids)
        == 5
    )
    assert_consistent(connection)


def _state(connection: Connection, instance: str, key: str) -> str | None:
    return value(  # type: ignore[no-any-return]
        connection,
        "select s.state from df._steps s join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step "
        "where s.instance_id = %s and p.key = %s",
        instance,
        key,
    )
