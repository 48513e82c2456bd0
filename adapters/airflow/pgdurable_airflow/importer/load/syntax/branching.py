"""A branch that looks at nothing but params: its syntax evaluated for every value they can take."""

import ast
import itertools
from collections.abc import Callable, Mapping
from typing import Final

from pgdurable_airflow.importer.facts import Fact
from pgdurable_airflow.importer.load.child import MAX_COMBINATIONS, PURE_NODES
from pgdurable_airflow.importer.load.syntax.machine import Machine, Raises
from pgdurable_airflow.importer.load.syntax.values import Function, Made, Unknown, Value, is_plain

_NAME: Final = "params"


def branch_table(
    machine: Machine, function: Function, params: Mapping[str, Value], encode: Callable[[Value], Fact]
) -> Fact:
    """Answer as the child does (load/child.py, branch_table), with the answers of the syntax in place of the run."""
    node = function.node
    if not isinstance(node, ast.FunctionDef) or [argument.arg for argument in node.args.args] != [_NAME]:
        return None
    if node.args.vararg or node.args.kwarg or node.args.kwonlyargs or node.args.defaults:
        return None
    read: set[str] = set()
    subscripted = named = 0
    for inner in (each for statement in node.body for each in ast.walk(statement)):
        if not isinstance(inner, PURE_NODES) or (isinstance(inner, ast.Name) and inner.id != _NAME):
            return None
        named += isinstance(inner, ast.Name)
        if isinstance(inner, ast.Subscript):
            subscripted += 1
            key = inner.slice.value if isinstance(inner.slice, ast.Constant) else None
            if not (isinstance(inner.value, ast.Name) and isinstance(key, str)):
                return None
            read.add(key)
    if named != subscripted:
        return None
    domains: list[tuple[str, list[Value]]] = []
    for name in sorted(read):
        domain = _domain(params.get(name))
        if domain is None:
            return {"open": name}
        domains.append((name, domain))
    rows: list[Fact] = []
    for values in itertools.product(*[domain for _, domain in domains]):
        if len(rows) == MAX_COMBINATIONS:
            return None
        row = dict(zip([name for name, _ in domains], values, strict=True))
        try:
            answer = machine.follow(function, [dict(row)], {}, node)
        except Raises as error:
            return {"raises": str(error)}
        if isinstance(answer, Unknown):
            return None
        rows.append([encode(row), encode(answer)])
    return {"rows": rows, "by": "syntax"}


def _domain(param: Value) -> list[Value] | None:
    if not (isinstance(param, Made) and param.kind == "param"):
        return None
    schema = param.kwargs
    enum = schema.get("enum")
    if isinstance(enum, list | tuple) and is_plain(enum):
        return list(enum)
    if "const" in schema and is_plain(schema["const"]):
        return [schema["const"]]
    return [False, True] if schema.get("type") == "boolean" else None
