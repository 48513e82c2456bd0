import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from graph_orders import ORDERS
from graph_strategies import JSON, RUNS, graphs
from hypothesis import given
from hypothesis import strategies as st

from pgdurable_core.errors import DocumentError, Problem
from pgdurable_core.graph import check
from pgdurable_core.graph.branches import constant_targets
from pgdurable_core.graph.check import PROBLEM_CODES, find_problems, refuse_problems
from pgdurable_core.graph.model import (
    Branch,
    Check,
    Defaults,
    Graph,
    Group,
    Python,
    Run,
    Shell,
    Sql,
    Step,
)

ONE = Sql("select 1")


def graph(*steps: Step, **fields: Any) -> Graph:
    return Graph("g", steps, **fields)


def untyped(**fields: Any) -> Step:
    return replace(Step("a", ONE), **fields)


def found(checked: Graph) -> list[tuple[str, str]]:
    return [(problem.code, problem.place) for problem in find_problems(checked)]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


CASES: list[tuple[str, str, Graph]] = [
    ("bad-bind", "/steps/0/bind/d s", graph(Step("a", ONE, bind={"d s": "ds"}))),
    ("bad-bind", "/steps/0/bind/ds", graph(Step("a", ONE, bind={"ds": " "}))),
    ("bad-callable", "/steps/0/run/callable", graph(Step("a", Python("function")))),
    ("bad-callable", "/on_failure/callable", graph(Step("a"), on_failure=Python("m:f()"))),
    ("bad-class", "/steps/0/class", graph(untyped(statement_class="fast"))),
    ("bad-date", "/start_date", graph(Step("a"), start_date="1 January")),
    ("bad-date", "/start_date", graph(Step("a"), start_date="2026-02-30")),
    ("bad-date", "/start_date", graph(Step("a"), start_date="2026-01-01 25:00")),
    ("bad-date", "/end_date", graph(Step("a"), end_date="2026-01-01 00:00 Europe/Nowhere")),
    ("bad-duration", "/steps/0/timeout", graph(Step("a", timeout="soon"))),
    ("bad-duration", "/steps/0/retry_delay", graph(Step("a", retry_delay="1 month"))),
    ("bad-duration", "/defaults/timeout", graph(Step("a"), defaults=Defaults(timeout="5"))),
    ("bad-key", "/steps/0/key", graph(Step(""))),
    ("bad-key", "/steps/0/key", graph(Step("a b"))),
    ("bad-key", "/steps/0/key", graph(Step("a\n"))),
    ("bad-key", "/steps/0/key", graph(Step("a" * 251))),
    ("bad-key", "/groups/0/key", graph(Step("a"), groups=(Group("a/b"),))),
    ("bad-module", "/modules/m", graph(Step("a"), modules={"m": "sha256:9c1e57f0"})),
    ("bad-name", "/name", replace(graph(Step("a")), name="my workflow")),
    ("bad-name", "/steps/0/run_as", graph(Step("a", run_as="r" * 64))),
    ("bad-name", "/defaults/pool", graph(Step("a"), defaults=Defaults(pool=""))),
    ("bad-number", "/steps/0/retries", graph(Step("a", retries=-1))),
    ("bad-number", "/steps/0/retries", graph(Step("a", retries=2**31))),
    ("bad-number", "/max_active_runs", graph(Step("a"), max_active_runs=0)),
    ("bad-result-name", "/steps/0/result_name", graph(Step("a", result_name="load-x"))),
    ("bad-rule", "/steps/0/rule", graph(untyped(rule="all_sucess"))),
    ("bad-runtime", "/steps/0/run/runtime", graph(Step("a", replace(Python("m:f"), runtime=cast(Any, "ruby"))))),
    ("bad-schedule", "/schedule", graph(Step("a"), schedule="every day")),
    ("bad-schedule", "/schedule", graph(Step("a"), schedule="0 6 * *")),
    ("bad-schedule", "/schedule", graph(Step("a"), schedule="@noon")),
    ("bad-schedule", "/schedule", graph(Step("a"), schedule="0 s")),
    ("bad-text", "/steps/0/run/sql", graph(Step("a", Sql("select '\0'")))),
    ("bad-text", "/steps/0/doc", graph(Step("a", doc="\ud800"))),
    ("bad-text", "/steps/0/run/args/x", graph(Step("a", Python("m:f", {"x": "\0"})))),
    ("bad-timezone", "/timezone", graph(Step("a"), timezone="Berlin")),
    ("cycle", "/steps/0/after", graph(Step("a", after=("c",)), Step("b", after=("a",)), Step("c", after=("b",)))),
    ("cycle", "/steps/0/after", graph(Step("a", after=("a",)))),
    ("cycle", "/steps/0/after", graph(Step("a", each="b"), Step("b", after=("a",)))),
    ("duplicate-key", "/steps/1/key", graph(Step("a"), Step("a"))),
    ("duplicate-key", "/groups/1/key", graph(Step("a"), groups=(Group("s"), Group("s")))),
    ("duplicate-upstream", "/steps/1/after", graph(Step("a"), Step("b", after=("a", "a")))),
    ("each-itself", "/steps/0/each", graph(Step("a", each="a"))),
    ("empty-graph", "/steps", graph()),
    ("empty-text", "/steps/0/run/sql", graph(Step("a", Check(" \n")))),
    ("empty-text", "/steps/0/run/command", graph(Step("a", Shell("")))),
    ("item-without-each", "/steps/0/run/args/row", graph(Step("a", Python("m:f", {"row": {"item": True}})))),
    ("not-json", "/steps/0/run/args/x", graph(Step("a", Python("m:f", {"x": float("nan")})))),
    ("not-json", "/steps/0/run/args/x", graph(Step("a", Python("m:f", {"x": cast(Any, {1, 2})})))),
    ("not-json", "/params/p", graph(Step("a"), params={"p": cast(Any, {1: 2})})),
    ("result-name-clash", "/steps/1/result_name", graph(Step("load"), Step("load-x", result_name="load"))),
    ("result-name-clash", "/steps/0/result_name", graph(Step("a", result_name="params"))),
    ("too-large", "/steps/0/run/sql", graph(Step("a", Sql("x" * (2**20 + 1))))),
    ("too-large", "/steps/0/run/sql", graph(Step("a", Sql("\u20ac" * (2**20 // 3 + 1))))),
    ("too-large", "/steps/0/run/args", graph(Step("a", Python("m:f", {"x": deep(101)})))),
    ("unknown-branch", "/steps/0/run/sql", graph(Step("a", Branch("select 'b' as k")))),
    ("unknown-each", "/steps/0/each", graph(Step("a", each="b"))),
    ("unknown-result", "/steps/0/run/args/x/0", graph(Step("a", Python("m:f", {"x": [{"xcom": "b"}]})))),
    ("unknown-upstream", "/steps/0/after/1", graph(Step("a", after=("b", "c")), Step("b"))),
]


@pytest.mark.parametrize(("code", "place", "broken"), CASES, ids=[f"{code} {place}" for code, place, _ in CASES])
def test_each_problem_is_found_alone_and_in_its_place(code: str, place: str, broken: Graph) -> None:
    mended = [problem for problem in found(broken) if problem != ("cycle", "/steps/0/after") or code == "cycle"]
    assert mended == [(code, place)]


def test_every_code_has_a_case_above() -> None:
    assert {code for code, _, _ in CASES} == set(PROBLEM_CODES)


GOOD: list[Graph] = [
    ORDERS,
    graph(Step("a", Sql("x" * 2**20))),
    graph(Step("a" * 250)),
    graph(Step("a", run_as="r" * 63)),
    graph(Step("a", Python("m:f", {"x": deep(99)}))),
    graph(Step("a"), Step("b", Python("m:f", {"row": {"item": "code"}, "t": {"xcom": "a"}}), each="a")),
    graph(Step("params"), Step("item"), Step("load-x"), Step("load.x")),
    graph(Step("a"), schedule="*/5 6-18 * * MON-FRI", start_date="2026-01-01T00:00:00.5+01:00", end_date="2026-12-31"),
    graph(Step("a"), schedule="1 day", start_date="2026-01-01 00:00:00Z", timezone="America/Argentina/Buenos_Aires"),
    graph(Step("a", Branch("select key from choices")), Step("b", after=("a",))),
]


@pytest.mark.parametrize("good", GOOD, ids=range(len(GOOD)))
def test_what_lies_just_inside_of_the_limits_is_no_problem(good: Graph) -> None:
    assert find_problems(good) == ()


def test_all_problems_come_at_once_with_step_source_and_a_sentence() -> None:
    broken = graph(
        Step("a", Sql(" "), after=("b",), source="dags/x.py:10"),
        Step("b", after=("a", "nobody"), timeout="soon", source="dags/x.py:20"),
        schedule="daily",
    )
    assert find_problems(broken) == (
        Problem("bad-schedule", "'daily' is no cron expression, preset or duration over zero", "/schedule"),
        Problem("empty-text", "there is nothing to run", "/steps/0/run/sql", "a", "dags/x.py:10"),
        Problem("unknown-upstream", "there is no step 'nobody' to wait for", "/steps/1/after/1", "b", "dags/x.py:20"),
        Problem(
            "bad-duration",
            "'soon' is no duration: write a number and a unit (5 min, 1.5 h, 2 days) or 01:30:00",
            "/steps/1/timeout",
            "b",
            "dags/x.py:20",
        ),
        Problem("cycle", "the steps wait for each other: a -> b -> a", "/steps/0/after", "a", "dags/x.py:10"),
    )


def test_every_knot_is_named_once_by_a_shortest_cycle() -> None:
    ring = [Step(f"r{index}", after=(f"r{(index - 1) % 4}",)) for index in range(4)]
    ring[0] = replace(ring[0], after=("r3", "r1"))
    broken = graph(Step("x", after=("x",)), *ring)
    assert [problem.message for problem in find_problems(broken)] == [
        "the steps wait for each other: x -> x",
        "the steps wait for each other: r0 -> r1 -> r0",
    ]


def test_a_cycle_through_a_thousand_steps_is_named_by_its_ends() -> None:
    ring = [Step(f"r{index}", after=(f"r{(index - 1) % 1000}",)) for index in range(1000)]
    (problem,) = find_problems(graph(*ring))
    assert "r0 -> r1 -> " in problem.message
    assert "... 981 more ..." in problem.message
    assert problem.message.endswith("r999 -> r0")


def test_the_second_of_two_equal_keys_is_told_where_the_first_stands() -> None:
    (problem,) = find_problems(graph(Step("a", source="x.py:1"), Step("a", source="x.py:9")))
    assert problem.show() == "a (x.py:9): the key 'a' is there twice, first at x.py:1 [duplicate-key]"


def test_refusing_carries_the_same_problems() -> None:
    broken = graph(Step("a", after=("b",)))
    with pytest.raises(DocumentError) as caught:
        refuse_problems(broken)
    assert caught.value.problems == find_problems(broken)
    refuse_problems(ORDERS)


@given(graphs())
def test_sound_graphs_have_no_problems(sound: Graph) -> None:
    assert find_problems(sound) == ()


ANY_TEXT = st.text(max_size=8)
ANY_STEP = st.builds(
    Step,
    key=st.sampled_from(["a", "b", "c"]) | ANY_TEXT,
    run=RUNS | st.builds(Sql, ANY_TEXT) | st.builds(Branch, ANY_TEXT) | st.builds(Shell, ANY_TEXT),
    after=st.lists(st.sampled_from(["a", "b", "c"]) | ANY_TEXT, max_size=3).map(tuple),
    rule=ANY_TEXT,
    each=st.none() | st.sampled_from(["a", "b", "c"]),
    bind=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=2),
    retries=st.none() | st.integers() | st.floats(),
    timeout=st.none() | ANY_TEXT,
    run_as=st.none() | ANY_TEXT,
    statement_class=st.none() | ANY_TEXT,
    result_name=st.none() | ANY_TEXT,
)
ANY_GRAPH = st.builds(
    Graph,
    name=ANY_TEXT,
    steps=st.lists(ANY_STEP, max_size=6).map(tuple),
    schedule=st.none() | ANY_TEXT,
    timezone=ANY_TEXT,
    start_date=st.none() | ANY_TEXT,
    max_active_runs=st.none() | st.integers(),
    params=st.dictionaries(ANY_TEXT, JSON, max_size=2),
    modules=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=2),
    tags=st.lists(ANY_TEXT, max_size=2).map(tuple),
)


@given(ANY_GRAPH)
def test_checking_never_raises_and_knows_only_listed_codes(anything: Graph) -> None:
    assert {problem.code for problem in find_problems(anything)} <= set(PROBLEM_CODES)


def test_a_hundred_thousand_steps_are_checked_in_seconds_and_one_more_is_too_many() -> None:
    steps = tuple(
        Step(f"s{index}", ONE, after=tuple(f"s{upstream}" for upstream in {index // 2, index - 1} if index))
        for index in range(check.MAX_STEPS)
    )
    begun = time.process_time()
    assert find_problems(graph(*steps)) == ()
    assert time.process_time() - begun < 20
    assert found(graph(*steps, Step("one-more"))) == [("too-large", "/steps")]


def test_a_document_over_its_limit_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MAX_DOCUMENT_BYTES", 2_000)
    assert found(graph(Step("a", Sql("x" * 2_001)))) == [("too-large", "")]
    assert found(graph(Step("a", Sql("x" * 1_000)))) == []


@pytest.mark.parametrize(
    ("sql", "targets"),
    [
        ("select 'a'", ("a",)),
        ("select case when $params.mode = 'full' then 'rebuild' else 'merge' end", ("rebuild", "merge")),
        ("select 'a' as k union all select 'b'", ("a", "b")),
        ("values ('a'), ('b')", ("a", "b")),
        ("select array['a', 'b']", ("a", "b")),
        ("select array['a', 'b']::text[]", ("a", "b")),
        ("select unnest(array['a', 'b'])", ("a", "b")),
        ("select coalesce($x.key, 'a')::text", ("a",)),
        ("select key from t where name = 'a'", ()),
        ("select lower('A')", ()),
        ("select 'a' || 'b'", ()),
        ("select '{a,b}'::text[]", ()),
        ("select 'a', 'b'", ()),
        ("call choose('a')", ()),
        ("select 'a", ()),
        ("select '{ds}'", ()),
        ("select 1; select 'a'", ()),
    ],
)
def test_a_branch_names_its_constant_answers_and_guesses_none(sql: str, targets: tuple[str, ...]) -> None:
    assert constant_targets(sql) == targets


@given(st.text())
def test_any_text_can_be_asked_for_its_targets(text: str) -> None:
    for sql in (text, f"select {text}", f"select '{text}'"):
        assert isinstance(constant_targets(sql), tuple)


MakeRun = Callable[[str], Run]


@pytest.mark.parametrize("make", [Sql, Check, Branch])
def test_every_kind_of_sql_is_held_to_the_same_limits(make: MakeRun) -> None:
    assert found(graph(Step("a", make("")))) == [("empty-text", "/steps/0/run/sql")]
    assert found(graph(Step("a", make("-- " + "x" * 2**20)))) == [("too-large", "/steps/0/run/sql")]
