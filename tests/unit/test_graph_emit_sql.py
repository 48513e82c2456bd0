import re
from dataclasses import replace
from pathlib import Path

import pytest
from golden import assert_golden
from graph_orders import NOTES, ORDERS
from graph_strategies import FULL_TEXTS, TEXTS, graphs
from hypothesis import given
from hypothesis import strategies as st
from sql_reader import array, read_dollar_quote, read_workflow

from pgdurable_core.errors import DefinitionError
from pgdurable_core.graph.analysis import topological_order
from pgdurable_core.graph.document import graph_from_document, graph_hash, normalise
from pgdurable_core.graph.emit import Notes, emit_sql, file_state, read_trailer, was_edited
from pgdurable_core.graph.emit.literals import array_text, dollar_quote, json_text
from pgdurable_core.graph.model import Defaults, Empty, Graph, Group, Python, Run, Shell, Sql, Step

GOLDEN = Path(__file__).parent / "expected"

BASH = Graph(
    "example_complex",
    tuple(
        Step(key, Shell(f"echo {key}"), after=after)
        for key, after in (
            ("create_entry_group", ()),
            ("create_tag_template", ()),
            ("create_tag", ("create_entry_group", "create_tag_template")),
            ("list_tags", ("create_tag",)),
            ("delete_tag", ("list_tags",)),
        )
    ),
)

ODD = Graph(
    "odd-ones",
    (
        Step("dollars", Sql("select '$$', '$sql$', '$sql1$'"), run_as="analyst", statement_class="autonomous"),
        Step("ends_with_a_dollar", Sql("select $1$")),
        Step("newlines_around", Sql("\n\nselect 1\n\n"), source="dags/odd.py:4"),
        Step("nothing", after=("null", "dollars"), rule="all_done", doc="Wait for\nboth."),
        Step("null", Shell("echo 'a'\n/opt/run.sh ", {"D": "{ds}"}, append_env=True, cwd="/opt/etl")),
        Step("quoted", Shell("echo 'a'", {"D": "{ds}"})),
        Step("load-x", Sql("vacuum t"), pool="ledger", connection="erp", result_name="load_x", timeout="2 h"),
        Step(
            "wide",
            Python(
                "package.module:function",
                {"rows": {"xcom": "load-x"}, "names": [f"a rather long name, number {index}" for index in range(6)]},
                runtime="airflow",
            ),
            bind={"month": "to_char(logical_date, 'YYYY-MM')", "two": "x" * 90},
            source="dags/odd.py:40",
        ),
        Step("join", after=tuple(f"part.number_{index:02}" for index in range(14))),
        *(Step(f"part.number_{index:02}", Sql(f"select {index}")) for index in range(14)),
    ),
    groups=(Group("part"),),
    doc="Umlaute: \u00e4\u00f6\u00fc.\nAnd a second line.",
)


@pytest.mark.parametrize(
    ("name", "graph", "notes"),
    [
        ("orders_daily", ORDERS, NOTES),
        ("example_complex", BASH, Notes()),
        ("odd", ODD, Notes()),
    ],
)
def test_the_files_look_as_they_were_reviewed(name: str, graph: Graph, notes: Notes) -> None:
    assert_golden(GOLDEN / f"{name}.sql", emit_sql(graph, notes))


@given(graphs())
def test_the_file_says_exactly_the_graph(graph: Graph) -> None:
    said = normalise(replace(graph, groups=()))
    said = replace(said, steps=tuple(said.by_key[key] for key in topological_order(said)))
    assert graph_from_document(read_workflow(emit_sql(graph))) == said


@given(graphs(), st.lists(TEXTS, max_size=2), st.lists(TEXTS, max_size=2))
def test_no_comment_can_slip_out_of_its_line(graph: Graph, header: list[str], lines: list[str]) -> None:
    notes = Notes(header=tuple(header), footer=tuple(lines), steps={graph.steps[0].key: tuple(lines)})
    assert read_workflow(emit_sql(graph, notes)) == read_workflow(emit_sql(graph))


