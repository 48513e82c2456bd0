"""The graph as a Mermaid flowchart, for reports and README files."""

from collections.abc import Mapping
from typing import Final

from pgdurable_core.graph.model import Graph, Step

# https://mermaid.js.org/syntax/flowchart.html, "Node shapes": the quoted text stands between the two.
SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "sql": ("[", "]"),
    "check": ("{{", "}}"),
    "branch": ("{", "}"),
    "python": ("[[", "]]"),
    "shell": ("[/", "/]"),
    "empty": ("(", ")"),
}


def emit_mermaid(graph: Graph, classes: Mapping[str, str] | None = None) -> str:
    """Write `flowchart LR` with one node a step and one edge an upstream, in source order.

    `classes` gives a step a CSS class by its key; the caller adds the `classDef` lines. An edge with a label shows a
    trigger rule other than all_success, a dotted one what a step is mapped over.
    """
    ids = {key: f"s{index}" for index, key in enumerate(graph.by_key)}
    lines = ["flowchart LR"]
    for step in graph.by_key.values():
        opening, closing = SHAPES[step.run.kind]
        lines.append(f'  {ids[step.key]}{opening}"{_text(_label(step))}"{closing}')
    for step in graph.by_key.values():
        label = "" if step.rule == "all_success" else f"|{step.rule}|"
        for upstream in step.upstreams:
            if upstream in ids:
                arrow = "-.->" if upstream == step.each else "-->"
                lines.append(f"  {ids[upstream]} {arrow}{label} {ids[step.key]}")
    for key, name in (classes or {}).items():
        if key in ids:
            lines.append(f"  class {ids[key]} {name}")
    return "\n".join(lines) + "\n"


def _label(step: Step) -> str:
    return f"{step.key}[]" if step.each is not None else step.key


def _text(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
