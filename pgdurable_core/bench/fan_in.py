"""A wide map gathered by one step, against chains of the same trivial step, on as many sessions."""

from __future__ import annotations

from collections.abc import Callable

from pgdurable_core.bench.figures import Comparison, Report, Series
from pgdurable_core.bench.machine import surroundings
from pgdurable_core.bench.place import Place
from pgdurable_core.bench.sessions import CHAIN, Sessions, define_chain, set_lane, start

WANTED = 0.8


def run_fan_in(place: Place, sessions: int, rounds: int, width: int, tell: Callable[[str], None]) -> Report:
    """Measure chains and the map in turns; the map's clock includes opening its items and gathering them."""
    with place.connect() as connection, Sessions(place, sessions) as crew:
        beside = surroundings(connection, place.name)
        connection.execute("update df._engine set max_result_rows = greatest(max_result_rows, %s)", [width])
        define_chain(connection, place)
        as_role = f"run_as => '{place.run_as}'"
        connection.execute(
            f"select df.create_workflow('map', steps => array["
            f"df.step('rows', {as_role}, run => 'select g from generate_series(1, {width}) g'), "
            f"df.step('item', {as_role}, each => 'rows', run => 'select 1'), "
            f"df.step('last', {as_role}, after => '{{item}}', run => 'select 1')])".encode()
        )
        set_lane(connection, "fast")
        chains: list[float] = []
        maps: list[float] = []
        for turn in range(rounds + 1):
            start(connection, "chain", width // CHAIN)
            chain = width // CHAIN * CHAIN / crew.work()
            start(connection, "map", 1)
            wide = (width + 3) / crew.work()
            if turn:
                chains.append(chain)
                maps.append(wide)
                tell(f"turn {turn} of {rounds}: chains {chain:,.0f}, map {wide:,.0f} steps a second")
    comparison = Comparison(
        f"{sessions} sessions, a map over {width:,} rows gathered by one step",
        Series("chains, steps", tuple(chains)),
        (Series("map, items", tuple(maps)),),
        WANTED,
    )
    return Report("fan-in", beside, [comparison])
