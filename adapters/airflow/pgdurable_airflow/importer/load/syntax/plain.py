"""Python's own functions and methods on known values, as far as they neither touch anything nor grow without bound."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from pathlib import PurePath
from typing import Any, Final

from pgdurable_airflow.importer.load.syntax.machine import MAX_LOOP, Machine
from pgdurable_airflow.importer.load.syntax.operations import MAX_TEXT, is_true, text_of
from pgdurable_airflow.importer.load.syntax.values import (
    Made,
    Unknown,
    Value,
    first_unknown,
    is_plain,
)

_TEXT: Final = frozenset(
    [
        "capitalize",
        "casefold",
        "center",
        "count",
        "endswith",
        "expandtabs",
        "find",
        "format",
        "index",
        "isalnum",
        "isalpha",
        "isascii",
        "isdecimal",
        "isdigit",
        "isidentifier",
        "islower",
        "isnumeric",
        "isspace",
        "istitle",
        "isupper",
        "join",
        "ljust",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "replace",
        "rfind",
        "rindex",
        "rjust",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "swapcase",
        "title",
        "upper",
        "zfill",
        "encode",
        "format_map",
        "translate",
    ]
)
_LIST_CHANGES: Final = frozenset({"append", "extend", "insert", "remove", "reverse", "sort", "clear", "pop"})
_DICT_CHANGES: Final = frozenset({"update", "setdefault", "pop", "clear", "popitem"})
_SET: Final = frozenset({"union", "intersection", "difference", "issubset", "issuperset", "copy"})
_MOMENT: Final = frozenset(
    [
        "strftime",
        "isoformat",
        "date",
        "time",
        "weekday",
        "isoweekday",
        "replace",
        "timestamp",
        "timetuple",
        "toordinal",
        "total_seconds",
    ]
)
_PATH: Final = frozenset(
    ["joinpath", "with_suffix", "with_name", "with_stem", "as_posix", "relative_to", "is_absolute", "match"]
)
_PURE: Final[dict[str, Callable[..., Any]]] = {
    "len": len, "int": int, "float": float, "bool": bool, "abs": abs, "min": min, "max": max, "sum": sum,
    "round": round, "any": any, "all": all, "ord": ord, "chr": chr, "hash": len, "divmod": divmod, "hex": hex,
}  # fmt: skip
_ENUMS: Final = ("TriggerRule", "WeightRule", "State", "TaskInstanceState", "DagRunState", "DagRunType")
_NUMBERS: Final = {"math.pi": 3.141592653589793, "math.e": 2.718281828459045}


def constant(path: str, otherwise: Value) -> Value:
    """Find the value of a dotted name that is a constant: a trigger rule, a day of the week, UTC."""
    owner, _, leaf = path.rpartition(".")
    if owner.startswith("airflow.") and owner.rpartition(".")[2] in _ENUMS and leaf.isupper():
        return Made("enum.Member", (), {"value": leaf.lower(), "name": leaf, "is_text": True})
    if path in ("datetime.timezone.utc", "datetime.UTC"):
        return timezone.utc  # noqa: UP017
    if path == "datetime.datetime.min":
        return datetime.min
    if path == "datetime.datetime.max":
        return datetime.max
    return _NUMBERS.get(path, otherwise)


def method(
    machine: Machine, owner: Value, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Call a method of a plain value."""
    if isinstance(owner, list | dict | set):
        return _container(machine, owner, name, list(args), dict(kwargs), node)
    unknown = first_unknown([*args, *kwargs.values()])
    if unknown is not None:
        return unknown
    allowed: frozenset[str]
    match owner:
        case str():
            allowed = _TEXT
            args = [_own_text(machine, each, node) if name in ("join", "format") else each for each in args]
            kwargs = {key: _own_text(machine, each, node) for key, each in kwargs.items()}
            unknown = first_unknown([*args, *kwargs.values()])
            if unknown is not None:
                return unknown
            if _grows(owner, name, args):
                return machine.unknown("a very long text", node)
        case datetime() | date() | time() | timedelta():
            allowed = _MOMENT | ({"add", "subtract", "start_of", "in_timezone", "to_date_string"} & {name})
            if name in ("add", "subtract", "start_of", "in_timezone", "to_date_string"):
                return _pendulum(machine, owner, name, args, kwargs, node)
        case PurePath():
            allowed = _PATH
            if name in ("resolve", "absolute", "expanduser"):
                return owner
        case tuple():
            allowed = frozenset({"count", "index"})
        case bytes():
            allowed = frozenset({"decode"})
        case _:
            allowed = frozenset()
    if name not in allowed or not is_plain([*args, *kwargs.values()]):
        return machine.unknown(f"what .{name}() gives", node)
    try:
        return getattr(owner, name)(*args, **kwargs)
    except Exception as error:
        raise machine.raises(type(error).__name__, str(error), node) from error


