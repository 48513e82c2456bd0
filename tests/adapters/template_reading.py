"""An engine in miniature: puts names into text as the engine's contract says, in pure Python.

Enough of SQL to evaluate the bind expressions the importer writes; anything else is an error.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlglot
from sqlglot import exp

_FORMATS = (
    ("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ("HH24", "%H"), ("MI", "%M"), ("SS", "%S"), ("YY", "%y"),
)  # fmt: skip


def context_texts(moment: datetime) -> dict[str, str]:
    """Give the context names as text, in Airflow's formats."""
    ts = moment.isoformat()
    shown = str(moment)
    return {
        "ds": moment.strftime("%Y-%m-%d"),
        "ds_nodash": moment.strftime("%Y%m%d"),
        "ts": ts,
        "ts_nodash": moment.strftime("%Y%m%dT%H%M%S"),
        "ts_nodash_with_tz": ts.replace("-", "").replace(":", ""),
        "run_id": f"scheduled__{ts}",
        "logical_date": shown,
        "data_interval_start": shown,
        "data_interval_end": shown,
    }


def substitute(text: str, bind: Mapping[str, str], moment: datetime) -> str:
    """Put names in, in one pass: binds, then context names; what is unknown stays."""
    known = {**context_texts(moment), **bind}
    return re.sub(r"\{([A-Za-z_]\w*)\}", lambda match: known.get(match[1], match[0]), text)


def evaluate(sql: str, context: Mapping[str, object]) -> str:
    """Evaluate a bind expression to text."""
    return str(_value(sqlglot.parse_one(f"select {sql}", dialect="postgres").expressions[0], context))


def _value(node: "exp.Expr", context: Mapping[str, object]) -> object:
    moment = context["moment"]
    assert isinstance(moment, datetime)
    match node:
        case exp.Paren():
            return _value(node.this, context)
        case exp.Literal():
            return str(node.this) if node.is_string else int(node.this)
        case exp.Neg():
            number = _value(node.this, context)
            assert isinstance(number, int)
            return -number
        case exp.Column():
            return moment if node.name.startswith(("logical", "data")) else context_texts(moment)[node.name]
        case exp.JSONExtractScalar():
            params = context["params"]
            assert isinstance(params, dict)
            key = node.expression.find(exp.JSONPathKey)
            assert key is not None
            value = params[str(key.this)]
            return str(value).lower() if isinstance(value, bool) else str(value)
        case exp.Cast():
            value = _value(node.this, context)
            assert isinstance(value, str | int)
            return int(value) if node.to.is_type("int") else str(value)
        case exp.Initcap():
            return str(_value(node.this, context)).capitalize()
        case exp.Upper():
            return str(_value(node.this, context)).upper()
        case exp.DPipe():
            return str(_value(node.left, context)) + str(_value(node.right, context))
        case exp.AtTimeZone():
            return _value(node.this, context)
        case exp.Sub() | exp.Add():
            left = _value(node.left, context)
            assert isinstance(left, datetime)
            hours = int(str(node.right.this.this)) if node.right.this else 0
            length = timedelta(hours=hours) if "HOUR" in node.right.sql().upper() else timedelta(seconds=hours)
            return left - length if isinstance(node, exp.Sub) else left + length
        case exp.ToChar() | exp.TimeToStr():
            value, shape = _value(node.this, context), _shape(node)
            assert isinstance(value, datetime)
            return value.strftime(shape)
        case exp.Dot() if isinstance(node.expression, exp.Anonymous):
            name = str(node.expression.this).lower()
            arguments = [_value(each, context) for each in node.expression.expressions]
            if name == "ds_add":
                day, days = arguments
                return (datetime.strptime(str(day), "%Y-%m-%d") + timedelta(days=int(str(days)))).strftime("%Y-%m-%d")
            if name == "ds_format":
                day, old, new = (str(each) for each in arguments)
                return datetime.strptime(day, old).strftime(new)
    raise NotImplementedError(repr(node))


def _shape(node: "exp.Expr") -> str:
    """Read the format of to_char; sqlglot already turned it into strftime's words where it knows the function."""
    text = str(node.args["format"].this if isinstance(node.args["format"], exp.Literal) else node.args["format"])
    if "%" in text:
        return text.replace('"T"', "T")
    for theirs, ours in _FORMATS:
        text = text.replace(theirs, ours)
    return text.replace('"', "")
