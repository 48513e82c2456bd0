"""The graph drawn in ASCII, left to right, where that is exact and small; else its layers as a list.

Drawn is only what a bus can say truly: between two columns, steps either share all their successors or none. Then

    a --.         .- d --.
    b --+-- c ----+- e --+-- f

reads as it is: whatever touches a bus from the left comes before whatever touches it on the right.
"""

import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pgdurable_core.graph.analysis import Digraph, digraph, layers, roots, sinks
from pgdurable_core.graph.model import Graph

MAX_ROWS: Final = 20
MAX_DRAWN_STEPS: Final = 80
# Barycentre sweeps over the columns; drawings that two of them do not untangle are not worth reading.
SWEEPS: Final = 3


@dataclass(frozen=True, slots=True)
class _Bus:
    """The keys that end at one bus, and those that begin there; a key on both sides is a line that goes on."""

    left: tuple[str, ...]
    right: tuple[str, ...]


def draw(graph: Graph, width: int) -> tuple[str, ...]:
    """Draw the graph, or list its layers, or sum it up: the first of these that fits `width` and twenty lines.

    Of a single step nothing is drawn. Raises DefinitionError for a cycle.
    """
    if len(graph.steps) < 2:
        return ()
    return _drawing(graph, width) or _listing(graph, width)


def _listing(graph: Graph, width: int) -> tuple[str, ...]:
    found = layers(graph)
    lines: list[str] = []
    for number, layer in enumerate(found, start=1):
        names = ", ".join(_label(graph, key) for key in layer)
        if len(lines) + len(names) // width >= MAX_ROWS:
            break
        head = f"{number:>{len(str(len(found)))}}  "
        lines += textwrap.wrap(
            names, width, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
        )
    else:
        return tuple(lines)
    counts = ((len(roots(graph)), "root"), (len(sinks(graph)), "sink"))
    ends = ", ".join(f"{number:,} {word}{'' if number == 1 else 's'}" for number, word in counts)
    return (f"{len(graph.steps):,} steps in {len(found):,} layers, {ends}",)


def _drawing(graph: Graph, width: int) -> tuple[str, ...]:
    if len(graph.steps) > MAX_DRAWN_STEPS:
        return ()
    net = digraph(graph)
    columns = _columns(net, layers(graph))
    gutters = [_buses(net, here, after) for here, after in pairwise(columns)]
    buses = [gutter for gutter in gutters if gutter is not None]
    if len(buses) < len(gutters):
        return ()
    _untangle(columns, buses)
    rows = _rows(columns, buses)
    if any(_collide(gutter, rows[index], rows[index + 1]) for index, gutter in enumerate(buses)):
        return ()
    lines = _paint(graph, columns, buses, rows)
    return lines if len(lines) <= MAX_ROWS and all(len(line) <= width for line in lines) else ()


def _label(graph: Graph, key: str) -> str:
    return f"{key}[]" if graph.by_key[key].each is not None else key


def _columns(net: Digraph, found: Sequence[Sequence[str]]) -> list[list[str]]:
    """Fill each column with its own steps, and with the earlier ones whose line passes through it."""
    level = {key: index for index, layer in enumerate(found) for key in layer}
    last = {key: max((level[after] for after in net.succ[key]), default=level[key]) for key in net}
    columns: list[list[str]] = [[] for _ in found]
    for key in net:
        columns[level[key]].append(key)
        for index in range(level[key] + 1, last[key]):
            columns[index].append(key)
    return columns


def _buses(net: Digraph, here: Sequence[str], after: Sequence[str]) -> list[_Bus] | None:
    """Group a gutter's lines into buses; None when steps share only some of what comes behind them."""
    passing = set(here) & set(after)
    by_targets: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key in here:
        targets = tuple(other for other in after if (other == key if other in passing else net.has_edge(key, other)))
        if targets:
            by_targets[targets].append(key)
    reached = [key for targets in by_targets for key in targets]
    if len(reached) != len(set(reached)):
        return None
    return [_Bus(tuple(left), right) for right, left in by_targets.items()]


