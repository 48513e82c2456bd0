"""DAGs: `DAG(…)`, `with`, `@dag` and its call."""

import ast
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from pgdurable_airflow.importer.load.child import DAG_POSITIONS, OLD_RULES
from pgdurable_airflow.importer.load.syntax.definitions import bind_arguments
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Dag,
    DagArgument,
    DagFactory,
    Decorator,
    Function,
    Unknown,
    Value,
)

# What the child renames and drops for files of Airflow 1 and 2 (load/child.py, install_legacy).
_RENAMED: Final = (
    ("schedule_interval", "schedule"), ("timetable", "schedule"), ("concurrency", "max_active_tasks"),
    ("fail_stop", "fail_fast"),
)  # fmt: skip
_DROPPED: Final = ("default_view", "orientation", "full_filepath", "sla_miss_callback")
_FALSE: Final = ("render_template_as_native_obj", "fail_fast", "fail_stop")
_KNOWN: Final = frozenset(
    [
        "dag_id",
        "description",
        "schedule",
        "start_date",
        "end_date",
        "template_searchpath",
        "template_undefined",
        "user_defined_macros",
        "user_defined_filters",
        "default_args",
        "max_active_tasks",
        "max_active_runs",
        "max_consecutive_failed_dag_runs",
        "dagrun_timeout",
        "deadline",
        "catchup",
        "on_success_callback",
        "on_failure_callback",
        "doc_md",
        "params",
        "access_control",
        "is_paused_upon_creation",
        "jinja_environment_kwargs",
        "render_template_as_native_obj",
        "tags",
        "owner_links",
        "auto_register",
        "fail_fast",
        "dag_display_name",
        "allowed_run_types",
        "disable_bundle_versioning",
        "rerun_with_latest_version",
        "timezone",
    ]
)


