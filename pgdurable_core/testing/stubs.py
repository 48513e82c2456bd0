"""Fixed results in place of what steps do, each in the shape that steps of its kind have."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

from pgdurable_core.errors import UsageError
from pgdurable_core.graph.model import JsonValue
from pgdurable_core.worker.child import RefusedError, freeze

RETURNS = "pgdurable_core.testing.stubbed:result"
NO_RESULT = "do $$begin end$$"


def read_stub(text: str) -> tuple[str, JsonValue]:
    """Read `STEP=json` or `STEP=FILE`; what is JSON is never taken for a file. Raises UsageError."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"--stub {text!r} is not STEP=FILE or STEP=json")
    try:
        return key, read_json(value)
    except ValueError:
        pass
    try:
        return key, read_json(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the stub of {key} is no JSON, and there is no file {value!r} ({error.strerror})",
            hint="text is JSON in double quotes: --stub 'step=\"done\"'",
        ) from error
    except ValueError as error:
        raise UsageError(f"the stub of {key}: {value} is no JSON: {error}") from error


def read_json(text: str) -> JsonValue:
    """Read JSON with every digit of its numbers; raises ValueError for what only Python takes for JSON, too."""
    value: JsonValue = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    return value


def plain(value: object) -> JsonValue:
    """Return what becomes of a Python value when a step returns it. Raises UsageError for one without a JSON form."""
    try:
        return read_json(freeze(value))
    except RefusedError as error:
        raise UsageError(f"a stub cannot be that: {error}", hint=error.hint) from error


def check_names(stubs: Mapping[str, JsonValue], keys: Collection[str]) -> None:
    """Refuse stubs of steps that are not there, with what was probably meant."""
    for name in stubs:
        if name not in keys:
            near = get_close_matches(name, keys, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(keys)}"
            raise UsageError(f"no step is called {name!r}, so it cannot be stubbed", hint=hint)


def stub_run(key: str, kind: str, value: JsonValue) -> dict[str, JsonValue]:
    """Return the `run` of a step that ends with `value`, in the shape that later steps expect of its kind.

    A sql step gives rows: a list of objects, one object for one row, null for a statement without a result. A check
    may also be true or false, a branch a key or a list of keys. Python and shell steps return the value as it is.
    Raises UsageError for a value that a step of this kind cannot have.
    """
    match kind:
        case "python" | "shell":
            # The digits of numbers, but no name of the engine's, survive base64.
            text = base64.b64encode(freeze(value).encode()).decode()
            return {"kind": "python", "callable": RETURNS, "args": {"value": text}}
        case "sql" if value is None:
            return {"kind": kind, "sql": NO_RESULT}
        case "check" if isinstance(value, bool):
            value = {"ok": value}
        case "branch" if isinstance(value, str):
            value = {"choice": value}
        case "branch" if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
            value = [{"choice": item} for item in value]
        case "empty":
            raise UsageError(f"{key} does nothing, so there is nothing to stub")
    rows = [value] if isinstance(value, Mapping) else value
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not all(isinstance(row, Mapping) for row in rows):
        raise UsageError(
            f"the stub of {key} must be rows, since {key} is {'an' if kind == 'sql' else 'a'} {kind} step",
            hint='rows are a list of objects: [{"code": "DE"}, {"code": "FR"}]',
        )
    return {"kind": kind, "sql": rows_sql([row for row in rows if isinstance(row, Mapping)])}


def rows_sql(rows: Sequence[Mapping[str, JsonValue]]) -> str:
    """Write rows as a query: a column has one type, json where the values differ in theirs; a missing one is null."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return f"select from generate_series(1, {len(rows)})"
    types = [_type([row.get(name) for row in rows]) for name in columns]
    lines = [
        "(" + ", ".join(_cell(row.get(name), kind) for name, kind in zip(columns, types, strict=True)) + ")"
        for row in rows
    ]
    names = ", ".join(_identifier(name) for name in columns)
    return "select * from (values\n" + ",\n".join(lines) + f"\n) as stub({names})"


def _type(values: Sequence[JsonValue]) -> str:
    kinds = {_kind(value) for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 else "json" if kinds else "text"


def _kind(value: JsonValue) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float() | Decimal():
            return "numeric"
        case str():
            return "text"
    return "json"


def _cell(value: JsonValue, kind: str) -> str:
    if value is None:
        return f"null::{kind}"
    match kind:
        case "json":
            return f"{_literal(freeze(value))}::json"
        case "text":
            return f"{_literal(str(value))}::text"
        case "boolean":
            return f"{str(value).lower()}::boolean"
    return f"'{value}'::numeric"


def _literal(text: str) -> str:
    """Quote text so that nothing in it is a name to the engine, which looks for {name} inside of quotes too."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("{", "\\u007b") + "'"


def _identifier(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"' if "{" not in name else 'U&"' + quoted.replace("\\", "\\\\").replace("{", "\\007b") + '"'


def _no_number(text: str) -> JsonValue:
    raise ValueError(f"{text} is no JSON")
