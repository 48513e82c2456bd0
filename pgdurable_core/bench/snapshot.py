"""The queue's speed before and after N finished steps, with a transaction open throughout."""

from __future__ import annotations

from collections.abc import Callable

from pgdurable_core.bench.figures import Comparison, Report, Series
from pgdurable_core.bench.machine import surroundings
from pgdurable_core.bench.place import Place
from pgdurable_core.bench.sessions import CHAIN, Sessions, define_chain, set_lane, start

WANTED = 0.8


def run_snapshot(
    place: Place, sessions: int, rounds: int, seconds: float, steps: int, tell: Callable[[str], None]
) -> Report:
    """Measure chains, hold a repeatable-read transaction with an xid open, finish `steps` steps, measure again."""
    with place.connect() as connection, Sessions(place, sessions) as crew:
        beside = surroundings(connection, place.name)
        define_chain(connection, place)
        set_lane(connection, "fast")
        instances = max(10, round(20 * sessions * seconds))

        def turn() -> float:
            start(connection, "chain", instances)
            return instances * CHAIN / crew.work()

        instances = max(10, round(turn() * seconds / CHAIN))
        before = [turn() for _ in range(rounds)]
        tell(f"before: {before[-1]:,.0f} steps a second")
        with place.connect(autocommit=False) as old:
            old.execute("set transaction isolation level repeatable read")
            old.execute("select pg_current_xact_id()")
            left = steps // CHAIN
            while left > 0:
                now = min(left, 2000)
                start(connection, "chain", now)
                rate = now * CHAIN / crew.work()
                left -= now
                tell(f"{steps - left * CHAIN:,} steps under the open transaction: {rate:,.0f} a second")
            after = [turn() for _ in range(rounds)]
            old.rollback()
        row = connection.execute(
            "select n_dead_tup from pg_stat_user_tables where relid = 'df._steps'::regclass"
        ).fetchone()
    comparison = Comparison(
        f"{sessions} sessions, chains of {CHAIN}, {steps:,} steps finished behind an open repeatable-read transaction",
        Series("before, steps", tuple(before)),
        (Series("after, the transaction still open, steps", tuple(after)),),
        WANTED,
    )
    return Report("snapshot", beside, [comparison], [f"Dead rows in df._steps at the end: {row[0]:,}." if row else ""])