def _untangle(columns: list[list[str]], gutters: list[list[_Bus]]) -> None:
    for _ in range(SWEEPS):
        for index, gutter in enumerate(gutters):
            pull = {key: _middle(columns[index], bus.left) for bus in gutter for key in bus.right}
            columns[index + 1].sort(key=pull.__getitem__)
        for index in range(len(gutters) - 1, -1, -1):
            pull = {key: float(place) for place, key in enumerate(columns[index])}
            pull |= {key: _middle(columns[index + 1], bus.right) for bus in gutters[index] for key in bus.left}
            columns[index].sort(key=pull.__getitem__)


def _middle(column: Sequence[str], keys: Iterable[str]) -> float:
    places = [column.index(key) for key in keys]
    return sum(places) / len(places)


def _rows(columns: list[list[str]], gutters: list[list[_Bus]]) -> list[dict[str, int]]:
    """Give every line of every column a row, a bus's right side spread around the middle of its left side."""
    rows = [{key: index for index, key in enumerate(columns[0])}]
    for index, gutter in enumerate(gutters):
        before, here = rows[-1], dict[str, int]()
        lowest: int | None = None
        place = {key: position for position, key in enumerate(columns[index + 1])}
        for bus in sorted(gutter, key=lambda bus: min(place[key] for key in bus.right)):
            left = sorted(before[key] for key in bus.left)
            start = left[len(left) // 2] - len(bus.right) // 2
            if lowest is not None:
                start = max(start, lowest + 1)
            for offset, key in enumerate(sorted(bus.right, key=place.__getitem__)):
                here[key] = lowest = start + offset
        rows.append(here)
    return rows


def _span(bus: _Bus, before: dict[str, int], after: dict[str, int]) -> tuple[int, int]:
    touched = [*(before[key] for key in bus.left), *(after[key] for key in bus.right)]
    return min(touched), max(touched)


def _collide(gutter: list[_Bus], before: dict[str, int], after: dict[str, int]) -> bool:
    spans = sorted(_span(bus, before, after) for bus in gutter)
    return any(first[1] >= second[0] for first, second in pairwise(spans))


def _paint(
    graph: Graph, columns: list[list[str]], gutters: list[list[_Bus]], rows: list[dict[str, int]]
) -> tuple[str, ...]:
    canvas: dict[tuple[int, int], str] = {}

    def write(row: int, column: int, text: str) -> None:
        canvas.update({(row, column + offset): sign for offset, sign in enumerate(text)})

    begun: set[str] = set()
    x = 0
    for index, column in enumerate(columns):
        own = [key for key in column if key not in begun]
        wide = max(len(_label(graph, key)) for key in own)
        gutter = gutters[index] if index < len(gutters) else []
        after = rows[index + 1] if index < len(gutters) else {}
        straight = all(first == last for first, last in (_span(bus, rows[index], after) for bus in gutter))
        joint = x + wide + 2
        goes_on = {key for bus in gutter for key in bus.left}
        for key in column:
            label = _label(graph, key) + " " if key in own else ""
            dashes = "-" * (joint - x - len(label)) if key in goes_on else ""
            write(rows[index][key], x, label + dashes)
        begun.update(own)
        for bus in gutter:
            _paint_bus(bus, rows[index], after, begun, joint, straight, write)
        x = joint + (2 if straight else 3)
    top, bottom = min(row for row, _ in canvas), max(row for row, _ in canvas)
    right = max(column for _, column in canvas)
    painted = ("".join(canvas.get((row, column), " ") for column in range(right + 1)) for row in range(top, bottom + 1))
    return tuple(line.rstrip() for line in painted)


def _paint_bus(
    bus: _Bus,
    before: dict[str, int],
    after: dict[str, int],
    begun: set[str],
    joint: int,
    straight: bool,
    write: Callable[[int, int, str], None],
) -> None:
    left = {before[key] for key in bus.left}
    right = {after[key]: key for key in bus.right}
    first, last = _span(bus, before, after)
    for row in range(first, last + 1):
        tail = "" if row not in right else "--" if right[row] in begun else "- "
        if straight:
            write(row, joint, tail)
        elif first == last:
            write(row, joint, "-" + tail)
        elif row in left and row in right:
            write(row, joint, "+" + tail)
        elif row in (first, last):
            write(row, joint, (".", "'")[row == last] + tail)
        else:
            write(row, joint, ("+" if row in left or row in right else "|") + tail)
