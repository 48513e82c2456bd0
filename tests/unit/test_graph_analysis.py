from itertools import combinations, pairwise

import networkx as nx
import pytest
from graph_orders import ORDERS
from graph_strategies import graphs
from hypothesis import given
from hypothesis import strategies as st

from pgdurable_core.errors import DefinitionError
from pgdurable_core.graph.analysis import (
    Form,
    Parallel,
    Series,
    ancestors,
    convex_hull,
    critical_path,
    descendants,
    digraph,
    is_convex,
    is_series_parallel,
    layers,
    reduced,
    roots,
    series_parallel,
    show_path,
    sinks,
    topological_order,
)
from pgdurable_core.graph.model import Graph, Step


def graph(**after: str) -> Graph:
    return Graph("g", tuple(Step(key, after=tuple(names.split())) for key, names in after.items()))


DIAMOND = graph(a="", b="a", c="a", d="b c")
N = graph(a="", b="", c="a", d="a b")


@given(graphs())
def test_the_order_puts_every_upstream_first_and_the_earliest_written_step_where_it_may(any_graph: Graph) -> None:
    order = topological_order(any_graph)
    written = [step.key for step in any_graph.steps]
    assert sorted(order) == sorted(written)
    done: set[str] = set()
    for key in order:
        free = [key for key in written if key not in done and set(any_graph.by_key[key].upstreams) <= done]
        assert key == free[0]
        done.add(key)


def test_the_standing_example_is_ordered_as_its_file_is() -> None:
    assert topological_order(ORDERS) == tuple(step.key for step in ORDERS.steps)


def test_a_cycle_is_refused_with_its_path() -> None:
    for question in (topological_order, layers, critical_path, series_parallel):
        with pytest.raises(DefinitionError, match="workflow g has a cycle: a -> c -> b -> a"):
            question(graph(a="b", b="c", c="a"))


def test_roots_and_sinks_stand_in_source_order() -> None:
    assert roots(ORDERS) == ("stage.orders", "stage.refunds", "regions")
    assert sinks(ORDERS) == ("purge",)
    assert (roots(N), sinks(N)) == (("a", "b"), ("c", "d"))


def test_neighbours_near_and_far() -> None:
    assert ancestors(ORDERS, ["summarise"]) == {
        "stage.orders",
        "stage.refunds",
        "quality",
        "choose_load",
        "rebuild",
        "merge",
        "regions",
    }
    assert descendants(ORDERS, ["regions"]) == {"summarise", "erp_batch", "purge"}
    assert descendants(DIAMOND, ["a", "b"]) == {"b", "c", "d"}
    assert ancestors(DIAMOND, ["nobody"]) == frozenset()


def test_layers_hold_the_longest_way_to_each_step() -> None:
    assert layers(ORDERS) == (
        ("stage.orders", "stage.refunds", "regions"),
        ("quality",),
        ("choose_load",),
        ("rebuild", "merge"),
        ("summarise",),
        ("erp_batch",),
        ("purge",),
    )


@given(graphs())
def test_the_critical_path_is_a_chain_as_long_as_there_are_layers(any_graph: Graph) -> None:
    path = critical_path(any_graph)
    assert len(path) == len(layers(any_graph))
    assert all(before in any_graph.by_key[key].upstreams for before, key in pairwise(path))


@given(graphs(), st.data())
def test_a_set_is_convex_exactly_when_no_way_leaves_and_returns(any_graph: Graph, data: st.DataObject) -> None:
    keys = data.draw(st.sets(st.sampled_from([step.key for step in any_graph.steps])))
    net = digraph(any_graph)
    between = {key for key in net if nx.ancestors(net, key) & keys and nx.descendants(net, key) & keys}
    assert convex_hull(any_graph, keys) == keys | between
    assert is_convex(any_graph, keys) is (between <= keys)


def test_a_set_that_the_middle_of_a_chain_is_missing_from_is_not_convex() -> None:
    assert not is_convex(graph(a="", b="a", c="b"), {"a", "c"})
    assert is_convex(graph(a="", b="a", c="b"), {"b", "c"})


@given(graphs())
def test_the_reduction_is_networkxs_own(any_graph: Graph) -> None:
    assert set(reduced(any_graph).edges) == set(nx.transitive_reduction(digraph(any_graph)).edges)


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        (graph(a=""), "a"),
        (graph(a="", b="a", c="b"), Series(("a", "b", "c"))),
        (graph(a="", b=""), Parallel(("a", "b"))),
        (DIAMOND, Series(("a", Parallel(("b", "c")), "d"))),
        (graph(a="", b="a", c="a b"), Series(("a", "b", "c"))),
        (graph(a="", b="", c="a b", d="a b"), Series((Parallel(("a", "b")), Parallel(("c", "d"))))),
        (N, None),
        (graph(a="", b="", c="a", d="a b", e="b"), None),
    ],
)
def test_series_and_parallel_are_found_or_denied(shape: Graph, form: Form | None) -> None:
    assert series_parallel(shape) == form
    assert is_series_parallel(shape) is (form is not None)


def steps_of(form: Form) -> frozenset[str]:
    return frozenset([form]) if isinstance(form, str) else frozenset().union(*(steps_of(part) for part in form.parts))


def order_of(form: Form) -> set[tuple[str, str]]:
    if isinstance(form, str):
        return set()
    pairs = set().union(*(order_of(part) for part in form.parts))
    if isinstance(form, Series):
        for first, second in combinations(form.parts, 2):
            pairs |= {(one, two) for one in steps_of(first) for two in steps_of(second)}
    return pairs


def holds_an_n(order: set[tuple[str, str]], keys: frozenset[str]) -> bool:
    """Look for four steps a < c, a < d, b < d with no other order among them: the one shape no nesting can say."""

    def apart(one: str, two: str) -> bool:
        return (one, two) not in order and (two, one) not in order

    return any(
        (b, d) in order and apart(a, b) and apart(c, d) and apart(b, c)
        for a, c in order
        for a2, d in order
        if a == a2 and c != d
        for b in keys - {a, c, d}
    )


@given(graphs())
def test_the_form_says_exactly_the_graphs_order_and_is_missing_only_for_an_n(any_graph: Graph) -> None:
    order = set(nx.transitive_closure(digraph(any_graph)).edges)
    form = series_parallel(any_graph)
    if form is None:
        assert holds_an_n(order, frozenset(any_graph.by_key))
    else:
        assert order_of(form) == order
        assert steps_of(form) == frozenset(any_graph.by_key)


def test_a_long_path_is_shown_by_its_ends() -> None:
    assert show_path(tuple("abc")) == "a -> b -> c"
    assert show_path(tuple("abcdef"), most=4) == "a -> b -> ... 2 more ... -> e -> f"
