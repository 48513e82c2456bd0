"""The graph in Graphviz's DOT language."""

from collections.abc import Mapping
from typing import Final

from pgdurable_core.graph.model import Graph, Step

SHAPES: Final[Mapping[str, str]] = {
    "sql": "box",
    "check": "hexagon",
    "branch": "diamond",
    "python": "component",
    "shell": "parallelogram",
    "empty": "ellipse",
}


def emit_dot(graph: Graph) -> str:
    """Write a `digraph` from left to right, one node a step and one edge an upstream, in source order.

    The tooltip of a node is its source and doc; a trigger rule other than all_success labels the edges it judges.
    """
    lines = [f"digraph {_quoted(graph.name)} {{", "  rankdir=LR;"]
    for step in graph.by_key.values():
        shown = " ".join(text for text in (step.source, step.doc) if text)
        tooltip = f", tooltip={_quoted(shown)}" if shown else ""
        lines.append(f"  {_quoted(step.key)} [label={_quoted(_label(step))}, shape={SHAPES[step.run.kind]}{tooltip}];")
    for step in graph.by_key.values():
        for upstream in step.upstreams:
            if upstream in graph.by_key:
                lines.append(f"  {_quoted(upstream)} -> {_quoted(step.key)}{_edge(step, upstream)};")
    return "\n".join([*lines, "}"]) + "\n"


def _edge(step: Step, upstream: str) -> str:
    attributes = ["style=dashed"] if upstream == step.each else []
    if step.rule != "all_success":
        attributes.append(f"label={_quoted(step.rule)}")
    return f" [{', '.join(attributes)}]" if attributes else ""


def _label(step: Step) -> str:
    return f"{step.key}[]" if step.each is not None else step.key


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n") + '"'
