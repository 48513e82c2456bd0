"""Values as JSON, in the child's words (`encode` of load/child.py); what is not known carries its reason and line."""

import base64
import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import PurePath
from typing import Any, cast

from pgdurable_airflow.importer.facts import Fact
from pgdurable_airflow.importer.load.child import MAX_DEPTH, MAX_ITEMS, MAX_TEXT
from pgdurable_airflow.importer.load.syntax import callables, library
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Bound,
    Class,
    Decorated,
    Doubt,
    Function,
    GroupArgument,
    Imported,
    Instance,
    Made,
    Partial,
    Unknown,
    Value,
    XCom,
    XComMap,
    XComOther,
)


def unknown_fact(doubt: Doubt) -> dict[str, Fact]:
    """Write what is not known, and where."""
    return {"$": "unknown", "what": doubt.what, "file": doubt.file, "line": doubt.line}


def doubt_fact(doubt: Doubt) -> dict[str, Fact]:
    return {"what": doubt.what, "file": doubt.file, "line": doubt.line}


def xcom_text(value: XCom) -> Value:
    """Write a result inside a text, as Airflow's XComArg writes itself."""
    dag = value.task.dag
    dag_id = f", dag_id='{dag.dag_id}'" if dag is not None else ""
    return f"{{{{ task_instance.xcom_pull(task_ids='{value.task.task_id}'{dag_id}, key='{value.key}') }}}}"


class Encoder:
    """Turns values of one reading into JSON."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def callable(self, value: Value) -> dict[str, Fact]:
        return callables.facts_of(self.machine, value, lambda inner: self(inner, MAX_DEPTH - 3))

    def __call__(self, value: Value, depth: int = 0) -> Fact:
        value = self.machine.settled(value)
        if value is None or isinstance(value, bool):
            return value
        match value:
            case str():
                return value if len(value) <= MAX_TEXT else {"$": "toolong", "length": len(value)}
            case int():
                return value
            case float():
                finite = value == value and abs(value) != float("inf")
                return value if finite else {"$": "float", "text": repr(value)}
        if depth > MAX_DEPTH:
            return {"$": "deep"}
        match value:
            case datetime():
                return {"$": "datetime", "iso": value.isoformat(), "zone": zone_name(value.tzinfo)}
            case date():
                return {"$": "date", "iso": value.isoformat()}
            case timedelta():
                return {"$": "timedelta", "seconds": value.total_seconds()}
            case Unknown():
                return unknown_fact(value.why)
            case XCom() | XComMap() | XComOther():
                return self._xcom(value, depth)
            case GroupArgument():
                return {"$": "mapped", "key": value.key}
            case Made():
                return self._made(value, depth)
            case dict():
                return self._dict(value, depth)
            case list() | tuple() | range():
                return self._list(value, depth)
            case set() | frozenset():
                items = [self(inner, depth + 1) for inner in value]
                return {"$": "set", "items": sorted(items, key=lambda item: json.dumps(item, sort_keys=True))}
            case bytes():
                return {"$": "bytes", "base64": base64.b64encode(value).decode()}
            case Partial():
                return {
                    "$": "partial",
                    "callable": self.callable(value.function),
                    "args": self(list(value.args), depth + 1),
                    "kwargs": self(dict(value.kwargs), depth + 1),
                }
            case Function() | Bound() | Decorated():
                return {"$": "callable", "callable": self.callable(value)}
            case Imported():
                return self._imported(value)
            case Class():
                return {"$": "class", "name": f"{value.module.name}.{value.qualname}"}
            case PurePath():
                return str(value)
            case Decimal():
                return {"$": "decimal", "text": str(value)}
            case Instance(task=None):
                name = f"{value.cls.module.name}.{value.cls.qualname}"
                return {"$": "object", "class": name, "text": f"<{name} object>"}
        return unknown_fact(self.machine.doubt(f"an object ({type(value).__name__})"))

    def _imported(self, value: Imported) -> Fact:
        found = library.entry(value.path)
        if found is None:
            return unknown_fact(self.machine.doubt(f"{value.path}, which is not read"))
        kind, full = found
        if kind == "class":
            return {"$": "class", "name": full}
        if kind == "function":
            return {"$": "callable", "callable": self.callable(value)}
        return unknown_fact(self.machine.doubt(f"{value.path}, which is not read"))

    def _xcom(self, value: XCom | XComMap | XComOther, depth: int) -> Fact:
        from pgdurable_airflow.importer.load.syntax.operators import references

        match value:
            case XCom():
                return {"$": "xcom", "task": value.task.task_id, "key": value.key}
            case XComMap():
                functions: list[Fact] = [self.callable(each) for each in value.functions]
                return {"$": "xcommap", "arg": self(value.arg, depth + 1), "callables": functions}
        pairs: list[Fact] = [[task.task_id, "return_value"] for task in references(value)]
        return {"$": "xcomother", "kind": value.kind, "references": pairs}

    def _made(self, value: Made, depth: int) -> Fact:
        match value.kind:
            case "enum.Member":
                return self(value.kwargs["value"], depth + 1)
            case "param":
                return self._param(value, depth)
            case "asset":
                given = dict(zip(("name", "uri"), value.args, strict=False)) | value.kwargs
                name, uri = given.get("name"), given.get("uri")
                if len(value.args) == 1 and "uri" not in value.kwargs and "name" not in value.kwargs:
                    uri = name
                return {"$": "asset", "name": self(name if name is not None else uri), "uri": self(uri or name)}
            case "alias":
                given = dict(zip(("name",), value.args, strict=False)) | value.kwargs
                return {"$": "asset", "name": self(given.get("name")), "uri": None}
            case "literal":
                return {"$": "literal", "value": self(value.args[0] if value.args else None, depth + 1)}
        return unknown_fact(self.machine.doubt(f"an object of {value.kind}"))

    def _param(self, value: Made, depth: int) -> Fact:
        rest = dict(value.kwargs)
        default = value.args[0] if value.args else rest.pop("default", {"$": "notset"})
        description = rest.pop("description", value.args[1] if len(value.args) > 1 else None)
        rest.pop("source", None)
        schema = rest.pop("schema", None)
        whole = {**(schema if isinstance(schema, dict) else {}), **rest}
        found = default if isinstance(default, dict) and default.get("$") == "notset" else self(default, depth + 1)
        return {"$": "param", "schema": self(whole, depth + 1), "value": cast("Fact", found),
                "description": self(description, depth + 1)}  # fmt: skip

    def _dict(self, value: Mapping[Any, Value], depth: int) -> Fact:
        if len(value) > MAX_ITEMS:
            return {"$": "toolong", "length": len(value)}
        pairs: list[Fact] = [[self(key, depth + 1), self(inner, depth + 1)] for key, inner in value.items()]
        return {"$": "dict", "items": pairs}

    def _list(self, value: list[Value] | tuple[Value, ...] | range, depth: int) -> Fact:
        if len(value) > MAX_ITEMS:
            return {"$": "toolong", "length": len(value)}
        items = [self(inner, depth + 1) for inner in value]
        return items if isinstance(value, list) else {"$": "tuple", "items": items}


def zone_name(zone: tzinfo | None) -> str | None:
    """Name a zone as the child does: by the key of a named one."""
    name = getattr(zone, "key", None)
    return name if isinstance(name, str) else None
