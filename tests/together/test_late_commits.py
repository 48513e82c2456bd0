"""Hazard 3: the queue's position is a snapshot: nothing committed late is lost, no dead prefix is read."""

from __future__ import annotations

import json
import random
import time

import pytest
from consistency import assert_consistent, assert_once
from crew import EFFECTS, Crew, chain, in_background, start, value
from server import Database

from pgdurable_core.engine import Connection


@pytest.mark.parametrize(("seconds", "slowest"), [(8, 1.0), pytest.param(120, 3.0, marks=pytest.mark.slow)])
def test_instances_whose_start_commits_late_are_all_found(
    database: Database, connection: Connection, seconds: float, slowest: float
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("one", 1).encode())
    over = time.monotonic() + seconds

    def starter(longest: float, seed: int) -> None:
        generator = random.Random(seed)
        with database.connect(autocommit=False) as own:
            while time.monotonic() < over:
                start(own, "one")
                time.sleep(generator.uniform(0.001, longest))
                if generator.random() < 0.1:
                    own.rollback()
                else:
                    own.commit()

    longest = [0.001, 0.01, 0.05, 0.3, slowest, slowest]
    with (
        Crew(database, 4, idle=0) as crew,
        in_background(*(lambda n=n, s=s: starter(n, s) for s, n in enumerate(longest))),
    ):  # type: ignore[misc]
        time.sleep(seconds + slowest + 0.2)
        # No sweep may help: what is open now was forgotten.
        time.sleep(0.5)
        left = value(connection, "select count(*) from df._instances where state <> 'completed'")
    started = value(connection, "select count(*) from df._instances")
    assert (left, started > 100) == (0, True)
    assert crew.unexpected == []
    assert_once(connection)
    assert_consistent(connection)


def test_a_trickle_under_an_old_snapshot_does_not_read_the_dead_prefix(
    database: Database, connection: Connection
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("ten", 10, "select 1").encode())
    with database.connect(autocommit=False) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select pg_current_xact_id()")
        with Crew(database, 4, ticker=False, seconds=30) as crew:
            start(connection, "ten", 3100)
            crew.finish(150)
        connection.execute("vacuum df._steps")
        connection.execute("select pg_stat_force_next_flush()")
        dead = value(connection, "select n_dead_tup from pg_stat_user_tables where relid = 'df._steps'::regclass")
        assert dead >= 30_000
        position: str = value(connection, "call df.work(5)")
        # An empty poll, then one instance: what both of them read, by the server's own count.
        polled = _buffers(connection, f"select df.has_work('{position}')")
        before = _read(database)
        [instance] = start(connection, "ten")
        done = connection.execute("call df.work(5, 0, null, %s::text)", [position]).fetchone()
        read = _read(database) - before
        assert value(connection, "select state from df._instances where instance_id = %s", instance) == "completed"
        assert done is not None
        assert done[1] == 10
        old.rollback()
    # The dead prefix of the ready index is hundreds of pages; a claim that walked over it once would show.
    assert polled < 60
    assert read < 10 * 60


def _read(database: Database) -> int:
    """Return how many blocks of the steps' indexes all sessions have asked for."""
    with database.connect() as connection:
        connection.execute("select pg_stat_force_next_flush()")
        time.sleep(0.1)
        return int(
            value(
                connection,
                "select idx_blks_read + idx_blks_hit from pg_statio_user_indexes where indexrelname = '_steps_ready'",
            )
        )


def _buffers(connection: Connection, query: str) -> int:
    connection.execute(query.encode())
    plan = value(connection, f"explain (analyze, buffers, timing off, format json) {query}")
    found = plan if isinstance(plan, list) else json.loads(plan)
    return int(found[0]["Plan"]["Shared Hit Blocks"]) + int(found[0]["Plan"]["Shared Read Blocks"])
