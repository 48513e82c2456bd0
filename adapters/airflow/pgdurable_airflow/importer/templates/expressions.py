"""One Jinja expression to one SQL expression over the context, or a refusal that says what is not understood.

Airflow's side: task-sdk, airflow/sdk/execution_time/task_runner.py (context), definitions/_internal/templater.py and
sdk/execution_time/macros.py. Only what gives the same text for every value is here; the rest is refused, never guessed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from jinja2 import nodes

from pgdurable_airflow.importer.facts import Fact, Row, is_row, items

Kind = Literal["text", "moment", "number", "constant", "reference", "zone"]

TEXT_NAMES: Final = frozenset({"ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "run_id"})
MOMENT_NAMES: Final = frozenset({"logical_date", "data_interval_start", "data_interval_end"})
# Names that Airflow 2 has and Airflow 3 lost (airflow 2.11, models/taskinstance.py, get_template_context).
OLD_NAMES: Final = {
    "execution_date": "logical_date",
    "yesterday_ds": "macros.ds_add(ds, -1)",
    "yesterday_ds_nodash": "macros.ds_add(ds, -1) | replace('-', '')",
    "tomorrow_ds": "macros.ds_add(ds, 1)",
    "tomorrow_ds_nodash": "macros.ds_add(ds, 1) | replace('-', '')",
}
CONTEXT_NAMES: Final = TEXT_NAMES | MOMENT_NAMES | {
    "workflow", "step", "instance_id", "try_number", "map_index", "idempotency_key", "params", "item",
}  # fmt: skip

# Python's strftime to PostgreSQL's to_char (chapter 9.8), for the C locale and whole seconds.
_STRFTIME: Final = {
    "%Y": "YYYY", "%m": "MM", "%d": "DD", "%H": "HH24", "%M": "MI", "%S": "SS", "%y": "YY", "%j": "DDD",
    "%b": "Mon", "%a": "Dy", "%B": "FMMonth", "%A": "FMDay", "%I": "HH12", "%p": "AM",
}  # fmt: skip
_FILTER_FORMATS: Final = {"ds": "%Y-%m-%d", "ds_nodash": "%Y%m%d", "ts_nodash": "%Y%m%dT%H%M%S"}
_UNITS: Final = {"weeks": 604800, "days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


class UntranslatableError(Exception):
    """A template holds something this version does not understand; the message names it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """SQL for one value. `hint` suggests a bind name; a `constant` is its own text and no SQL.

    A `moment` is a timestamptz, which only a format turns into text; `plain` says that it is a context name as such.
    """

    sql: str
    kind: Kind
    hint: str = "value"
    plain: bool = False


Pull = Callable[[str, tuple[int, ...]], str]


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may refer to: the DAG's params, names of its own, and results of tasks.

    `pull` answers with `$step.col` for the result of a task and a row and column number, or raises. `note_old` hears of
    a name that this Airflow lost and of what it was read as.
    """

    dag_id: str
    task_id: str
    params: Mapping[str, Fact]
    airflow_major: int
    own_names: frozenset[str]
    own_filters: frozenset[str]
    pull: Pull
    note_old: Callable[[str, str], None] = lambda old, new: None


def quote(text: str) -> str:
    """Write text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def translate(node: nodes.Node, scope: Scope) -> Expression:
    """Turn a Jinja expression into SQL. Raises UntranslatableError."""
    match node:
        case nodes.Const():
            return Expression(str(node.value), "constant")
        case nodes.Name():
            return _name(node.name, scope)
        case nodes.Getattr():
            return _attribute(node, node.attr, scope)
        case nodes.Getitem() if isinstance(node.arg, nodes.Const):
            return _attribute(node, node.arg.value, scope)
        case nodes.Call():
            return _call(node, scope)
        case nodes.Filter() if node.node is not None:
            return _filter(node, scope)
        case nodes.Concat():
            return _joined([translate(part, scope) for part in node.nodes])
        case nodes.Add():
            moved = _moved(node, scope, 1)
            if moved is not None:
                return moved
            left, right = translate(node.left, scope), translate(node.right, scope)
            if "text" in (left.kind, right.kind) and {left.kind, right.kind} <= {"text", "constant"}:
                return _joined([left, right])
        case nodes.Sub():
            moved = _moved(node, scope, -1)
            if moved is not None:
                return moved
    raise UntranslatableError(show(node))


