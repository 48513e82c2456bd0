"""Chains of ten trivial SQL steps, every step its own commit, against pgbench's one-row UPDATE per commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pgdurable_core.bench.bare import bare, prepare_bare
from pgdurable_core.bench.figures import Comparison, Report, Series
from pgdurable_core.bench.machine import surroundings
from pgdurable_core.bench.place import Place
from pgdurable_core.bench.sessions import CHAIN, Lane, Sessions, define_chain, pgbench, prepare_pgbench, set_lane, start

# Issue and measuring.md: what the fast lane is held to.
WANTED = 0.7


def run_chain(
    place: Place, sessions: Sequence[int], rounds: int, seconds: float, tell: Callable[[str], None]
) -> Report:
    """Measure pgbench, a bare loop, the fast lane and the committed lane in turns.

    `seconds` is about how long each turn takes.
    """
    with place.connect() as connection:
        beside = surroundings(connection, place.name)
        prepare_pgbench(connection)
        prepare_bare(connection)
        define_chain(connection, place)
        comparisons = []
        for count in sessions:
            base: list[float] = []
            lanes: dict[Lane, list[float]] = {"fast": [], "committed": []}
            loop: list[float] = []
            few = max(10, round(20 * count * seconds))
            instances = dict.fromkeys(lanes, few)
            loops = few
            # The first turn of each says how many instances last for the wished time, and warms the sessions.
            with Sessions(place, count) as crew:
                for turn in range(rounds + 1):
                    rate = pgbench(place, count, seconds if turn else 1)
                    if turn:
                        base.append(rate)
                    rate = bare(crew.connections, loops, CHAIN)
                    loops = max(10, round(rate * seconds / CHAIN))
                    if turn:
                        loop.append(rate)
                    for lane in lanes:
                        set_lane(connection, lane)
                        start(connection, "chain", instances[lane])
                        rate = instances[lane] * CHAIN / crew.work()
                        instances[lane] = max(10, round(rate * seconds / CHAIN))
                        if turn:
                            lanes[lane].append(rate)
                    if turn:
                        measured = [("pgbench", base), ("bare", loop), *lanes.items()]
                        rates = ", ".join(f"{name} {taken[-1]:,.0f}" for name, taken in measured)
                        tell(f"{count} sessions, turn {turn} of {rounds}: {rates}")
            comparisons.append(
                Comparison(
                    f"{count} session{'s' * (count > 1)}, chains of {CHAIN} trivial SQL steps",
                    Series("pgbench, one-row UPDATE per commit", tuple(base)),
                    (
                        Series("a bare loop without roles, guards or cancel, steps", tuple(loop)),
                        Series("fast lane, steps (one commit each)", tuple(lanes["fast"])),
                        Series(
                            "committed claims, steps (two commits for the first of a chain)", tuple(lanes["committed"])
                        ),
                    ),
                    WANTED,
                )
            )
    return Report("chain", beside, comparisons)
