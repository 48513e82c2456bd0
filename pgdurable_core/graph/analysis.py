"""Questions about the shape of a graph, answered with networkx.

Edges run from an upstream (`after` and `each`) to the step that waits for it. Names no step has are left out, so that
a broken graph can still be drawn. Nodes and results stand in source order wherever the order is free, so the same
graph gives the same answer everywhere. What needs an order raises DefinitionError when the graph has a cycle.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import networkx as nx

from pgdurable_core.errors import DefinitionError
from pgdurable_core.graph.model import Graph

Digraph: TypeAlias = "nx.DiGraph[str]"


def digraph(graph: Graph) -> Digraph:
    """Build the networkx graph of the step keys, in source order; of two steps with one key the first counts."""
    net: Digraph = nx.DiGraph()
    net.add_nodes_from(graph.by_key)
    net.add_edges_from(
        (upstream, step.key) for step in graph.by_key.values() for upstream in step.upstreams if upstream in net
    )
    return net


def topological_order(graph: Graph) -> tuple[str, ...]:
    """Order the keys so that every step stands behind its upstreams; where the order is free, as in the source."""
    net = digraph(graph)
    position = {key: index for index, key in enumerate(net)}
    try:
        return tuple(nx.lexicographical_topological_sort(net, key=position.__getitem__))
    except nx.NetworkXUnfeasible:
        raise _cyclic(graph, net) from None


def roots(graph: Graph) -> tuple[str, ...]:
    """List the steps that wait for none."""
    return tuple(key for key, degree in digraph(graph).in_degree() if degree == 0)


def sinks(graph: Graph) -> tuple[str, ...]:
    """List the steps none waits for: how they end decides how the instance ends."""
    return tuple(key for key, degree in digraph(graph).out_degree() if degree == 0)


def ancestors(graph: Graph, keys: Iterable[str]) -> frozenset[str]:
    """Gather everything that must come before any of `keys`, without `keys` themselves unless one precedes another."""
    return _reached(digraph(graph).pred, keys)


def descendants(graph: Graph, keys: Iterable[str]) -> frozenset[str]:
    """Gather everything that waits, directly or not, for any of `keys`."""
    return _reached(digraph(graph).succ, keys)


def layers(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Split the steps by the longest way that leads to them; steps of one layer never wait for each other."""
    net = digraph(graph)
    try:
        generations = [set(layer) for layer in nx.topological_generations(net)]
    except nx.NetworkXUnfeasible:
        raise _cyclic(graph, net) from None
    level = {key: index for index, layer in enumerate(generations) for key in layer}
    ordered: list[list[str]] = [[] for _ in generations]
    for key in net:
        ordered[level[key]].append(key)
    return tuple(tuple(layer) for layer in ordered)


def critical_path(graph: Graph) -> tuple[str, ...]:
    """Find a longest chain of steps; its length is the least number of steps that must run one after another."""
    net = digraph(graph)
    order = topological_order(graph)
    length: dict[str, int] = {}
    before: dict[str, str | None] = {}
    for key in order:
        best = max(net.pred[key], key=lambda upstream: length[upstream], default=None)
        before[key] = best
        length[key] = 1 if best is None else length[best] + 1
    chain: list[str] = []
    here = max(order, key=lambda key: length[key], default=None)
    while here is not None:
        chain.append(here)
        here = before[here]
    return tuple(reversed(chain))


