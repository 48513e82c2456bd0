"""Functions of the standard library, pendulum and Airflow that a file calls while it is parsed, and that can be known.

Variables, Connections, environment and clock come from where live reading has them, and are noted as it notes them.
"""

import ast
import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from pgdurable_airflow.importer.load import child
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Made,
    Partial,
    Unknown,
    Value,
    first_unknown,
    is_plain,
)

Call = Callable[[Machine, Sequence[Value], Mapping[str, Value], ast.AST], Value]
_NOTHING: Final = object()
_changed_text: Final[Callable[[str], str]] = child.changed_text
_changed_value: Final[Callable[[object], object]] = child.changed_value


def zone(machine: Machine, name: Value, node: ast.AST) -> tzinfo | Unknown:
    """Read a time zone as pendulum takes it: a name or a zone."""
    if isinstance(name, tzinfo):
        return name
    if isinstance(name, Unknown):
        return name
    try:
        return ZoneInfo("UTC" if name in (None, "utc", "UTC") else str(name))
    except Exception as error:
        raise machine.raises(type(error).__name__, str(error), node) from error


def _moment(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """pendulum.datetime: in UTC unless a zone is given."""
    rest = dict(kwargs)
    found = zone(machine, rest.pop("tz", "UTC"), node)
    if isinstance(found, Unknown):
        return found
    rest.pop("fold", None)
    rest.pop("raise_on_unknown_times", None)
    return cast("Any", datetime)(*args, **rest, tzinfo=found)


def _airflow_moment(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """airflow.utils.timezone.datetime: in the default zone."""
    if "tzinfo" in kwargs:
        return datetime(*cast("Any", args), **cast("Any", kwargs))
    default = ZoneInfo(str(machine.world.config["zone"]))
    return cast("Any", datetime)(*args, **kwargs, tzinfo=default)


def _duration(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """pendulum.duration: a month counts 30 days, a year 365."""
    rest = dict(cast("Mapping[str, Any]", kwargs))
    days = rest.pop("months", 0) * 30 + rest.pop("years", 0) * 365
    return timedelta(*cast("Any", args), **rest) + timedelta(days=days)


def _now(machine: Machine, node: ast.AST, into: Value) -> Value:
    machine.reads.clock.add(machine.site)
    return (
        machine.world.now if into is None else machine.world.now.astimezone(into if isinstance(into, tzinfo) else UTC)
    )


def _datetime_now(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    into = kwargs.get("tz", args[0] if args else None)
    found = _now(machine, node, into)
    return found.replace(tzinfo=None) if into is None and isinstance(found, datetime) else found


def _pendulum_now(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    into = zone(machine, kwargs.get("tz", args[0] if args else "UTC"), node)
    return into if isinstance(into, Unknown) else _now(machine, node, into)


def _day(shift: int) -> Call:
    def follow(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
        found = _pendulum_now(machine, args, kwargs, node)
        if not isinstance(found, datetime):
            return found
        return found.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=shift)

    return follow


def _days_ago(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    rest = dict(cast("Mapping[str, Any]", kwargs))
    days = args[0] if args else rest.pop("n")
    machine.reads.clock.add(machine.site)
    today = machine.world.now.astimezone(ZoneInfo("UTC")).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=int(cast("Any", days)))).replace(**rest)


def _today(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    machine.reads.clock.add(machine.site)
    return machine.world.now.date()


def _parse_moment(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    into = zone(machine, kwargs.get("tz", "UTC"), node)
    if isinstance(into, Unknown):
        return into
    found = datetime.fromisoformat(str(args[0]))
    return found if found.tzinfo else found.replace(tzinfo=into)


def _dates_of(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    return machine.unknown("a date computed by dateutil", node)


def environment(machine: Machine, key: Value, node: ast.AST, default: Value = _NOTHING) -> Value:
    """Read an environment variable, changed in the second pass as live reading does."""
    if not isinstance(key, str):
        return machine.unknown("an environment variable", node)
    machine.reads.environment.setdefault(key, list(machine.site))
    if key in machine.world.environment:
        text = machine.world.environment[key]
        return _changed_text(text) if machine.world.is_changed else text
    if default is _NOTHING:
        raise machine.raises("KeyError", repr(key), node)
    return default


def _getenv(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    return environment(machine, args[0], node, kwargs.get("default", args[1] if len(args) > 1 else None))


def _variable(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Variable.get as the child answers it (load/child.py, variable_get)."""
    key = args[0] if args else kwargs.get("key")
    if not isinstance(key, str):
        return key if isinstance(key, Unknown) else machine.unknown("a Variable", node)
    default = kwargs.get("default", kwargs.get("default_var", args[1] if len(args) > 1 else _NOTHING))
    as_json = bool(kwargs.get("deserialize_json", False))
    reads, world = machine.reads, machine.world
    reads.variables.setdefault(key, list(machine.site))
    given = key if key in world.variables else key.lower() if key.lower() in world.variables else None
    if given is not None:
        text = world.variables[given]
        text = _changed_text(text) if world.is_changed else text
        return json.loads(text) if as_json else text
    reads.missing_variables.add(key)
    if default is not _NOTHING:
        return f"{default}_pgd2" if world.is_changed and isinstance(default, str) else default
    if as_json:
        return {}
    return f"pgdurable-missing-variable-{key}{'_pgd2' if world.is_changed else ''}"


def _connection(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """BaseHook.get_connection as the child answers it (load/child.py, connection_get)."""
    name = args[0] if args else kwargs.get("conn_id")
    if not isinstance(name, str):
        return name if isinstance(name, Unknown) else machine.unknown("a Connection", node)
    reads, world = machine.reads, machine.world
    reads.connections.setdefault(name, list(machine.site))
    given = world.connections.get(name) or world.connections.get(name.lower())
    if given is None:
        reads.missing_connections.add(name)
        mark = f"pgdurable-missing-connection-{name}"
        given = {"conn_type": "generic", "host": mark, "login": mark, "password": mark, "schema": mark}
    fields = dict(given)
    if world.is_changed:
        fields = {
            **cast("dict[str, object]", _changed_value(fields)),
            "conn_type": fields.get("conn_type") or "generic",
        }
    extra = fields.pop("extra", None)
    shown: dict[str, Value] = {key: fields.get(key) for key in ("host", "login", "password", "schema", "port")}
    shown |= {"conn_id": name, "conn_type": fields.get("conn_type") or "generic"}
    shown["extra_dejson"] = extra if isinstance(extra, dict) else {}
    return Made("airflow.sdk.Connection", (), shown)


def _path(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    return Path(*cast("Sequence[str]", args))


def _partial(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    return Partial(args[0], tuple(args[1:]), kwargs)


def _made(kind: str) -> Call:
    def follow(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
        return Made(kind, tuple(args), dict(kwargs))

    return follow


def _nothing(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    return None


def _first(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    return args[0]


def _plainly(function: Callable[..., object]) -> Call:
    """Call a harmless function of Python's with values that are wholly known."""

    def follow(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
        return function(*args, **kwargs)

    return follow


# What takes symbols among its arguments; everything else here is called with plain values alone.
OPEN: Final[dict[str, Call]] = {
    "functools.partial": _partial,
    "copy.copy": lambda machine, args, kwargs, node: dict(args[0]) if isinstance(args[0], dict) else args[0],
    "copy.deepcopy": lambda machine, args, kwargs, node: _deep(args[0]),
    "typing.cast": lambda machine, args, kwargs, node: args[1],
    "logging.getLogger": lambda machine, args, kwargs, node: machine.unknown("a logger", node, "logging.Logger"),
}
KNOWN: Final[dict[str, Call]] = {
    "datetime.datetime": _plainly(datetime), "datetime.date": _plainly(date), "datetime.time": _plainly(time),
    "datetime.timedelta": _plainly(timedelta), "datetime.timezone": _plainly(timezone),
    "datetime.datetime.now": _datetime_now, "datetime.datetime.utcnow": _datetime_now,
    "datetime.datetime.today": _datetime_now, "datetime.date.today": _today,
    "datetime.datetime.strptime": _plainly(datetime.strptime),
    "datetime.datetime.fromisoformat": _plainly(datetime.fromisoformat),
    "datetime.datetime.combine": _plainly(datetime.combine),
    "datetime.date.fromisoformat": _plainly(date.fromisoformat), "decimal.Decimal": _plainly(Decimal),
    "zoneinfo.ZoneInfo": lambda machine, args, kwargs, node: zone(machine, args[0], node),
    "pendulum.timezone": lambda machine, args, kwargs, node: zone(machine, args[0], node),
    "pendulum.tz.timezone": lambda machine, args, kwargs, node: zone(machine, args[0], node),
    "pendulum.Timezone": lambda machine, args, kwargs, node: zone(machine, args[0], node),
    "pendulum.datetime": _moment, "pendulum.DateTime": _plainly(datetime), "pendulum.duration": _duration,
    "pendulum.now": _pendulum_now, "pendulum.today": _day(0), "pendulum.yesterday": _day(-1),
    "pendulum.tomorrow": _day(1), "pendulum.parse": _parse_moment, "pendulum.date": _plainly(date),
    "pendulum.Duration": _duration, "pendulum.time": _plainly(time),
    "airflow.sdk._shared.timezones.timezone.datetime": _airflow_moment,
    "airflow.sdk._shared.timezones.timezone.utcnow": _pendulum_now,
    "airflow.sdk._shared.timezones.timezone.parse": _parse_moment,
    "airflow.utils.dates.days_ago": _days_ago, "dateutil.relativedelta.relativedelta": _dates_of,
    "os.path.join": _plainly(posixpath.join), "os.path.dirname": _plainly(posixpath.dirname),
    "os.path.basename": _plainly(posixpath.basename), "os.path.splitext": _plainly(posixpath.splitext),
    "os.path.abspath": _plainly(posixpath.normpath), "os.path.realpath": _plainly(posixpath.normpath),
    "os.path.normpath": _plainly(posixpath.normpath), "os.path.split": _plainly(posixpath.split),
    "os.fspath": lambda machine, args, kwargs, node: str(args[0]), "os.getenv": _getenv, "os.environ.get": _getenv,
    "pathlib.Path": _path, "pathlib.PurePath": _path, "pathlib.PosixPath": _path,
    "textwrap.dedent": lambda machine, args, kwargs, node: __import__("textwrap").dedent(args[0]),
    "inspect.cleandoc": lambda machine, args, kwargs, node: __import__("inspect").cleandoc(args[0]),
    "json.dumps": _plainly(json.dumps), "json.loads": _plainly(json.loads), "logging.basicConfig": _nothing,
    "warnings.filterwarnings": _nothing, "warnings.simplefilter": _nothing, "warnings.warn": _nothing,
    "random.seed": _nothing, "sys.path.append": _nothing, "sys.path.insert": _nothing, "time.sleep": _nothing,
    "airflow.sdk.definitions.variable.Variable.get": _variable, "airflow.models.variable.Variable.get": _variable,
    "airflow.models.variable.Variable.setdefault": _variable,
    "airflow.sdk.bases.hook.BaseHook.get_connection": _connection,
    "airflow.sdk.definitions.connection.Connection.get": _connection,
    "airflow.models.connection.Connection.get_connection_from_secrets": _connection,
}  # fmt: skip
MADE: Final = {
    "airflow.sdk.definitions.param.Param": "param", "airflow.sdk.definitions.asset.Asset": "asset",
    "airflow.sdk.definitions.asset.AssetAlias": "alias", "airflow.sdk.definitions.template.literal": "literal",
    "airflow.sdk.definitions.asset.AssetAny": "assets", "airflow.sdk.definitions.asset.AssetAll": "assets",
}  # fmt: skip


def _deep(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _deep(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_deep(inner) for inner in value]
    return value


def call(machine: Machine, full: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Call a function by its full name; returns NotImplemented for one that is not listed."""
    open_one = OPEN.get(full)
    if open_one is not None:
        return open_one(machine, args, kwargs, node)
    if full in MADE:
        return Made(MADE[full], tuple(args), dict(kwargs))
    if full.rpartition(".")[2].endswith("Timetable") and full.startswith("airflow."):
        return Made(full, tuple(args), dict(kwargs))
    found = KNOWN.get(full)
    if found is None:
        return NotImplemented
    unknown = first_unknown([*args, *kwargs.values()])
    if unknown is not None:
        return unknown
    given = [*args, *kwargs.values()]
    if not is_plain(given) and "Variable" not in full:
        return machine.unknown(f"what {full}() makes of an object", node, full)
    try:
        return found(machine, args, kwargs, node)
    except (TypeError, ValueError, OverflowError, KeyError, IndexError, AttributeError) as error:
        raise machine.raises(type(error).__name__, str(error), node) from error