def show(node: nodes.Node) -> str:
    """Write a node back as something a person recognises."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Const():
            return repr(node.value)
        case nodes.Getattr():
            return f"{show(node.node)}.{node.attr}"
        case nodes.Getitem():
            return f"{show(node.node)}[{show(node.arg)}]"
        case nodes.Call():
            arguments = [show(argument) for argument in node.args]
            arguments += [f"{pair.key}={show(pair.value)}" for pair in node.kwargs]
            return f"{show(node.node)}({', '.join(arguments)})"
        case nodes.Filter():
            return f"{show(node.node) if node.node else ''} | {node.name}"
        case nodes.BinExpr():
            return f"{show(node.left)} {node.operator} {show(node.right)}"
        case nodes.UnaryExpr():
            return f"{node.operator}{show(node.node)}"
        case _:
            return type(node).__name__.lower()


def _name(name: str, scope: Scope) -> Expression:
    if name in scope.own_names:
        raise UntranslatableError(f"{name} (user_defined_macros)")
    if name in TEXT_NAMES:
        return Expression(name, "text", name, plain=True)
    if name in MOMENT_NAMES:
        return Expression(name, "moment", name, plain=True)
    if name in OLD_NAMES:
        if scope.airflow_major >= 3:
            scope.note_old(name, OLD_NAMES[name])
        if name == "execution_date":
            return Expression("logical_date", "moment", "logical_date", plain=True)
        day = f"df.ds_add(ds, {-1 if name.startswith('yesterday') else 1})"
        return Expression(f"replace({day}, '-', '')" if name.endswith("_nodash") else day, "text", name)
    raise UntranslatableError(name)


def _attribute(node: nodes.Getattr | nodes.Getitem, name: object, scope: Scope) -> Expression:
    owner = node.node
    if isinstance(owner, nodes.Name) and isinstance(name, str) and owner.name not in scope.own_names:
        match owner.name, name:
            case "params", _:
                return _param(name, scope)
            case ("dag", "dag_id") | ("ti" | "task_instance", "dag_id"):
                return Expression(scope.dag_id, "constant")
            case ("task", "task_id") | ("ti" | "task_instance", "task_id"):
                return Expression(scope.task_id, "constant")
            case "dag_run", "run_id":
                return Expression("run_id", "text", "run_id", plain=True)
            case (("ti" | "task_instance"), "try_number"):
                return Expression("try_number", "number", "try_number", plain=True)
            case (("ti" | "task_instance"), "map_index"):
                return Expression("map_index", "number", "map_index", plain=True)
            case "dag_run", "logical_date":
                return Expression("logical_date", "moment", "logical_date", plain=True)
    if isinstance(node, nodes.Getitem) and isinstance(name, int):
        path: list[int] = [name]
        inner: nodes.Node = owner
        while isinstance(inner, nodes.Getitem) and isinstance(inner.arg, nodes.Const):
            path.insert(0, inner.arg.value)
            inner = inner.node
        if isinstance(inner, nodes.Call):
            return _pulled(inner, tuple(path), scope)
    raise UntranslatableError(show(node))


def _param(name: str, scope: Scope) -> Expression:
    if name not in scope.params:
        raise UntranslatableError(f"params.{name}, which the DAG does not declare")
    match param_type(scope.params[name]):
        case "string" | "integer":
            return Expression(f"params ->> {quote(name)}", "text", name if name.isidentifier() else "param")
        case "boolean":
            return Expression(f"initcap(params ->> {quote(name)})", "text", name if name.isidentifier() else "param")
        case kind:
            raise UntranslatableError(f"params.{name}, whose type ({kind}) Python and SQL write differently")


def param_type(param: Fact) -> str:
    """Say which JSON type a param has: from its schema, else from its enum and default."""
    row: Row = param if is_row(param) else {"value": param}
    schema = items(row.get("schema"))
    declared = schema.get("type")
    if isinstance(declared, str):
        return declared
    if isinstance(declared, list):
        return "several"
    enum = schema.get("enum")
    samples = enum if isinstance(enum, list) and enum else [row.get("value")]
    kinds = {_json_type(sample) for sample in samples}
    return kinds.pop() if len(kinds) == 1 else "several"


def _json_type(value: Fact) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case _:
            return "array or object"


def _call(node: nodes.Call, scope: Scope) -> Expression:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise UntranslatableError(show(node))
    target = node.node
    if isinstance(target, nodes.Getattr):
        if isinstance(target.node, nodes.Name) and target.node.name == "macros":
            return _macro(node, target.attr, scope)
        if target.attr == "xcom_pull":
            return _pulled(node, (), scope)
        arguments = [argument.value for argument in node.args if isinstance(argument, nodes.Const)]
        if len(arguments) == len(node.args):
            moment = translate(target.node, scope)
            if moment.kind == "moment":
                return _on_moment(node, moment, target.attr, arguments)
    raise UntranslatableError(show(node))


def _on_moment(node: nodes.Call, moment: Expression, method: str, arguments: list[object]) -> Expression:
    match method, arguments:
        case "strftime", [str(pattern)] if not node.kwargs:
            return _formatted(moment, pattern)
        case "date", [] if not node.kwargs:
            return _formatted(moment, "%Y-%m-%d")
        case "to_date_string", [] if not node.kwargs:
            return _formatted(moment, "%Y-%m-%d")
        case (("add" | "subtract"), []) if node.kwargs:
            sign = 1 if method == "add" else -1
            return _shifted(moment, sign * _length(node))
    raise UntranslatableError(show(node))


def _macro(node: nodes.Call, name: str, scope: Scope) -> Expression:
    match name, node.args:
        case "ds_add", [first, second] if not node.kwargs:
            day, days = translate(first, scope), _whole(second, scope)
            hint = f"{day.hint}_{days.hint}" if day.plain else days.hint
            return Expression(f"df.ds_add({_sql(day)}, {days.sql})", "text", hint)
        case "ds_format", [first, nodes.Const(value=str(old)), nodes.Const(value=str(new))] if not node.kwargs:
            day = translate(first, scope)
            return Expression(f"df.ds_format({_sql(day)}, {quote(old)}, {quote(new)})", "text", f"{day.hint}_formatted")
    raise UntranslatableError(show(node))


def _whole(node: nodes.Node, scope: Scope) -> Expression:
    """Read a whole number: a constant, a param, or the negative of one."""
    match node:
        case nodes.Const(value=int(number)) if not isinstance(number, bool):
            return Expression(str(number), "number", f"plus_{number}" if number >= 0 else f"minus_{-number}")
        case nodes.Neg():
            inner = _whole(node.node, scope)
            hint = inner.hint.removeprefix("plus_") if inner.hint.startswith("plus_") else inner.hint
            return Expression(f"-{inner.sql}", "number", f"minus_{hint}")
        case nodes.Getattr() | nodes.Getitem() | nodes.Filter():
            inner = translate(node.node if isinstance(node, nodes.Filter) and node.node else node, scope)
            if isinstance(node, nodes.Filter) and node.name != "int":
                raise UntranslatableError(show(node))
            if inner.sql.startswith("params ->> "):
                return Expression(f"({inner.sql})::int", "number", f"plus_{inner.hint}")
    raise UntranslatableError(show(node))


def _filter(node: nodes.Filter, scope: Scope) -> Expression:
    assert node.node is not None
    if node.name in scope.own_filters:
        raise UntranslatableError(f"{show(node)} (user_defined_filters)")
    value = translate(node.node, scope)
    arguments = [argument.value for argument in node.args if isinstance(argument, nodes.Const)]
    if len(arguments) != len(node.args) or node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise UntranslatableError(show(node))
    match node.name, value.kind, arguments:
        case (("ds" | "ds_nodash" | "ts_nodash"), "moment", []):
            return _formatted(value, _FILTER_FORMATS[node.name])
        case (("string" | "trim" | "upper" | "lower"), "text", []):
            if node.name == "string":
                return value
            function = {"trim": "btrim", "upper": "upper", "lower": "lower"}[node.name]
            return Expression(f"{function}({value.sql})", "text", f"{value.hint}_{node.name}")
        case "replace", "text", [str(old), str(new)] if old:
            return Expression(f"replace({value.sql}, {quote(old)}, {quote(new)})", "text", f"{value.hint}_replaced")
    raise UntranslatableError(show(node))


def _moved(node: nodes.BinExpr, scope: Scope, sign: int) -> Expression | None:
    """Read a moment plus or minus `macros.timedelta(…)`."""
    length = node.right
    if not (isinstance(length, nodes.Call) and show(length.node) in ("macros.timedelta", "macros.datetime.timedelta")):
        return None
    moment = translate(node.left, scope)
    return _shifted(moment, sign * _length(length)) if moment.kind == "moment" else None


def _length(node: nodes.Call) -> int:
    total = 0
    if len(node.args) == 1 and isinstance(node.args[0], nodes.Const) and isinstance(node.args[0].value, int):
        total = node.args[0].value * _UNITS["days"]
    elif node.args:
        raise UntranslatableError(show(node))
    for pair in node.kwargs:
        value = pair.value
        negative = isinstance(value, nodes.Neg)
        inner = value.node if isinstance(value, nodes.Neg) else value
        if pair.key not in _UNITS or not isinstance(inner, nodes.Const) or not isinstance(inner.value, int):
            raise UntranslatableError(show(node))
        total += _UNITS[pair.key] * (-inner.value if negative else inner.value)
    return total


def _shifted(moment: Expression, seconds: int) -> Expression:
    if seconds % 86400 == 0:
        amount, hint = f"{abs(seconds) // 3600} hours", f"{abs(seconds) // 86400}_days"
    else:
        amount, hint = f"{abs(seconds)} seconds", f"{abs(seconds)}_seconds"
    sign, word = ("-", "minus") if seconds < 0 else ("+", "plus")
    return Expression(f"({moment.sql} {sign} interval '{amount}')", "moment", f"{moment.hint}_{word}_{hint}")


def _formatted(moment: Expression, pattern: str) -> Expression:
    parts: list[str] = []
    for piece in re.findall(r"%.|[^%]+|%", pattern):
        if piece in _STRFTIME:
            parts.append(_STRFTIME[piece])
        elif piece.startswith("%") and piece != "%%":
            raise UntranslatableError(f"strftime({pattern!r})")
        else:
            text = "%" if piece == "%%" else piece
            if '"' in text or "\\" in text:
                raise UntranslatableError(f"strftime({pattern!r})")
            parts.append(text if re.fullmatch(r"[-/.,: ]+", text) else f'"{text}"')
    sql = f"to_char({moment.sql} at time zone 'UTC', {quote(''.join(parts))})"
    return Expression(sql, "text", f"{moment.hint}_text")


def _joined(parts: list[Expression]) -> Expression:
    if any(part.kind not in ("text", "number", "constant") for part in parts):
        raise UntranslatableError("a join of something that is no text")
    if all(part.kind == "constant" for part in parts):
        return Expression("".join(part.sql for part in parts), "constant")
    # `||` and `->>` bind alike, from the left: what is no plain name is bracketed.
    written = [_sql(part) if part.plain or part.kind == "constant" else f"({_sql(part)})" for part in parts]
    return Expression(" || ".join(written), "text", "joined")


def _sql(part: Expression) -> str:
    if part.kind == "constant":
        return quote(part.sql)
    if part.kind == "number":
        return f"{part.sql}::text"
    if part.kind != "text":
        raise UntranslatableError("a date where text is wanted")
    return part.sql


def _pulled(node: nodes.Call, path: tuple[int, ...], scope: Scope) -> Expression:
    target = node.node
    owners = ("ti", "task_instance")
    if not (
        isinstance(target, nodes.Getattr)
        and target.attr == "xcom_pull"
        and isinstance(target.node, nodes.Name)
        and target.node.name in owners
    ):
        raise UntranslatableError(show(node))
    named = {pair.key: pair.value for pair in node.kwargs}
    task = node.args[0] if node.args else named.pop("task_ids", None)
    key = named.pop("key", None)
    if isinstance(key, nodes.Const) and key.value == "return_value":
        key = None
    if not isinstance(task, nodes.Const) or not isinstance(task.value, str) or key or named or len(node.args) > 1:
        raise UntranslatableError(show(node))
    return Expression(scope.pull(task.value, path), "reference")
