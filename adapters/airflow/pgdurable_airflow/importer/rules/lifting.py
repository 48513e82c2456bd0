"""A branch function over params to a CASE expression, with the proof that both agree.

The function's syntax gives the SQL. The proof does not trust that: the child ran the original for every combination of
values, and the SQL is evaluated for each by an evaluator of its own over sqlglot's tree.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from pgdurable_airflow.importer.facts import CallableFacts, Fact
from pgdurable_airflow.importer.rules.mapping import function_node
from pgdurable_airflow.importer.templates import param_type
from pgdurable_airflow.importer.templates.expressions import quote


class NotLiftableError(Exception):
    """The function cannot be turned into SQL; the message says why."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A lifted branch: its SQL, the tasks it can choose, the params it looks at, and the original in one line."""

    sql: str
    targets: tuple[str, ...]
    params: tuple[str, ...]
    original: str


def lift_branch(facts: CallableFacts, rows: Sequence[tuple[object, object]], params: Mapping[str, Fact]) -> Lifted:
    """Turn the function into `select case … end`, proven against `rows` (params, answer). Raises NotLiftableError."""
    node = function_node(facts)
    if not isinstance(node, ast.FunctionDef) or not rows:
        raise NotLiftableError("its source cannot be found")
    body = [statement for statement in node.body if not _is_constant(statement)]
    writer = _Writer(params)
    sql = f"select {writer.block(body)}"
    for values, answer in rows:
        if not isinstance(values, dict) or not isinstance(answer, str):
            raise NotLiftableError("it returns something other than one task id")
        if _evaluate(sql, values) != answer:
            raise NotLiftableError(f"SQL and Python differ for {json.dumps(values)}")
    answers = dict.fromkeys(str(answer) for _, answer in rows)
    original = "; ".join(" ".join(ast.unparse(statement).split()) for statement in body).replace("'", '"')
    return Lifted(sql, tuple(answers), tuple(sorted(writer.read)), original)


class _Writer:
    def __init__(self, params: Mapping[str, Fact]) -> None:
        self.params = params
        self.read: set[str] = set()

    def block(self, body: Sequence[ast.stmt]) -> str:
        """Write statements that end in a return as one expression."""
        match list(body):
            case [ast.Return(value=value), *_] if value is not None:
                return self.value(value)
            case [ast.If(test=test, body=then, orelse=other), *rest]:
                otherwise = self.block([*other, *rest])
                return _case(self.condition(test), self.block([*then, *rest]), otherwise)
        raise NotLiftableError("not every path returns a task id")

    def value(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=str(text)):
                return quote(text)
            case ast.IfExp(test=test, body=then, orelse=other):
                return _case(self.condition(test), self.value(then), self.value(other))
        raise NotLiftableError(f"it returns `{ast.unparse(node)}`")

    def condition(self, node: ast.expr) -> str:
        match node:
            case ast.BoolOp(op=op, values=values):
                word = " and " if isinstance(op, ast.And) else " or "
                return "(" + word.join(self.condition(value) for value in values) + ")"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"not ({self.condition(operand)})"
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.comparison(left, op, right)
            case ast.Subscript():
                name = self.param(node)
                if param_type(self.params.get(name)) == "boolean":
                    return f"$params.{name}"
        raise NotLiftableError(f"`{ast.unparse(node)}` has no counterpart in SQL")

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> str:
        if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple | ast.Set) and right.elts:
            words = ", ".join(self.operand(element) for element in right.elts)
            return f"{self.operand(left)} {'in' if isinstance(op, ast.In) else 'not in'} ({words})"
        match op:
            case ast.Eq() | ast.NotEq():
                return f"{self.operand(left)} {'=' if isinstance(op, ast.Eq) else '<>'} {self.operand(right)}"
            case ast.Is() | ast.IsNot() if isinstance(right, ast.Constant) and isinstance(right.value, bool):
                return f"{self.operand(left)} {'=' if isinstance(op, ast.Is) else '<>'} {self.operand(right)}"
        raise NotLiftableError(
            f"`{ast.unparse(op)}` is not proven equal in SQL"
            if False
            else "a comparison that Python and SQL may order differently"
        )

    def operand(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=bool(flag)):
                return "true" if flag else "false"
            case ast.Constant(value=str(text)):
                return quote(text)
            case ast.Constant(value=int(number)):
                return str(number)
            case ast.Subscript():
                return f"$params.{self.param(node)}"
        raise NotLiftableError(f"`{ast.unparse(node)}` has no counterpart in SQL")

    def param(self, node: ast.Subscript) -> str:
        match node.slice:
            case ast.Constant(value=str(name)) if name.isidentifier() and name.isascii():
                if param_type(self.params.get(name)) not in ("string", "boolean", "integer"):
                    raise NotLiftableError(f"the values of params.{name} are of several types")
                self.read.add(name)
                return name
        raise NotLiftableError(f"`{ast.unparse(node)}` cannot be named in SQL")


def _case(condition: str, then: str, otherwise: str) -> str:
    if otherwise.startswith("case "):
        return f"case when {condition} then {then} {otherwise.removeprefix('case ')}"
    return f"case when {condition} then {then} else {otherwise} end"


def _is_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _evaluate(sql: str, values: Mapping[str, object]) -> object:
    """Evaluate a lifted branch for given params, by SQL's rules for the few nodes a branch is made of."""
    text = sql
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"$params.{name}", _shown(values[name]))
    query = sqlglot.parse_one(text, dialect="postgres")
    return _value(query.expressions[0])


def _shown(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return quote(value)
    raise NotLiftableError(f"a param can be {value!r}")


def _value(node: "exp.Expr") -> object:
    match node:
        case exp.Paren():
            return _value(node.this)
        case exp.Case():
            for when in node.args["ifs"]:
                if _value(when.this) is True:
                    return _value(when.args["true"])
            return _value(node.args["default"])
        case exp.Literal():
            return str(node.this) if node.is_string else int(node.this)
        case exp.Neg():
            inner = _value(node.this)
            return -inner if isinstance(inner, int) else None
        case exp.Boolean():
            return bool(node.this)
        case exp.And():
            return _value(node.left) is True and _value(node.right) is True
        case exp.Or():
            return _value(node.left) is True or _value(node.right) is True
        case exp.Not():
            return _value(node.this) is not True
        case exp.EQ() | exp.NEQ():
            left, right = _value(node.left), _value(node.right)
            if type(left) is not type(right):
                raise NotLiftableError("it compares values of different types")
            return (left == right) is isinstance(node, exp.EQ)
        case exp.In():
            left, others = _value(node.this), [_value(other) for other in node.expressions]
            if any(type(other) is not type(left) for other in others):
                raise NotLiftableError("it compares values of different types")
            return left in others
    raise NotLiftableError(f"the SQL holds {type(node).__name__}")