@given(graphs())
def test_the_same_graph_gives_the_same_bytes_and_a_file_that_knows_itself(graph: Graph) -> None:
    text = emit_sql(graph)
    assert emit_sql(graph) == text
    assert file_state(text) == "generated"
    trailer = read_trailer(text)
    assert trailer is not None
    assert trailer.graph == graph_hash(graph)[:8]
    assert text.endswith(trailer.line() + "\n")


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=40, unique=True), st.data())
def test_no_line_of_ours_is_longer_than_120(numbers: list[int], data: st.DataObject) -> None:
    keys = [f"group.step_{number}" for number in numbers]
    steps = [
        Step(
            key,
            data.draw(st.sampled_from([Empty(), Sql("select 1"), Shell("true"), Python("m:f", {"a": "b" * 20})])),
            after=tuple(data.draw(st.sets(st.sampled_from(keys[:index]))) if index else ()),
            retries=data.draw(st.none() | st.integers(0, 3)),
            timeout=data.draw(st.sampled_from([None, "10 min"])),
            source=data.draw(st.sampled_from([None, "dags/a_file_with_a_name.py:28"])),
            doc=data.draw(st.none() | st.text("ab ", min_size=1, max_size=60)),
            bind=data.draw(st.dictionaries(st.sampled_from("abcd"), st.just("df.ds_add(ds, -3) || 'x'"))),
        )
        for index, key in enumerate(keys)
    ]
    said = Notes(header=("word " * 60,), steps={keys[0]: ("word " * 60,)})
    graph = Graph("g", tuple(steps), tags=tuple(keys), params={key: {"default": key} for key in keys})
    assert max(len(line) for line in emit_sql(graph, said).splitlines()) <= 120


def test_only_the_users_own_text_may_leave_ascii() -> None:
    assert emit_sql(ORDERS, NOTES).isascii()
    assert emit_sql(replace(ORDERS, doc="\u00e4"), NOTES).replace("\u00e4", "").isascii()


def test_nothing_equal_to_a_default_is_written() -> None:
    stated = Graph(
        "g",
        (Step("a", retries=3, retry_delay="300 s", pool="p", result_name="a"),),
        timezone="UTC",
        defaults=Defaults(retries=3, retry_delay="5 min", pool="p"),
    )
    text = emit_sql(stated, Notes(header=("g",)))
    assert text.partition("-- pgdurable")[0] == (
        "-- g\n"
        "\n"
        "select df.create_workflow('g',\n"
        '  defaults => \'{"retries": 3, "pool": "p"}\',\n'
        "  steps => array[\n"
        "\n"
        "  df.step('a')\n"
        "]);\n"
    )


def test_steps_stand_in_topological_order_with_their_group_said_once() -> None:
    graph = Graph(
        "g",
        (Step("z", after=("s.b",)), Step("s.b"), Step("x"), Step("s.a", after=("z",))),
        groups=(Group("s", "the first"),),
    )
    text = emit_sql(graph)
    assert re.findall(r"df\.step\('(.*?)'", text) == ["s.b", "z", "x", "s.a"]
    assert text.count("-- Group s: the first") == 1
    assert text.index("-- Group s") < text.index("df.step('s.b'")


def test_a_step_belongs_to_the_longest_group_before_its_key() -> None:
    graph = Graph("g", (Step("s.t.a"),), groups=(Group("s"), Group("s.t"), Group("s.t.a"), Group("s.t.")))
    group = graph.group_of(graph.steps[0])
    assert group is not None
    assert group.key == "s.t"


def test_a_cycle_is_not_written() -> None:
    with pytest.raises(DefinitionError, match="a -> a"):
        emit_sql(Graph("g", (Step("a", after=("a",)),)))


