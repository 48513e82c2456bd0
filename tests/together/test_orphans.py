# ruff: noqa: E501
"""A claim whose session row was removed by somebody comes back; a session that registers and claims is not taken for one."""

from __future__ import annotations

import random
import threading

from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, in_background, start, until, value, workflow
from server import Database

from pgdurable_core.engine import Connection

RUNNING = "select count(*) from df._steps where state = 'running' and holder is not null"


def test_a_claim_without_a_session_is_taken_back_and_its_effects_count_once(
    database: Database, connection: Connection
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(workflow("slow", f"df.step('s', run => $run${EFFECT}; select pg_sleep(1.5)$run$)").encode())
    [instance] = start(connection, "slow")
    with (
        database.connect() as robbed,
        database.connect() as heir,
        in_background(lambda: robbed.execute("call df.work(1)")),
    ):
        until(lambda: value(connection, RUNNING) == 1)
        held = value(connection, "select holder from df._steps")
        connection.execute("delete from df._sessions")
        connection.execute("call df.tick()")
        assert connection.execute("select state, holder, caught from df._steps").fetchall() == [("ready", None, 1)]
        heir.execute("call df.work(5)")
    assert value(connection, "select outcome || ' ' || holder from df._attempts") == f"lost {held}"
    assert value(connection, "select state from df._instances where instance_id = %s", instance) == "completed"
    connection.execute("call df.tick()")
    assert value(connection, "select count(*) from df._sessions") == 0
    assert_once(connection)
    assert_consistent(connection)


def test_sessions_that_come_and_go_under_a_hail_of_ticks_lose_no_claim(
    database: Database, connection: Connection
) -> None:
    connection.execute(EFFECTS.encode())
    # a timeout keeps a step off the one-commit lane, which has no claim to lose
    run = f"timeout => '1 min', run => $run${EFFECT}; select pg_sleep(0.002)$run$"
    connection.execute(workflow("two", f"df.step('a', {run})", f"df.step('b', after => '{{a}}', {run})").encode())
    over, generator = threading.Event(), random.Random(4)

    def tick() -> None:
        with database.connect() as ticker:
            while not over.is_set():
                ticker.execute("call df.tick()")

    with in_background(tick, tick), Crew(database, 4, ticker=False, idle=0) as crew:
        try:
            for _ in range(40):
                start(connection, "two", generator.randint(1, 6))
                until(lambda: value(connection, "select count(*) from df._instances where finished_at is null") < 8)
            crew.finish()
        finally:
            over.set()
    assert crew.errors == []
    assert value(connection, "select count(*) from df._attempts") == 0
    assert value(connection, "select count(*) from df._steps where caught > 0") == 0
    assert_once(connection)
    assert_consistent(connection)