def _own_text(machine: Machine, value: Value, node: ast.AST) -> Value:
    """Give a result of a task its text where a text takes it."""
    from pgdurable_airflow.importer.load.syntax.values import XCom

    if isinstance(value, XCom):
        return text_of(machine, value, node)
    if isinstance(value, list | tuple):
        return [_own_text(machine, each, node) for each in value]
    return value


def _grows(owner: str, name: str, args: Sequence[Value]) -> bool:
    if name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
        return any(isinstance(each, int) and each > 10_000 for each in args)
    if name in ("format", "format_map"):
        return re.search(r"\d{5}", owner) is not None
    if name == "replace" and len(args) >= 2 and isinstance(args[0], str) and isinstance(args[1], str):
        return len(owner) + (owner.count(args[0]) if args[0] else len(owner)) * len(args[1]) > MAX_TEXT
    if name == "join" and args and isinstance(args[0], list | tuple):
        return sum(len(each) + len(owner) for each in args[0] if isinstance(each, str)) > MAX_TEXT
    return False


def _pendulum(
    machine: Machine, owner: Value, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Do what pendulum's dates can and Python's cannot, for whole days and less."""
    if not isinstance(owner, datetime):
        return machine.unknown(f"what .{name}() gives", node)
    numbers = {key: value for key, value in kwargs.items() if isinstance(value, int | float)}
    if name in ("add", "subtract") and not args and set(numbers) == set(kwargs) <= {
        "days", "hours", "minutes", "seconds", "weeks"
    }:  # fmt: skip
        length = timedelta(**numbers)
        return owner + length if name == "add" else owner - length
    if name == "start_of" and list(args) == ["day"]:
        return owner.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "to_date_string":
        return owner.date().isoformat()
    return machine.unknown(f"what .{name}() gives", node)


def _container(
    machine: Machine, owner: Value, name: str, args: list[Value], kwargs: dict[str, Value], node: ast.AST
) -> Value:
    settled = machine.settled(owner)
    if isinstance(settled, Unknown):
        return settled
    if isinstance(owner, dict):
        return _dict(machine, owner, name, args, kwargs, node)
    if isinstance(owner, set):
        if name in ("add", "discard", "update"):
            machine.changed(owner)
        elif name not in _SET:
            return machine.unknown(f"what .{name}() gives", node)
    elif isinstance(owner, list):
        if name in ("extend", "append", "insert"):
            return _grow(machine, owner, name, args, node)
        if name in _LIST_CHANGES:
            machine.changed(owner)
        elif name not in ("copy", "index", "count"):
            return machine.unknown(f"what .{name}() gives", node)
        if name == "sort" and not is_plain([owner, *kwargs.values()]):
            return machine.unknown("how a list is sorted", node)
    unknown = first_unknown(args)
    if unknown is not None:
        return unknown
    try:
        return getattr(owner, name)(*args, **kwargs)
    except Exception as error:
        raise machine.raises(type(error).__name__, str(error), node) from error


def _grow(machine: Machine, owner: list[Value], name: str, args: list[Value], node: ast.AST) -> Value:
    from pgdurable_airflow.importer.load.syntax.expressions import items_of

    machine.changed(owner)
    if len(owner) > MAX_LOOP:
        machine.uncertain[id(owner)] = (owner, machine.doubt("a very long list", node))
    elif name == "extend" and args:
        items = items_of(machine, args[0], node)
        if isinstance(items, Unknown):
            machine.uncertain[id(owner)] = (owner, items.why)
        else:
            owner.extend(items)
    elif name == "append" and args:
        owner.append(args[0])
    elif name == "insert" and len(args) == 2 and isinstance(args[0], int):
        owner.insert(args[0], args[1])
    return None


def _dict(
    machine: Machine,
    owner: dict[Value, Value],
    name: str,
    args: list[Value],
    kwargs: dict[str, Value],
    node: ast.AST,
) -> Value:
    match name:
        case "items":
            return list(owner.items())
        case "keys":
            return list(owner.keys())
        case "values":
            return list(owner.values())
        case "copy":
            return dict(owner)
        case "get" if args:
            unknown = first_unknown(args[0])
            return unknown if unknown is not None else owner.get(args[0], args[1] if len(args) > 1 else None)
    if name not in _DICT_CHANGES:
        return machine.unknown(f"what .{name}() gives", node)
    machine.changed(owner)
    if name == "update":
        for each in [*args, kwargs]:
            found = machine.settled(each)
            if not isinstance(found, dict):
                why = found.why if isinstance(found, Unknown) else machine.doubt("what a dict is updated with", node)
                machine.uncertain[id(owner)] = (owner, why)
                return None
            owner.update(found)
        return None
    unknown = first_unknown(args[:1])
    if unknown is not None:
        machine.uncertain[id(owner)] = (owner, unknown.why)
        return unknown
    try:
        return getattr(owner, name)(*args)
    except Exception as error:
        raise machine.raises(type(error).__name__, str(error), node) from error


def builtin(machine: Machine, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Call one of Python's built-in functions."""
    from pgdurable_airflow.importer.load.syntax.expressions import items_of

    match name, list(args):
        case "print" | "breakpoint" | "exit" | "quit", _:
            return machine.raises("SystemExit", "") if name in ("exit", "quit") else None
        case "str", [value]:
            return text_of(machine, value, node, 115)
        case "repr", [value]:
            return text_of(machine, value, node, 114)
        case "dict", _:
            return _make_dict(machine, args, kwargs, node)
        case (("list" | "tuple" | "set" | "frozenset" | "sorted" | "reversed" | "enumerate" | "iter"), [value, *rest]):
            items = items_of(machine, value, node)
            return items if isinstance(items, Unknown) else _collected(machine, name, items, rest, kwargs, node)
        case "list", []:
            return []
        case "tuple", []:
            return ()
        case "set" | "frozenset", []:
            return set()
        case "str", []:
            return ""
        case "zip", values:
            columns = [items_of(machine, value, node) for value in values]
            unknown = next((each for each in columns if isinstance(each, Unknown)), None)
            if unknown is not None:
                return unknown
            return list(zip(*[each for each in columns if not isinstance(each, Unknown)], strict=False))
        case "range", numbers:
            return _range(machine, numbers, node)
        case "len", [value]:
            items = items_of(machine, value, node)
            return items if isinstance(items, Unknown) else len(items)
        case (("any" | "all"), [value]):
            items = items_of(machine, value, node)
            if isinstance(items, Unknown):
                return items
            answers = [is_true(each) for each in items]
            if None in answers:
                return first_unknown(items) or machine.unknown("whether an object counts as true", node)
            return any(answers) if name == "any" else all(answers)
        case (("map" | "filter"), [function, value]):
            return _mapped(machine, name, function, value, node)
        case "isinstance", [value, Value_type]:
            return _isinstance(machine, value, Value_type, node)
        case "next", [list() as items, *rest]:
            return items[0] if items else rest[0] if rest else machine.unknown("the next of nothing", node)
    unknown = first_unknown([*args, *kwargs.values()])
    if unknown is not None:
        return unknown
    if name in _PURE and is_plain([*args, *kwargs.values()]):
        try:
            return _PURE[name](*args, **kwargs) if name != "hash" else machine.unknown("a hash", node)
        except Exception as error:
            raise machine.raises(type(error).__name__, str(error), node) from error
    return machine.unknown(f"what {name}() gives", node, f"builtins.{name}")


def _isinstance(machine: Machine, value: Value, kind: Value, node: ast.AST) -> Value:
    from pgdurable_airflow.importer.load.syntax.values import Imported

    kinds = kind if isinstance(kind, tuple) else (kind,)
    known = {"str": str, "int": int, "list": list, "dict": dict, "tuple": tuple, "bool": bool, "float": float,
             "set": set}  # fmt: skip
    types = [known.get(each.path.removeprefix("builtins.")) for each in kinds if isinstance(each, Imported)]
    if isinstance(value, Unknown):
        return value
    if len(types) != len(kinds) or None in types or not (
        is_plain(value) or isinstance(value, list | tuple | dict | set)
    ):  # fmt: skip
        return machine.unknown("what an object is", node)
    return isinstance(value, tuple(each for each in types if each is not None))


def _make_dict(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    found: dict[Value, Value] = {}
    for value in args:
        settled = machine.settled(value)
        if isinstance(settled, Unknown):
            return settled
        if isinstance(settled, dict):
            found.update(settled)
        elif isinstance(settled, list | tuple) and all(
            isinstance(each, list | tuple) and len(each) == 2 for each in settled
        ):
            unknown = first_unknown([each[0] for each in settled])
            if unknown is not None:
                return unknown
            found.update({each[0]: each[1] for each in settled})
        else:
            return machine.unknown("a dict made of an object", node)
    rest = kwargs.get("**")
    if isinstance(rest, Unknown):
        return rest
    found.update(kwargs)
    return found


def _collected(
    machine: Machine, name: str, items: list[Value], rest: list[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    match name:
        case "tuple":
            return tuple(items)
        case "set" | "frozenset":
            unknown = first_unknown(items)
            return unknown if unknown is not None else set(items)
        case "reversed":
            return items[::-1]
        case "enumerate":
            start = kwargs.get("start", rest[0] if rest else 0)
            return list(enumerate(items, start)) if isinstance(start, int) else machine.unknown("a count", node)
        case "sorted":
            unknown = first_unknown(items)
            if unknown is not None:
                return unknown
            if not is_plain([items, *kwargs.values()]) or "key" in kwargs:
                return machine.unknown("how a list is sorted", node)
            try:
                return sorted(items, reverse=bool(kwargs.get("reverse", False)))  # type: ignore[type-var]
            except TypeError as error:
                raise machine.raises("TypeError", str(error), node) from error
    return items


def _mapped(machine: Machine, name: str, function: Value, value: Value, node: ast.AST) -> Value:
    from pgdurable_airflow.importer.load.syntax.calls import call
    from pgdurable_airflow.importer.load.syntax.expressions import items_of

    items = items_of(machine, value, node)
    if isinstance(items, Unknown):
        return items
    if name == "map":
        return [call(machine, function, [each], {}, node) for each in items]
    found = []
    for each in items:
        answer = is_true(each if function is None else call(machine, function, [each], {}, node))
        if answer is None:
            return machine.unknown("what a filter keeps", node)
        if answer:
            found.append(each)
    return found


def _range(machine: Machine, numbers: list[Value], node: ast.AST) -> Value:
    unknown = first_unknown(numbers)
    if unknown is not None:
        return unknown
    whole = [each for each in numbers if isinstance(each, int)]
    if len(whole) != len(numbers) or not 1 <= len(whole) <= 3:
        raise machine.raises("TypeError", "range() takes whole numbers", node)
    return range(*whole)