@given(TEXTS | st.text(st.sampled_from("$ql1s_\n"), max_size=40), st.sampled_from([("",), ("", "sql"), ("sql",)]))
def test_dollar_quotes_survive_any_text(text: str, tags: tuple[str, ...]) -> None:
    quoted = dollar_quote(text, *tags)
    assert read_dollar_quote(quoted + "), 'x'") == (text, len(quoted))


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("select 1", "$$select 1$$"),
        ("select '$$'", "$sql$select '$$'$sql$"),
        ("select $", "$sql$select $$sql$"),
        ("$$ $sql$", "$sql1$$$ $sql$$sql1$"),
        ("$$ $sql", "$sql1$$$ $sql$sql1$"),
    ],
)
def test_the_tag_changes_only_when_the_text_holds_it(text: str, quoted: str) -> None:
    assert dollar_quote(text, "", "sql") == quoted
    assert read_dollar_quote(quoted)[0] == text


@given(st.lists(FULL_TEXTS | st.sampled_from(["null", "a,b", " a ", '"', "\\", "{}"]), max_size=30))
def test_arrays_come_back_however_they_are_broken(items: list[str]) -> None:
    text = array_text(items, indent=30, width=60)
    assert array(text[1:-1].replace("''", "'")) == items


def test_json_breaks_only_where_it_must() -> None:
    value = {"a": [1, 2], "b": {"c": "it's"}}
    assert json_text(value, indent=4, width=80) == """'{"a": [1, 2], "b": {"c": "it''s"}}'"""
    assert json_text(value, indent=4, width=30) == """'{"a": [1, 2],\n      "b": {"c": "it''s"}}'"""


@pytest.mark.parametrize(
    ("run", "written"),
    [
        (Sql("select 1"), "run => $$select 1$$"),
        (Sql("select '$$'"), "run => $sql$select '$$'$sql$"),
        (Sql("select 1\n"), "run => $sql$\nselect 1\n\n$sql$"),
        (Sql("\r\nselect 1"), "run => $sql$\n\r\nselect 1\n$sql$"),
        (Sql("x" * 81), "run => $sql$\n" + "x" * 81 + "\n$sql$"),
        (Shell("echo"), "run => df.shell('echo')"),
        (Shell("echo 'a'"), "run => df.shell($$echo 'a'$$)"),
        (Shell("\necho\n"), "run => df.shell($sh$\necho\n$sh$)"),
        (Python("m:f"), "run => df.python('m:f')"),
    ],
)
def test_each_kind_of_run_has_its_form(run: Run, written: str) -> None:
    text = emit_sql(Graph("g", (Step("a", run),)))
    assert f"  df.step('a', {written})\n]);\n" in text


TEXT = emit_sql(ORDERS, NOTES)
LAST = TEXT.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (TEXT, "generated"),
        (TEXT.replace("\n", "\r\n"), "generated"),
        (TEXT.rstrip("\n"), "generated"),
        (TEXT + "\n\n", "generated"),
        (TEXT.replace("retries => 5", "retries => 6"), "edited"),
        (TEXT.replace("  df.step('purge'", " df.step('purge'"), "edited"),
        (TEXT + "select df.resume_workflow('orders_daily');\n", "edited"),
        ("-- mine\n" + TEXT, "edited"),
        (TEXT.replace(LAST, ""), "foreign"),
        (TEXT.replace("pgdurable import: graph", "graph"), "foreign"),
        ("select 1;\n", "foreign"),
        ("", "foreign"),
    ],
)
def test_a_file_knows_whose_it_is(text: str, state: str) -> None:
    assert file_state(text) == state
    assert was_edited(text) is (state != "generated")


def test_a_trailer_inside_of_the_sql_is_not_taken_for_the_files_own() -> None:
    text = emit_sql(Graph("g", (Step("a", Sql(f"select 1\n{LAST}\n")),)))
    assert file_state(text) == "generated"
    trailer = read_trailer(text)
    assert trailer is not None
    assert trailer.line() != LAST
