import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from graph_orders import ORDERS
from graph_strategies import graphs
from hypothesis import given

from pgdurable_core.errors import DocumentError
from pgdurable_core.graph.check import find_problems
from pgdurable_core.graph.document import (
    canonical_json,
    document_schema,
    dump_graph,
    graph_from_document,
    graph_hash,
    graph_to_document,
    load_graph,
    normalise,
)
from pgdurable_core.graph.model import Defaults, Empty, Graph, Python, Settings, Shell, Sql, Step

SCHEMA = jsonschema.Draft202012Validator(document_schema())


def refused(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(DocumentError) as caught:
        graph_from_document(document)
    return [(problem.code, problem.place) for problem in caught.value.problems]


@given(graphs())
def test_a_graph_comes_back_from_its_document_normalised(graph: Graph) -> None:
    assert load_graph(dump_graph(graph)) == normalise(graph)


@given(graphs())
def test_normalising_twice_changes_nothing_and_never_the_meaning(graph: Graph) -> None:
    once = normalise(graph)
    assert normalise(once) == once
    assert graph_hash(once) == graph_hash(graph)
    assert [once.settings(step).retries for step in once.steps] == [
        graph.settings(step).retries for step in graph.steps
    ]
    assert [set(step.upstreams) for step in once.steps] == [set(step.upstreams) for step in graph.steps]
    assert [step.reference for step in once.steps] == [step.reference for step in graph.steps]


@given(graphs())
def test_every_written_document_fits_the_schema(graph: Graph) -> None:
    assert find_problems(graph) == ()
    assert list(SCHEMA.iter_errors(json.loads(dump_graph(graph)))) == []


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(document_schema())


def test_the_smallest_document_has_two_words_for_the_graph_and_one_for_the_step() -> None:
    graph = Graph("g", (Step("a"),))
    assert graph_to_document(graph) == {"pgdurable_graph": 1, "name": "g", "steps": [{"key": "a"}]}
    assert graph_from_document({"pgdurable_graph": 1, "name": "g", "steps": [{"key": "a"}]}) == graph


def test_defaults_stated_in_full_read_as_absent_ones() -> None:
    stated = {
        "key": "a",
        "run": {"kind": "shell", "command": "true", "env": {}, "append_env": False, "cwd": None},
        "after": [],
        "rule": "all_success",
        "each": None,
        "bind": {},
        "retries": 0,
        "retry_delay": "300 s",
        "timeout": None,
        "pool": None,
        "run_as": None,
        "connection": None,
        "class": None,
        "result_name": "a",
        "source": None,
        "doc": None,
    }
    graph = graph_from_document(
        {
            "pgdurable_graph": 1,
            "name": "g",
            "steps": [stated],
            "schedule": None,
            "timezone": "UTC",
            "catchup": False,
            "on_failure": {"kind": "empty"},
            "defaults": {"retries": 0, "retry_delay": "5 min", "pool": None},
        }
    )
    assert normalise(graph) == Graph("g", (Step("a", Shell("true")),))


def test_a_step_keeps_what_differs_from_the_graphs_defaults_even_when_it_equals_the_engines() -> None:
    graph = Graph("g", (Step("a", retries=0), Step("b", retries=2)), defaults=Defaults(retries=2, timeout="1 h"))
    assert graph_to_document(graph)["steps"] == [{"key": "a", "retries": 0}, {"key": "b"}]
    assert graph.settings(graph.steps[0]) == Settings(0, "5 min", "1 h", None, None, None)


def test_every_problem_of_form_is_reported_at_once_with_its_place() -> None:
    document = {
        "pgdurable_graph": 1,
        "steps": [
            {"key": "a", "run": {"kind": "sql", "sql": 1, "extra~/": 2}, "after": ["b", 3], "colour": "red"},
            {"key": "b", "rule": "all_sucess", "retries": True, "run": {"kind": "SQL"}, "class": "fast", "each": 7},
            "c",
            {"key": "d", "run": {"kind": "python", "args": []}, "retry_delay": None, "bind": {"x/y": 1}},
        ],
        "schedule": 5,
        "catchup": "no",
        "max_active_runs": 1.5,
        "params": {"mode": "full"},
        "tags": "mart",
        "groups": [{"doc": "x"}],
        "modules": [],
        "when": 1,
    }
    assert refused(document) == [
        ("missing-field", ""),
        ("wrong-type", "/steps/0/run/sql"),
        ("unknown-field", "/steps/0/run/extra~0~1"),
        ("wrong-type", "/steps/0/after/1"),
        ("unknown-field", "/steps/0/colour"),
        ("unknown-word", "/steps/1/run/kind"),
        ("unknown-word", "/steps/1/rule"),
        ("wrong-type", "/steps/1/each"),
        ("wrong-type", "/steps/1/retries"),
        ("unknown-word", "/steps/1/class"),
        ("wrong-type", "/steps/2"),
        ("missing-field", "/steps/3/run"),
        ("wrong-type", "/steps/3/run/args"),
        ("wrong-type", "/steps/3/bind/x~1y"),
        ("wrong-type", "/steps/3/retry_delay"),
        ("wrong-type", "/schedule"),
        ("wrong-type", "/catchup"),
        ("wrong-type", "/max_active_runs"),
        ("wrong-type", "/params/mode"),
        ("wrong-type", "/modules"),
        ("wrong-type", "/tags"),
        ("missing-field", "/groups/0"),
        ("unknown-field", "/when"),
    ]


def test_a_problem_names_the_step_and_where_its_author_wrote_it() -> None:
    document = {"pgdurable_graph": 1, "name": "g", "steps": [{"key": "a", "source": "dags/x.py:28", "colour": 1}]}
    with pytest.raises(DocumentError) as caught:
        graph_from_document(document)
    assert [problem.show() for problem in caught.value.problems] == [
        "a (dags/x.py:28): 'colour' is no field of this object [unknown-field]"
    ]


@pytest.mark.parametrize(
    ("version", "code"), [(2, "newer-version"), (0, "bad-version"), ("1", "wrong-type"), (True, "wrong-type")]
)
def test_another_version_is_refused(version: object, code: str) -> None:
    document = {"pgdurable_graph": version, "name": "g", "steps": [{"key": "a"}]}
    assert refused(document) == [(code, "/pgdurable_graph")]


@pytest.mark.parametrize("document", [None, [], "x", 1, {}])
def test_what_is_no_document_is_refused(document: object) -> None:
    assert refused(document)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "not-json"),
        (b"\xff\xfe\xfd", "not-json"),
        ('{"pgdurable_graph": 1, "name": "g", "steps": [{"key": "a", "retries": NaN}]}', "not-json"),
        ('{"pgdurable_graph": 1, "name": "g", "name": "h", "steps": [{"key": "a"}]}', "duplicate-field"),
        ("[" * 100_000, "not-json"),
        (" " * (64 * 2**20 + 1), "too-large"),
    ],
    ids=["cut", "bytes", "nan", "twice", "deep", "large"],
)
def test_text_that_is_no_plain_json_is_refused(text: str | bytes, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_graph(text)
    assert [problem.code for problem in caught.value.problems] == [code]


BREAKS: dict[str, Any] = {
    "an unknown field": lambda d: d.update(colour="red"),
    "no name": lambda d: d.pop("name"),
    "no steps": lambda d: d.pop("steps"),
    "a step with an unknown field": lambda d: d["steps"][0].update(colour="red"),
    "a step without a key": lambda d: d["steps"][0].pop("key"),
    "an unknown rule": lambda d: d["steps"][0].update(rule="all"),
    "an unknown kind": lambda d: d["steps"][0].update(run={"kind": "http"}),
    "sql without text": lambda d: d["steps"][0].update(run={"kind": "sql"}),
    "fields of another kind": lambda d: d["steps"][0].update(run={"kind": "sql", "sql": "x", "command": "y"}),
    "text for retries": lambda d: d["steps"][0].update(retries="3"),
    "null for retries": lambda d: d["steps"][0].update(retries=None),
    "text for after": lambda d: d["steps"][0].update(after="a"),
    "a newer version": lambda d: d.update(pgdurable_graph=2),
    "a list for params": lambda d: d.update(params=[]),
    "a default nobody knows": lambda d: d["defaults"].update(colour="red"),
    "a number in tags": lambda d: d.update(tags=[1]),
    "a group without key": lambda d: d.update(groups=[{}]),
    "null for catchup": lambda d: d.update(catchup=None),
}


@pytest.mark.parametrize("what", BREAKS)
def test_reader_and_schema_refuse_alike(what: str) -> None:
    document = json.loads(dump_graph(ORDERS))
    assert SCHEMA.is_valid(document)
    broken = deepcopy(document)
    BREAKS[what](broken)
    assert not SCHEMA.is_valid(broken)
    assert refused(broken)


def test_canonical_json_is_sorted_dense_and_ascii() -> None:
    assert canonical_json({"b": [1, 2.5, None, True], "a": "ä\n"}) == '{"a":"\\u00e4\\n","b":[1,2.5,null,true]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_the_hash_of_the_standing_example_stays() -> None:
    assert graph_hash(ORDERS) == "d880c10f2001adfed2da4eafd2d09fcb162b75ca17b52804246851165e57d3bc"


def test_the_hash_leaves_out_what_is_only_shown() -> None:
    shown = replace(
        ORDERS,
        doc="other",
        owner="other",
        tags=("x",),
        groups=(),
        steps=tuple(replace(step, source="elsewhere:1", doc=None) for step in ORDERS.steps),
    )
    assert graph_hash(shown) == graph_hash(ORDERS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"schedule": None},
        {"timezone": "UTC"},
        {"catchup": True},
        {"params": {}},
        {"defaults": Defaults()},
        {"modules": {}},
        {"on_failure": None},
        {"steps": ORDERS.steps[:-1]},
        {"steps": (replace(ORDERS.steps[0], run=Sql("select 1")), *ORDERS.steps[1:])},
        {"steps": (replace(ORDERS.steps[0], run=Empty()), *ORDERS.steps[1:])},
        {"steps": (replace(ORDERS.steps[0], run=Python("a:b", {"doc": "x"})), *ORDERS.steps[1:])},
    ],
)
def test_the_hash_changes_with_what_the_workflow_does(change: dict[str, Any]) -> None:
    assert graph_hash(replace(ORDERS, **change)) != graph_hash(ORDERS)


def test_a_doc_inside_of_arguments_is_hashed() -> None:
    one, two = (Graph("g", (Step("a", Python("m:f", {"doc": text})),)) for text in ("x", "y"))
    assert graph_hash(one) != graph_hash(two)
