# ruff: noqa: E501
"""Hazards 24, 26, 32: transactions that meet, thousands of times each; nobody stuck, nobody deadlocked."""

from __future__ import annotations

import random
import threading
from collections import Counter
from contextlib import suppress

import psycopg
import pytest
from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, chain, pause, start, value, workflow
from server import Database

from pgdurable_core.engine import Connection

TIMES = [1500, pytest.param(10_000, marks=pytest.mark.slow)]
NOTHING = "$$select 1$$"


@pytest.mark.parametrize("times", TIMES)
def test_the_last_two_steps_of_an_instance(database: Database, connection: Connection, times: int) -> None:
    connection.execute(workflow("pair", f"df.step('a', run => {NOTHING})", f"df.step('b', run => {NOTHING})").encode())
    _race(database, connection, "pair", times)


@pytest.mark.parametrize("times", TIMES)
def test_two_arrivals_at_a_join_and_at_the_end(database: Database, connection: Connection, times: int) -> None:
    connection.execute(
        workflow(
            "diamond",
            f"df.step('a', run => {NOTHING})",
            f"df.step('b', run => {NOTHING})",
            f"df.step('early', after => '{{a,b}}', rule => 'one_success', run => {NOTHING})",
            "df.step('late', after => '{a,b}')",
        ).encode()
    )
    _race(database, connection, "diamond", times // 2)


@pytest.mark.parametrize("times", TIMES)
def test_a_map_that_opens_and_an_arrival_behind_it(database: Database, connection: Connection, times: int) -> None:
    connection.execute(
        workflow(
            "mapped",
            "df.step('rows', run => $$select g from generate_series(1, 2) g$$)",
            f"df.step('item', each => 'rows', run => {NOTHING})",
            f"df.step('beside', run => {NOTHING})",
            f"df.step('behind', after => '{{beside,rows,item}}', run => {NOTHING})",
        ).encode()
    )
    _race(database, connection, "mapped", times // 4)


def _race(database: Database, connection: Connection, name: str, times: int) -> None:
    with Crew(database, 8, idle=0.02) as crew:
        for _ in range(times // 100 + 1):
            start(connection, name, 100)
        crew.finish(120)
    assert crew.errors == []
    assert connection.execute("select distinct state from df._instances").fetchall() == [("completed",)]
    assert_consistent(connection)


@pytest.mark.parametrize("times", [400, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_cancel_and_the_completion_of_the_last_step(database: Database, connection: Connection, times: int) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("two", 2).encode())
    generator = random.Random(24)
    with Crew(database, 6, watchdog=True, idle=0) as crew:
        for _ in range(times):
            [instance] = start(connection, "two")
            pause(generator, 0, 0.012)
            with suppress(psycopg.Error):  # it had ended
                connection.execute("select df.cancel(%s)", [instance])
        crew.finish(60)
    states = Counter(row[0] for row in connection.execute("select state from df._instances").fetchall())
    assert set(states) <= {"completed", "cancelled"}
    assert min(states["completed"], states["cancelled"]) > times / 50
    assert_once(connection)
    assert_consistent(connection)


@pytest.mark.parametrize("times", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_retry_against_completion_and_against_another_retry_and_cancel(
    database: Database, connection: Connection, times: int
) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute("create table public.luck (n int); insert into public.luck values (0)")
    fragile = "update public.luck set n = n where false; select 1 / (random() < 0.6)::int"
    connection.execute(
        workflow(
            "fragile",
            f"df.step('a', run => $run${EFFECT}$run$)",
            f"df.step('b', run => $run${EFFECT}; {fragile}$run$)",
            f"df.step('c', after => '{{a,b}}', run => $run${EFFECT}$run$)",
            f"df.step('d', after => '{{b}}', rule => 'one_failed', run => $run${EFFECT}$run$)",
        ).encode()
    )
    ids = start(connection, "fragile", times)
    over = threading.Event()

    def meddle(seed: int) -> None:
        generator = random.Random(seed)
        with database.connect() as own:
            while not over.is_set():
                command = generator.choice(["retry_instance", "retry_instance", "cancel"])
                with suppress(psycopg.Error):
                    own.execute(f"select df.{command}(%s)".encode(), [generator.choice(ids)])
                pause(generator, 0, 0.01)

    with Crew(database, 6, watchdog=True, idle=0) as crew:
        threads = [threading.Thread(target=meddle, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        over.wait(8 if times < 1000 else 120)
        over.set()
        for thread in threads:
            thread.join()
        crew.finish(60)
        # Until everybody had luck.
        for _ in range(40):
            for (instance,) in connection.execute(
                "select instance_id from df._instances where state in ('failed', 'cancelled')"
            ).fetchall():
                connection.execute("select df.retry_instance(%s)", [instance])
            crew.finish(60)
    left = value(
        connection, "select count(*) from df._steps s where s.state in ('failed', 'cancelled', 'upstream_failed')"
    )
    assert left == 0
    assert_once(connection)
    assert_consistent(connection)


def test_two_layers_of_joins_and_many_sessions_never_deadlock(database: Database, connection: Connection) -> None:
    names = "abcdef"
    first = [f"df.step('{n}', run => {NOTHING})" for n in names]
    # Successors are named in every order; the engine alone decides in which order it locks them.
    second = [
        f"df.step('{n.upper()}', after => '{{{','.join(random.Random(n).sample(names, 5))}}}', run => {NOTHING})"
        for n in names
    ]
    third = [
        f"df.step('x{n}', after => '{{{','.join(random.Random(f'x{n}').sample(names.upper(), 4))}}}', run => {NOTHING})"
        for n in range(4)
    ]
    connection.execute(workflow("layers", *second[::-1], *third, *first).encode())
    with Crew(database, 10, idle=0.02) as crew:
        for _ in range(4):
            start(connection, "layers", 30)
        crew.finish(120)
    assert crew.errors == []
    assert value(connection, "select deadlocks from pg_stat_database where datname = current_database()") == 0
    assert_consistent(connection)


def test_a_cascade_of_thousands_of_skips_ends_though_it_takes_several_transactions(
    database: Database, connection: Connection
) -> None:
    width = 1100
    steps = [
        f"df.step('root', run => {NOTHING})",
        "df.step('branch', after => '{root}', run => df.branch($$select 'kept'$$))",
    ]
    steps += [f"df.step('kept', after => '{{branch}}', run => {NOTHING})"]
    text = ", ".join(steps)
    connection.execute(
        f"""select df.create_workflow('wide', steps => array[{text}] || array(
            select df.step('s' || g, run => 'select 1', after => array[case when g <= {width} then 'branch' else 's' || g - {width} end])
            from generate_series(1, {2 * width}) g))""".encode()
    )
    with Crew(database, 4) as crew:
        start(connection, "wide", 2)
        crew.finish(90)
    assert crew.errors == []
    states = connection.execute("select state, count(*) from df._steps group by 1 order by 1").fetchall()
    assert states == [("completed", 6), ("skipped", 4 * width)]
    assert_consistent(connection)
