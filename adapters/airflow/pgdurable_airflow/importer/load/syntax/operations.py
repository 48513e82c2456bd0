"""Operators between values: Python's own between known ones, edges between tasks, Unknown for all else."""

import ast
import operator
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import PurePath
from typing import Any, Final

from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Dag,
    Group,
    Instance,
    Label,
    Made,
    Task,
    Unknown,
    Value,
    XCom,
    XComMap,
    XComOther,
    first_unknown,
    is_plain,
)

MAX_TEXT: Final = 2_000_000
_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_, ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
}  # fmt: skip
_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda one, other: one in other, ast.NotIn: lambda one, other: one not in other,
}  # fmt: skip
Node = Task | XCom | XComMap | XComOther | Group | Label
_NODES: Final = (Task, XCom, XComMap, XComOther, Group, Label)


def is_node(value: Value) -> bool:
    """Say whether a value can stand on a side of an edge."""
    return isinstance(value, _NODES) or (isinstance(value, Instance) and value.task is not None)


def holds_node(value: Value) -> bool:
    return is_node(value) or (isinstance(value, list | tuple) and any(holds_node(each) for each in value))


def binary(machine: Machine, op: ast.operator, left: Value, right: Value, node: ast.AST) -> Value:
    """Compute `left op right`."""
    from pgdurable_airflow.importer.load.syntax.edges import connect

    if isinstance(op, ast.RShift | ast.LShift) and (
        holds_node(left) or holds_node(right) or isinstance(left, Unknown) or isinstance(right, Unknown)
    ):
        upstream, downstream = (left, right) if isinstance(op, ast.RShift) else (right, left)
        return connect(machine, upstream, downstream, right, node)
    unknown = first_unknown(left) if not isinstance(left, list | tuple | dict) else None
    if unknown is None and not isinstance(right, list | tuple | dict):
        unknown = first_unknown(right)
    if unknown is not None:
        return unknown
    if isinstance(left, list | tuple | dict) and type(left) is type(right) and isinstance(op, ast.Add | ast.BitOr):
        return _joined(op, left, right)
    if isinstance(left, Made) and isinstance(op, ast.BitAnd | ast.BitOr):
        return Made("airflow.sdk.AssetExpression", (left, right), {})
    if isinstance(op, ast.Mult) and isinstance(left, list | tuple) and isinstance(right, int):
        return left * right if len(left) * max(right, 0) <= 20_000 else machine.unknown("a very long list", node)
    if not (is_plain(left) and is_plain(right)):
        return machine.unknown(f"`{_text(node)}`", node)
    if _is_too_large(op, left, right):
        return machine.unknown("a very large value", node)
    try:
        return _BINARY[type(op)](left, right)
    except KeyError:
        return machine.unknown(f"`{_text(node)}`", node)
    except Exception as error:
        raise machine.raises(type(error).__name__, str(error), node) from error


def _joined(op: ast.operator, left: Value, right: Value) -> Value:
    if isinstance(left, dict) and isinstance(right, dict):
        return {**left, **right}
    if isinstance(left, list) and isinstance(right, list):
        return [*left, *right]
    if isinstance(left, tuple) and isinstance(right, tuple):
        return (*left, *right)
    return None


def _is_too_large(op: ast.operator, left: Value, right: Value) -> bool:
    if isinstance(op, ast.Mult):
        for text, count in ((left, right), (right, left)):
            if isinstance(text, str | bytes) and isinstance(count, int):
                return len(text) * max(count, 0) > MAX_TEXT
        return isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > 100_000
    if isinstance(op, ast.Pow):
        return not (isinstance(left, int | float) and isinstance(right, int | float) and abs(left) < 1e6 and right < 64)
    if isinstance(op, ast.LShift):
        return not (isinstance(right, int) and right < 1024)
    if isinstance(op, ast.Mod) and isinstance(left, str | bytes):
        return re.search(r"\d{5}|\*", str(left)) is not None
    return False


def compare(machine: Machine, node: ast.Compare, left: Value, rights: list[Value]) -> Value:
    """Compute a chain of comparisons."""
    current = left
    for op, right in zip(node.ops, rights, strict=True):
        if isinstance(op, ast.Is | ast.IsNot):
            answer = _identity(machine, op, current, right, node)
        elif (unknown := first_unknown(current) or first_unknown(right)) is not None:
            return unknown
        elif is_plain(current) and is_plain(right):
            try:
                answer = _COMPARE[type(op)](current, right)
            except Exception as error:
                raise machine.raises(type(error).__name__, str(error), node) from error
        elif isinstance(op, ast.In | ast.NotIn) and isinstance(right, dict | list | tuple | set):
            answer = any(each is current for each in right) is isinstance(op, ast.In)
        elif isinstance(op, ast.Eq | ast.NotEq):
            answer = (current is right) is isinstance(op, ast.Eq)
        else:
            return machine.unknown(f"`{_text(node)}`", node)
        if isinstance(answer, Unknown) or not answer:
            return answer
        current = right
    return True


def _identity(machine: Machine, op: ast.cmpop, left: Value, right: Value, node: ast.AST) -> Value:
    if isinstance(left, Unknown):
        return left
    if isinstance(right, Unknown):
        return right
    singles = (None, True, False)
    same = left is right if any(right is each or left is each for each in singles) else None
    if same is None:
        same = left is right
    return same if isinstance(op, ast.Is) else not same


def text_of(machine: Machine, value: Value, node: ast.AST, conversion: int = -1, form: str = "") -> Value:
    """Write a value as text, as an f-string or str() does; Unknown for what has no text of its own."""
    from pgdurable_airflow.importer.load.syntax.encoding import xcom_text

    unknown = first_unknown(value)
    if unknown is not None:
        return unknown
    if isinstance(value, XCom) and conversion in (-1, 115) and not form:
        return xcom_text(value)
    if not is_plain(value) or isinstance(value, set | frozenset) or re.search(r"\d{5}", form):
        return machine.unknown("the text of an object", node)
    # A date made by pendulum and one of Python's own are written differently; only their own formats agree.
    if isinstance(value, date | timedelta) and conversion == 114:
        return machine.unknown("the repr of a date", node)
    if isinstance(value, PurePath) and conversion == 114:
        return machine.unknown("the repr of a path", node)
    try:
        if conversion == 114:
            return format(repr(value), form)
        return format(str(value) if conversion == 115 else value, form)
    except Exception as error:
        raise machine.raises(type(error).__name__, str(error), node) from error


def _text(node: ast.AST) -> str:
    try:
        return " ".join(ast.unparse(node).split())[:80]
    except Exception:
        return type(node).__name__


def is_true(value: Value) -> bool | None:
    """Say whether a value counts as true; None where that is not known."""
    if isinstance(value, Unknown):
        return None
    if isinstance(value, Instance) and value.cls.find("__bool__") is None and value.cls.find("__len__") is None:
        return True
    if isinstance(value, Group):
        return True
    if isinstance(value, Dag | Task | XCom | Made):
        return True
    try:
        return bool(value)
    except Exception:
        return None