def cycles(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Find one shortest cycle through the first step of every knot; each ends with the key it begins with.

    A knot (strongly connected component) is named once, however many cycles run through it: mend one and ask again.
    """
    return _cycles(digraph(graph))


def convex_hull(graph: Graph, keys: Collection[str]) -> frozenset[str]:
    """Add to `keys` every step that lies on a way from one of them to another."""
    net = digraph(graph)
    return frozenset(keys) | (_reached(net.succ, keys) & _reached(net.pred, keys))


def is_convex(graph: Graph, keys: Collection[str]) -> bool:
    """Say whether no way leaves `keys` and comes back: only then can they move to another system as one piece."""
    return convex_hull(graph, keys) == frozenset(keys)


@dataclass(frozen=True, slots=True)
class Series:
    """Parts that run one after another; every step of a part waits for the whole part before it."""

    parts: tuple["Form", ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Parts that know nothing of each other."""

    parts: tuple["Form", ...]


Form: TypeAlias = str | Series | Parallel


def series_parallel(graph: Graph) -> Form | None:
    """Write the order of the steps as nested series and parallels, or None when that cannot say exactly the same.

    Edges that follow from others do not matter here. Valdes, Tarjan, Lawler, "The recognition of series parallel
    digraphs", SIAM J. Comput. 11 (1982): a graph is vertex series-parallel exactly when its transitive reduction is
    the line graph of an edge series-parallel multigraph, which series and parallel reductions shrink to one edge.
    Raises DefinitionError for a cycle. The time is linear but for the transitive reduction.
    """
    order = topological_order(graph)
    net = reduced(graph)
    if not order:
        return None
    junctions = _junctions(net, order)
    return None if junctions is None else _shrink(order, *junctions)


def is_series_parallel(graph: Graph) -> bool:
    """Say whether `series_parallel` has an answer."""
    return series_parallel(graph) is not None


def reduced(graph: Graph) -> Digraph:
    """Build the transitive reduction: the same order with no edge that others imply.

    Only an edge from a step with several successors to one with several upstreams can be implied, and only such edges
    are searched for, no deeper than the layer they end in.
    """
    net = digraph(graph)
    level = {key: index for index, layer in enumerate(layers(graph)) for key in layer}
    implied: list[tuple[str, str]] = []
    for key in net:
        suspects = {after for after in net.succ[key] if net.in_degree(after) > 1 and level[after] > level[key] + 1}
        if suspects and net.out_degree(key) > 1:
            deepest = max(level[after] for after in suspects)
            starts = [after for after in net.succ[key] if level[after] < deepest]
            reached = _reached(net.succ, starts, within=partial(_no_deeper, level, deepest))
            implied.extend((key, after) for after in suspects if after in reached)
    net.remove_edges_from(implied)
    return net


def _no_deeper(level: Mapping[str, int], deepest: int, key: str) -> bool:
    return level[key] <= deepest


def _reached(
    neighbours: Mapping[str, Collection[str]], keys: Iterable[str], within: Callable[[str], bool] | None = None
) -> frozenset[str]:
    seen: set[str] = set()
    open_keys = deque(key for key in keys if key in neighbours)
    while open_keys:
        for key in neighbours[open_keys.popleft()]:
            if key not in seen and (within is None or within(key)):
                seen.add(key)
                open_keys.append(key)
    return frozenset(seen)


def _cyclic(graph: Graph, net: Digraph) -> DefinitionError:
    found = _cycles(net)
    return DefinitionError(
        f"workflow {graph.name} has a cycle: {show_path(found[0])}",
        hint="Take one of these edges out.",
        sqlstate="PD400",
    )


def show_path(path: tuple[str, ...], most: int = 20) -> str:
    """Write `a -> b -> a`; of a path longer than `most` keys only the ends."""
    if len(path) > most:
        path = (*path[: most // 2], f"... {len(path) - most:,} more ...", *path[-(most - most // 2) :])
    return " -> ".join(path)


def _cycles(net: Digraph) -> tuple[tuple[str, ...], ...]:
    position = {key: index for index, key in enumerate(net)}
    knots = [knot for knot in nx.strongly_connected_components(net) if len(knot) > 1]
    found: list[tuple[str, ...]] = [(key, key) for key in net if net.has_edge(key, key)]
    found.extend(_shortest_cycle(net, knot, min(knot, key=position.__getitem__)) for knot in knots)
    return tuple(sorted(found, key=lambda cycle: position[cycle[0]]))


def _shortest_cycle(net: Digraph, knot: Collection[str], start: str) -> tuple[str, ...]:
    came_from: dict[str, str] = {}
    open_keys = deque([start])
    while start not in came_from:
        here = open_keys.popleft()
        for key in net.succ[here]:
            if key in knot and key not in came_from and key != here:
                came_from[key] = here
                open_keys.append(key)
    path = [start, came_from[start]]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))


def _junctions(net: Digraph, order: tuple[str, ...]) -> tuple[Mapping[str, int], Mapping[str, int], int] | None:
    """Number the junctions between steps: where each step starts and ends; None when steps share only some successors.

    Junction 0 is before every root, junction 1 behind every sink.
    """
    starts = {key: 0 for key in order if not net.pred[key]}
    ends = {key: 1 for key in order if not net.succ[key]}
    count = 2
    for key in order:
        if key in ends:
            continue
        after = net.succ[key].keys()
        meeting = list(net.pred[next(iter(after))])
        if any(net.succ[other].keys() != after for other in meeting):
            return None
        if any(len(net.pred[other]) != len(meeting) for other in after):
            return None
        ends.update(dict.fromkeys(meeting, count))
        starts.update(dict.fromkeys(after, count))
        count += 1
    return starts, ends, count


def _shrink(order: tuple[str, ...], starts: Mapping[str, int], ends: Mapping[str, int], count: int) -> Form | None:
    """Reduce the multigraph of junctions to one edge from 0 to 1; None when something is left over."""
    between: dict[tuple[int, int], _Bundle] = {}
    leaving: list[set[int]] = [set() for _ in range(count)]
    entering: list[set[int]] = [set() for _ in range(count)]
    open_junctions = deque(range(2, count))

    def join(start: int, end: int, part: _Chain) -> None:
        bundle = between.setdefault((start, end), _Bundle([]))
        bundle.parts.append(part)
        leaving[start].add(end)
        entering[end].add(start)
        open_junctions.extend(junction for junction in (start, end) if junction > 1)

    for key in order:
        join(starts[key], ends[key], _Chain(deque([key])))
    while open_junctions:
        junction = open_junctions.popleft()
        if len(entering[junction]) == 1 and len(leaving[junction]) == 1:
            start, end = entering[junction].pop(), leaving[junction].pop()
            first, second = between.pop((start, junction)), between.pop((junction, end))
            leaving[start].discard(junction)
            entering[end].discard(junction)
            join(start, end, first.as_chain().followed_by(second.as_chain()))
    return between[0, 1].form() if between.keys() == {(0, 1)} else None


@dataclass(frozen=True, slots=True)
class _Chain:
    parts: "deque[str | _Bundle]"

    def followed_by(self, other: "_Chain") -> "_Chain":
        if len(self.parts) < len(other.parts):
            other.parts.extendleft(reversed(self.parts))
            return other
        self.parts.extend(other.parts)
        return self

    def form(self) -> Form:
        parts = tuple(part if isinstance(part, str) else part.form() for part in self.parts)
        return parts[0] if len(parts) == 1 else Series(parts)


@dataclass(frozen=True, slots=True)
class _Bundle:
    parts: list[_Chain]

    def as_chain(self) -> _Chain:
        return self.parts[0] if len(self.parts) == 1 else _Chain(deque([self]))

    def form(self) -> Form:
        parts = tuple(part.form() for part in self.parts)
        return parts[0] if len(parts) == 1 else Parallel(parts)
