from pathlib import Path

import pytest
from golden import assert_golden
from graph_orders import ORDERS
from graph_strategies import graphs
from hypothesis import given

from pgdurable_core.errors import DefinitionError
from pgdurable_core.graph.emit import draw, emit_dot, emit_mermaid
from pgdurable_core.graph.model import Branch, Check, Graph, Python, Shell, Sql, Step

GOLDEN = Path(__file__).parent / "expected"

KINDS = Graph(
    'ki"nds',
    (
        Step("a", Sql("x"), source="dags/x.py:1", doc='say "hi"\nand \\ go'),
        Step("b", Check("x"), after=("a",)),
        Step("c", Branch("x"), after=("b",), rule="all_done"),
        Step("d", Python("m:f"), after=("c",), each="a"),
        Step("e", Shell("x"), after=("d", "nobody")),
        Step("f"),
    ),
)


def shape(**after: str) -> Graph:
    return Graph("g", tuple(Step(key, after=tuple(names.split())) for key, names in after.items()))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("orders_daily.mmd", emit_mermaid(ORDERS, {"erp_batch": "review", "nobody": "x"})),
        ("kinds.mmd", emit_mermaid(KINDS)),
        ("orders_daily.dot", emit_dot(ORDERS)),
        ("kinds.dot", emit_dot(KINDS)),
    ],
    ids=["mermaid", "mermaid kinds", "dot", "dot kinds"],
)
def test_other_forms_look_as_they_were_reviewed(name: str, text: str) -> None:
    assert_golden(GOLDEN / name, text)


@pytest.mark.parametrize(
    ("graph", "picture"),
    [
        (shape(a=""), ""),
        (shape(a="", b="a", c="b"), "a -- b -- c"),
        (
            shape(a="", b="", c="a b"),
            """
a -.
b -+- c""",
        ),
        (
            shape(start="", a="start", b="start", c="start", end="a b c"),
            """
       .- a -.
start -+- b -+- end
       '- c -'""",
        ),
        (
            shape(a="", b="", c="a", d="b"),
            """
a -- c
b -- d""",
        ),
        (
            shape(first="", second="", early="first", late="early second"),
            """
first --- early -.
second ----------+- late""",
        ),
        (
            shape(a="", x="", b="", c="a b"),
            """
a -.
b -+- c
x""",
        ),
        (
            shape(a="", b="", c="a", d="a b"),
            """
1  a, b
2  c, d""",
        ),
    ],
)
def test_pictures_say_the_order_and_nothing_else(graph: Graph, picture: str) -> None:
    assert "\n".join(draw(graph, 100)) == picture.lstrip("\n")


def test_the_standing_example_is_drawn() -> None:
    assert "\n".join(draw(ORDERS, 100)) == (
        """
stage.orders --.                          .- rebuild -.
stage.refunds -+- quality -- choose_load -+- merge ---+- summarise[] -- erp_batch -- purge
regions ----------------------------------------------'""".lstrip("\n")
    )


def test_what_is_too_wide_is_listed_and_what_is_too_long_is_summed_up() -> None:
    chain = shape(**{f"step_{index:02}": f"step_{index - 1:02}" if index else "" for index in range(15)})
    assert draw(chain, 60)[:2] == (" 1  step_00", " 2  step_01")
    assert len(draw(chain, 60)) == 15
    long_chain = shape(**{f"s{index}": f"s{index - 1}" if index else "" for index in range(2000)})
    assert draw(long_chain, 60) == ("2,000 steps in 2,000 layers, 1 root, 1 sink",)


@given(graphs())
def test_a_picture_keeps_to_its_frame_and_names_every_step_it_shows(graph: Graph) -> None:
    lines = draw(graph, 115)
    assert all(len(line) <= 115 for line in lines)
    assert len(lines) <= 20
    if lines and "layers" not in lines[0]:
        assert all(any(step.key in line for line in lines) for step in graph.steps)


def test_a_cycle_is_not_drawn() -> None:
    with pytest.raises(DefinitionError, match="a -> b -> a"):
        draw(shape(a="b", b="a"), 80)
