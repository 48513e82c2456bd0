"""Kill the worker, a backend, the server, at any moment: every effect once, every instance ended, the rows agree.

Twenty seeded moments per way to die and workload; with `-m slow` a thousand kills (`PGDURABLE_KILLS` says how many).
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from consistency import assert_consistent, assert_once
from crew import (
    EFFECT,
    EFFECTS,
    Crew,
    chain,
    count_open,
    fan_out,
    kill_backend,
    patiently,
    start,
    until,
    value,
    worker_process,
    workflow,
)
from server import Database, TestServer

from pgdurable_core.errors import DatabaseUnavailableError

SLOWLY = f"{EFFECT}; select pg_sleep(0.01)"
# The shape of examples/01_orders_daily, with its python step as SQL.
ORDERS = workflow(
    "orders",
    *(
        f"df.step('{key}', run => {run}{more})"
        for key, run, more in [
            ("stage.orders", f"$run${SLOWLY}$run$", ""),
            ("stage.refunds", f"$run${SLOWLY}$run$", ""),
            (
                "quality",
                "df.check('select count(*) > 0 from public.effects')",
                ", after => '{stage.orders,stage.refunds}'",
            ),
            ("choose_load", "df.branch($$select 'merge'$$)", ", after => '{quality}'"),
            ("rebuild", f"$run${SLOWLY}$run$", ", after => '{choose_load}'"),
            ("merge", f"$run${SLOWLY}$run$", ", after => '{choose_load}'"),
            ("regions", "$$select g as code from generate_series(1, 3) g$$", ""),
            (
                "summarise",
                f"$run${SLOWLY}$run$",
                ", after => '{merge,rebuild}', each => 'regions', rule => 'none_failed_min_one_success'",
            ),
            ("erp_batch", f"$run${SLOWLY}$run$", ", after => '{summarise}'"),
            ("purge", f"$run${SLOWLY}$run$", ", after => '{erp_batch}', rule => 'all_done'"),
        ]
    ),
)
WORKLOADS = {"orders": ORDERS, "ten": chain("ten", 10, SLOWLY), "fifty": fan_out("fifty", 50, SLOWLY)}


@pytest.fixture
def prepared(mortal_database: Database) -> Database:
    with mortal_database.connect() as owner:
        owner.execute(EFFECTS.encode())
        for text in WORKLOADS.values():
            owner.execute(text.encode())
    return mortal_database


def start_once(database: Database, name: str, key: str) -> None:
    """Start one instance whatever the server is going through: the run key makes a repeated start harmless."""

    def started() -> bool:
        with suppress(psycopg.OperationalError, DatabaseUnavailableError), patiently(database) as owner:
            owner.execute("select df.start_workflow(%s, run_key => %s)", [name, key])
            return True
        return False

    until(started, 30)


def check_all(database: Database) -> None:
    with patiently(database) as owner:
        states = owner.execute("select state, count(*) from df._instances group by 1").fetchall()
        assert [state for state, _ in states] == ["completed"]
        # A step that dies as the only suspect is charged, whoever killed it; three charges would have failed it.
        assert value(owner, "select coalesce(max(charged), 0) from df._steps") < 3
        assert_once(owner)
        assert_consistent(owner)


@pytest.mark.parametrize("way", ["backend", "server"])
@pytest.mark.parametrize("load", list(WORKLOADS))
def test_every_effect_happens_once_whichever_moment_the_backend_or_the_server_dies(
    mortal: TestServer, prepared: Database, way: str, load: str
) -> None:
    _die_at_moments(mortal, prepared, way, load, range(1, 21))


def _die_at_moments(mortal: TestServer, database: Database, way: str, load: str, seeds: range) -> None:
    assert mortal.private is not None
    died = 0
    with Crew(database, 3, idle=0.02) as crew:
        for seed in seeds:
            generator = random.Random(f"{way} {load} {seed}")
            start_once(database, load, f"{way}-{seed}")
            time.sleep(generator.uniform(0.0, 0.35))
            if way == "server":
                mortal.private.restart("immediate")
                died += 1
            else:
                died += kill_backend(database, generator)
            crew.finish(40)
    assert died >= len(seeds) // 2
    check_all(database)


@pytest.mark.parametrize("load", list(WORKLOADS))
def test_every_effect_happens_once_whichever_moment_the_worker_is_killed(prepared: Database, load: str) -> None:
    _kill_workers(prepared, load, range(1, 21))


def _kill_workers(database: Database, load: str, seeds: range) -> None:
    generator = random.Random(f"worker {load} {seeds}")
    for number, _ in enumerate(seeds):
        with worker_process(database):
            with database.connect() as owner:
                start(owner, load)
            # The kill comes at the end of the block, at any moment of the load; the next worker finds what is left.
            time.sleep(generator.uniform(0.0, 0.35))
        if number % 3 == 2:
            with Crew(database, 2) as crew:
                crew.finish(40)
    with Crew(database, 2) as crew:
        crew.finish(40)
    check_all(database)


@pytest.mark.slow
def test_a_thousand_kills(mortal: TestServer, prepared: Database) -> None:
    """Kills of every kind at random over a stream of all workloads, cancels and retries between them."""
    assert mortal.private is not None
    kills, generator = int(os.environ.get("PGDURABLE_KILLS", "1000")), random.Random(1)
    deadline = time.monotonic() + 4 * kills + 60
    done = 0
    with Crew(prepared, 6, idle=0.02) as crew:
        while done < kills and time.monotonic() < deadline:
            try:
                with prepared.connect() as owner:
                    if (count_open(prepared.connect) or 0) < 20:
                        start(owner, generator.choice(list(WORKLOADS)), 3)
                time.sleep(generator.uniform(0.0, 0.5))
                if generator.random() < 0.1:
                    mortal.private.restart("immediate")
                    done += 1
                else:
                    done += kill_backend(prepared, generator)
                if done % 20 == 0:
                    crew.finish(120)
            except (psycopg.Error, DatabaseUnavailableError):
                time.sleep(0.2)
        crew.finish(180)
    assert done == kills
    check_all(prepared)
    assert not list(Path(mortal.private.data).glob("core*"))
