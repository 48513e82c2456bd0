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
    if not isinstance(node, ast.FunctionDef) or [argument.arg for argument in node.args.args] not in ([_NAME], []):
        return None
    if node.args.vararg or node.args.kwonlyargs or node.args.defaults or node.args.posonlyargs:
        return None
    context = node.args.kwarg.arg if node.args.kwarg else None
    if not node.args.args and context is None:
        return None
    inside = [each for statement in node.body for each in ast.walk(statement)]
    read = [
        inner
        for inner in inside
        if isinstance(inner, ast.Subscript) and _reads_params(inner, None if node.args.args else context)
    ]
    if not all(isinstance(inner, PURE_NODES) for inner in inside):
        return None
    keys = [_key(inner) for inner in read]
    # Every name is the root of a read, and every other subscript is the `context["params"]` in one.
    named = sum(isinstance(inner, ast.Name) for inner in inside)
    others = sum(isinstance(inner, ast.Subscript) for inner in inside) - len(read)
    names = {key for key in keys if isinstance(key, str)}
    if len(names) != len(set(keys)) or len(read) != named or others != (0 if node.args.args else len(read)):
        return None
    domains: list[tuple[str, list[Value]]] = []
    for name in sorted(names):
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
            answer = machine.follow(function, [], {_NAME: dict(row)}, node)
        except Raises as error:
            return {"raises": str(error)}
        if isinstance(answer, Unknown):
            return None
        rows.append([encode(row), encode(answer)])
    return {"rows": rows, "by": "syntax"}


def _reads_params(node: ast.Subscript, context: str | None) -> bool:
    """Say whether this is a key of the params: of that argument, or of `context["params"]`."""
    whole = node.value
    if context is None:
        return isinstance(whole, ast.Name) and whole.id == _NAME
    root = isinstance(whole, ast.Subscript) and isinstance(whole.value, ast.Name) and whole.value.id == context
    return root and isinstance(whole, ast.Subscript) and _key(whole) == _NAME


def _key(node: ast.Subscript) -> object:
    return node.slice.value if isinstance(node.slice, ast.Constant) else None


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