def construct(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Make a DAG."""
    given = dict(kwargs)
    if args:
        given["dag_id"] = args[0]
    if len(args) > len(DAG_POSITIONS):
        raise machine.raises("TypeError", "DAG() takes its id alone by position", node)
    if len(args) > 1:
        for name, value in list(zip(DAG_POSITIONS, args, strict=False))[1:]:
            if value is not None:
                given.setdefault(name, value)
        machine.legacy[f"DAG({', '.join(DAG_POSITIONS[1 : len(args)])} by position)"] = "DAG(name=value)"
    return make(machine, given, node, machine.site)


def make(machine: Machine, given: dict[str, Value], node: ast.AST, site: tuple[str, int]) -> Dag:
    """Make a DAG of its arguments, as Airflow 3 does, with the names of 1 and 2 mapped."""
    unknown = given.pop("**", None)
    said = sorted(given)
    for old, new in _RENAMED:
        if old in given and new not in given:
            given[new] = given.pop(old)
            machine.legacy[f"DAG({old}=)"] = f"DAG({new}=)"
    for dropped in _DROPPED:
        if given.pop(dropped, None) is not None:
            machine.legacy[f"DAG({dropped}=)"] = "nothing: Airflow 3 has no such argument"
    strange = sorted(set(given) - _KNOWN)
    if strange:
        raise machine.raises("TypeError", f"DAG.__init__() got an unexpected keyword argument '{strange[0]}'", node)
    raw = machine.settled(given.get("default_args") or {})
    defaults = {str(key): value for key, value in raw.items()} if isinstance(raw, dict) else {}
    if defaults.pop("provide_context", None) is not None:
        machine.legacy["default_args['provide_context']"] = "nothing: Airflow 3 has no such argument"
    if "task_concurrency" in defaults:
        defaults.setdefault("max_active_tis_per_dag", defaults.pop("task_concurrency"))
        machine.legacy["default_args['task_concurrency']"] = "default_args['max_active_tis_per_dag']"
    rename_rule(machine, defaults)
    params = machine.settled(given.get("params") or {})
    dag = Dag(given.get("dag_id"), given, site[0], site[1], defaults, {})
    dag.said = said
    if isinstance(params, dict):
        dag.params = {str(key): value for key, value in params.items()}
    elif isinstance(params, Unknown):
        dag.doubt(params.why)
    inherited = defaults.pop("params", None)
    if isinstance(inherited, dict):
        dag.params.update({str(key): value for key, value in inherited.items()})
    if isinstance(raw, Unknown):
        dag.doubt(raw.why)
    if isinstance(unknown, Unknown):
        dag.doubt(unknown.why)
    if not isinstance(dag.dag_id, str):
        dag.doubt(dag.dag_id.why if isinstance(dag.dag_id, Unknown) else machine.doubt("the id of a DAG", node))
    dag.doc_md = given.get("doc_md")
    _dates(machine, dag)
    if machine.maybe:
        dag.doubt(machine.maybe[-1])
    machine.dags.append(dag)
    return dag


def rename_rule(machine: Machine, given: dict[str, Value]) -> None:
    """Give an old trigger rule its name of today, as the child does."""
    old = given.get("trigger_rule")
    if isinstance(old, str) and old in OLD_RULES:
        given["trigger_rule"] = OLD_RULES[old]
        machine.legacy[f"trigger_rule {old!r}"] = f"trigger_rule {OLD_RULES[old]!r}"


def _dates(machine: Machine, dag: Dag) -> None:
    """Settle zone and start as Airflow does: from start_date, else from default_args."""
    default = ZoneInfo(str(machine.world.config["zone"]))
    start = dag.given.get("start_date") or dag.default_args.get("start_date")
    if isinstance(start, str):
        start = _parsed(start, default)
        if "start_date" in dag.default_args:
            dag.default_args["start_date"] = start
    dag.zone = start if isinstance(start, Unknown) else default
    if isinstance(start, datetime) and start.tzinfo is not None:
        dag.zone = start.tzinfo
    dag.start_date = to_utc(start, default)
    for name in ("start_date", "end_date"):
        if dag.default_args.get(name) is not None:
            dag.default_args[name] = to_utc(dag.default_args[name], default)


def _parsed(text: str, default: tzinfo) -> Value:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=default)


def to_utc(value: Value, default: tzinfo) -> Value:
    """Write a moment in UTC; naive ones stand in the default zone."""
    if not isinstance(value, datetime):
        return value
    there = value if value.tzinfo is not None else value.replace(tzinfo=default)
    try:
        return there.astimezone(ZoneInfo("UTC"))
    except OverflowError:
        return there.replace(tzinfo=UTC)


def decorator(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Follow @dag, with or without arguments."""
    if args and isinstance(args[0], Function):
        return DagFactory(args[0], args[0].name, dict(kwargs))
    return Decorator("dag", tuple(args), dict(kwargs))


def decorate(
    machine: Machine, given: Sequence[Value], kwargs: Mapping[str, Value], args: Sequence[Value], node: ast.AST
) -> Value:
    function = args[0] if args else None
    if not isinstance(function, Function):
        return machine.unknown("what @dag decorates", node)
    rest = dict(kwargs)
    dag_id = rest.pop("dag_id", given[0] if given else function.name)
    return DagFactory(function, dag_id, rest)


def call_factory(
    machine: Machine, factory: DagFactory, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Call a function under @dag: its arguments become params, its body makes the tasks."""
    bound = bind_arguments(machine, factory.function, args, kwargs, node)
    # What says no more than the default is not counted as given under @dag, as in live reading.
    said = {key: value for key, value in factory.kwargs.items()
            if value is not None and not (value is False and key in _FALSE)}  # fmt: skip
    dag = make(machine, {"dag_id": factory.dag_id, **said}, node, machine.site)
    if factory.function.docstring and not dag.doc_md:
        dag.doc_md = factory.function.docstring
    for name, value in bound.items():
        if name not in dag.params:
            dag.params[name] = value
    machine.dag_stack.append(dag)
    machine.group_stack.append(dag.root)
    try:
        machine.follow(factory.function, (), {name: DagArgument(name) for name in bound}, node)
    finally:
        machine.dag_stack.pop()
        machine.group_stack.pop()
    return dag
