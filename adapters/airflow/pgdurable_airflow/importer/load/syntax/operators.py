"""Operators: what a constructor's call makes of its arguments, default_args and the classes in between."""

import ast
from collections.abc import Mapping, Sequence
from datetime import timedelta, tzinfo
from typing import Final, cast

from pgdurable_airflow.importer.load.child import OPERATOR_ATTRIBUTES, TASK_FIELDS
from pgdurable_airflow.importer.load.syntax import groups, library
from pgdurable_airflow.importer.load.syntax.dags import rename_rule, to_utc
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Class,
    Dag,
    Function,
    Group,
    Instance,
    Made,
    OperatorPartial,
    Task,
    Unknown,
    Value,
    XCom,
    XComMap,
    XComOther,
)

_LISTS: Final = ("inlets", "outlets")
_LENGTHS: Final = ("retry_delay", "max_retry_delay")
_SHOWN: Final = frozenset(TASK_FIELDS)


def references(value: Value) -> list[Task]:
    """List the tasks whose results a value holds."""
    match value:
        case XCom():
            return [value.task]
        case XComMap():
            return references(value.arg)
        case XComOther():
            return [task for part in value.parts for task in references(part)]
        case dict():
            return [task for inner in value.values() for task in references(inner)]
        case list() | tuple() | set():
            return [task for inner in value for task in references(inner)]
    return []


def construct(
    machine: Machine,
    full: str,
    cls: Class | None,
    args: Sequence[Value],
    kwargs: Mapping[str, Value],
    node: ast.AST,
    *,
    is_guess: bool = False,
) -> Value:
    """Follow `SomeOperator(task_id=…)`."""
    own = list(cls.ancestors) if cls is not None else []
    unknown = is_guess or library.operator(full) is None or not library.library()["operators"][full]["is_known"]
    task = Task(None, full, {}, machine.file, machine.line, own=own, is_unknown_class=unknown)
    key = (machine.file, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
    machine.made[key] = machine.made.get(key, 0) + 1
    if args and not isinstance(args[0], Unknown):
        raise machine.raises("AirflowException", "Use keyword arguments when initializing operators", node)
    if machine.maybe:
        task.doubts.append(machine.maybe[-1])
    if any(not each.is_understood for each in own):
        task.doubts.append(machine.doubt(f"the class {own[0].name}, whose bases or decorators are not known", node))
    instance = Instance(cls, task=task) if cls is not None else None
    if instance is not None:
        _own_init(machine, instance, 0, dict(kwargs), node)
        if task.task_id is None and not task.doubts:
            task.doubts.append(machine.doubt(f"what {own[0].name}.__init__ makes of its arguments", node))
        _own_attributes(task, instance)
    else:
        initialise(machine, task, dict(kwargs), node)
    connect_arguments(machine, task, node)
    return instance if instance is not None else task


def _own_init(machine: Machine, instance: Instance, start: int, kwargs: dict[str, Value], node: ast.AST) -> None:
    """Run the constructor of the user's class at or above `start`, with default_args for its own parameters."""
    task = instance.task
    assert task is not None
    for number, each in enumerate(task.own[start:], start):
        init = each.names.get("__init__")
        if not isinstance(init, Function):
            continue
        dag, group = _around(machine, kwargs)
        defaults = _defaults(dag, group, kwargs)
        arguments = init.node.args
        for parameter in [*arguments.args, *arguments.kwonlyargs]:
            if parameter.arg not in kwargs and parameter.arg in defaults:
                kwargs[parameter.arg] = defaults[parameter.arg]
        task.attributes["__level__"] = number
        machine.follow(init, [instance], kwargs, node)
        skip = ("dag", "task_group", "default_args", "**")
        task.given.update({key: value for key, value in kwargs.items() if key not in skip})
        return
    initialise(machine, task, kwargs, node)


def super_init(machine: Machine, instance: Instance, kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Follow `super().__init__(…)` in an operator of the user's."""
    task = instance.task
    if task is None:
        return None
    level = task.attributes.get("__level__")
    _own_init(machine, instance, (level if isinstance(level, int) else 0) + 1, dict(kwargs), node)
    return None


def _own_attributes(task: Task, instance: Instance) -> None:
    task.attributes.pop("__level__", None)
    fields = template_fields(task)
    for name, value in instance.attributes.items():
        if name in fields or name in OPERATOR_ATTRIBUTES:
            task.attributes[name] = value
        elif name in _SHOWN:
            set_attribute(task, name, value)


def template_fields(task: Task) -> list[str]:
    """List a task's template fields: its own class's, else the library's."""
    for each in task.own:
        if "template_fields" in each.names:
            found = each.names["template_fields"]
            return [str(name) for name in found] if isinstance(found, list | tuple) else []
    known = library.operator(task.operator)
    return list(known["template_fields"]) if known is not None else []


def _around(machine: Machine, kwargs: Mapping[str, Value]) -> tuple[Dag | None, Group | None]:
    dag = kwargs.get("dag")
    found = dag if isinstance(dag, Dag) else machine.dag if dag is None else None
    group = kwargs.get("task_group")
    if isinstance(group, Group):
        return found or group.dag, group
    return found, groups.current(machine, found)


def _defaults(dag: Dag | None, group: Group | None, kwargs: Mapping[str, Value]) -> dict[str, Value]:
    own = kwargs.get("default_args")
    return {
        **(dag.default_args if dag is not None else {}),
        **(group.default_args if group is not None else {}),
        **({str(key): value for key, value in own.items()} if isinstance(own, dict) else {}),
    }


def initialise(machine: Machine, task: Task, kwargs: dict[str, Value], node: ast.AST) -> None:
    """Do what Airflow's constructors do with the arguments that reach them."""
    unknown = kwargs.pop("**", None)
    if isinstance(unknown, Unknown):
        task.doubts.append(unknown.why)
    dag, group = _around(machine, kwargs)
    if isinstance(kwargs.get("dag"), Unknown):
        task.doubts.append(cast("Unknown", kwargs["dag"]).why)
    defaults = _defaults(dag, group, kwargs)
    own_params = kwargs.get("params")
    for each in ("dag", "task_group", "default_args", "params"):
        kwargs.pop(each, None)
    accepted = library.accepted(task.operator)
    for each in accepted:
        if each in defaults and each not in kwargs:
            kwargs[each] = defaults[each]
    if kwargs.get("provide_context") is not None:
        task.given["provide_context"] = kwargs.pop("provide_context")
        machine.legacy["provide_context="] = "nothing: Airflow 3 has no such argument"
    if "task_concurrency" in kwargs:
        kwargs.setdefault("max_active_tis_per_dag", kwargs.pop("task_concurrency"))
        machine.legacy["task_concurrency="] = "max_active_tis_per_dag="
    rename_rule(machine, kwargs)
    if task.operator == library.POSTGRES:
        _postgres(kwargs)
    if not task.is_unknown_class:
        _check(machine, task, kwargs, accepted, node, is_whole=unknown is None)
    params = {**(dag.params if dag is not None else {}), **(own_params if isinstance(own_params, dict) else {})}
    task.params = {str(key): value for key, value in params.items()}
    if isinstance(own_params, Unknown):
        task.given["params"] = own_params
    elif params:
        task.given["params"] = {str(key): as_param(value) for key, value in params.items()}
    task.given.update(kwargs)
    task.base_arguments = dict(kwargs)
    name = kwargs.get("task_id")
    if isinstance(name, Unknown):
        task.doubts.append(name.why)
    task.group = group
    task.task_id = (group.child_id(name) if group is not None else name) if isinstance(name, str) else None
    if dag is not None:
        join_dag(machine, task, dag, node)
    read_fields(machine, task, kwargs)


def as_param(value: Value) -> Value:
    return value if isinstance(value, Made) and value.kind == "param" else Made("param", (value,), {})


def _check(
    machine: Machine, task: Task, kwargs: dict[str, Value], accepted: frozenset[str], node: ast.AST, *, is_whole: bool
) -> None:
    strange = sorted(set(kwargs) - accepted)
    name = task.operator.rpartition(".")[2]
    if strange:
        raise machine.raises("TypeError", f"Invalid arguments were passed to {name}: {', '.join(strange)}", node)
    known = library.operator(task.operator)
    required = known["required"] if known is not None else []
    missing = [each for each in required if each not in kwargs and each not in ("op_args", "op_kwargs")]
    if (
        is_whole
        and missing
        and library.keeps_arguments(task.operator)
        and not name.startswith("_")
        and "Decorated" not in name
    ):
        raise machine.raises("TypeError", f"missing keyword argument {missing[0]!r}", node)
    if is_whole and "task_id" not in kwargs:
        raise machine.raises("TypeError", "missing keyword argument 'task_id'", node)


def _postgres(kwargs: dict[str, Value]) -> None:
    """Give PostgresOperator's arguments to its parent as the child does (load/child.py, make_postgres_operator)."""
    options = kwargs.pop("runtime_parameters", None)
    if isinstance(options, dict) and options:
        kwargs["hook_params"] = {"options": " ".join(f"-c {key}={value}" for key, value in options.items())}
    if kwargs.get("conn_id") is None:
        kwargs["conn_id"] = kwargs.get("postgres_conn_id", "postgres_default")


def join_dag(machine: Machine, task: Task, dag: Dag, node: ast.AST) -> None:
    """Put a task into its DAG and group, as Airflow does when it is made or first connected."""
    task.dag = dag
    if task.group is None:
        task.group = groups.current(machine, dag) or dag.root
        if task.task_id is not None and task.group.prefix and task.group.group_id:
            task.task_id = task.group.child_id(task.task_id)
    if task.task_id is not None and task.task_id in dag.tasks:
        if task.doubts or machine.doubts or dag.doubts:
            task.doubts.append(machine.doubt(f"a second task {task.task_id}", node))
            task.task_id = None
        else:
            text = f"Task id '{task.task_id}' has already been added to the DAG"
            raise machine.raises("DuplicateTaskIdFound", text, node)
    if task.task_id is None:
        shown = task.operator.rpartition(".")[2].lower()
        number = 1
        while f"unknown_{shown}_{task.line}_{number}" in dag.tasks:
            number += 1
        task.task_id = f"unknown_{shown}_{task.line}_{number}"
        doubt = machine.doubt("the id of a task", node)
        task.doubts.append(doubt)
        dag.doubt(doubt)
    dag.tasks[task.task_id] = task
    task.group.children.append(task)
    machine.tasks.append(task)
    for doubt in task.doubts if task.own or machine.maybe else ():
        dag.doubt(doubt)


def read_fields(machine: Machine, task: Task, kwargs: Mapping[str, Value]) -> None:
    """Read BaseOperator's arguments into the task's fields, converted as BaseOperator converts them."""
    default = cast("tzinfo", machine.world.config["tz"])
    for name in TASK_FIELDS:
        if name in kwargs:
            set_attribute(task, name, kwargs[name])
    dag = task.dag
    if dag is not None:
        for name, of_dag in (("start_date", dag.start_date), ("end_date", to_utc(dag.given.get("end_date"), default))):
            own = to_utc(task.fields.get(name), default)
            if own is None:
                own = of_dag
            elif of_dag is not None and not isinstance(own, Unknown) and not isinstance(of_dag, Unknown):
                own = max(own, of_dag) if name == "start_date" else min(own, of_dag)  # type: ignore[call-overload]
            task.fields[name] = own
    rule = task.fields.get("trigger_rule")
    if isinstance(rule, str) and rule not in library.library()["trigger_rules"]:
        raise machine.raises("AirflowException", f"The trigger_rule must be one of Airflow's; received '{rule}'")
    if task.fields.get("wait_for_downstream") is True:
        task.fields["depends_on_past"] = True


def set_attribute(task: Task, name: str, value: Value) -> None:
    """Set a field as an argument or an assignment does."""
    if name not in _SHOWN:
        if name in OPERATOR_ATTRIBUTES or name in template_fields(task):
            task.attributes[name] = value
        elif name.startswith("on_") and name.endswith("_callback"):
            task.base_arguments[name] = value
        return
    if isinstance(value, Made) and value.kind == "enum.Member":
        value = value.kwargs["value"]
    if name in _LENGTHS and isinstance(value, int | float) and not isinstance(value, bool):
        value = timedelta(seconds=value)
    elif name == "retries":
        value = 0 if value is None else int(value) if isinstance(value, str) and value.isdigit() else value
    elif name in _LISTS:
        value = [] if value is None else list(value) if isinstance(value, list | tuple | set) else [value]
    elif name == "pool" and value is None:
        value = "default_pool"
    task.fields[name] = value


def connect_arguments(machine: Machine, task: Task, node: ast.AST) -> None:
    """Make edges from the tasks whose results stand in template fields."""
    from pgdurable_airflow.importer.load.syntax.edges import link

    fields = template_fields(task) if not task.is_unknown_class else list(task.given)
    for name in fields:
        value = task.attributes.get(name, task.given.get(name))
        for up in references(value):
            link(machine, up, task, node)


def partial(
    machine: Machine, full: str, cls: Class | None, kwargs: Mapping[str, Value], node: ast.AST
) -> OperatorPartial:
    """Follow `Operator.partial(…)`."""
    return OperatorPartial(full, dict(kwargs), list(cls.ancestors) if cls is not None else [],
                           library.operator(full) is None)  # fmt: skip


def expand(
    machine: Machine,
    half: OperatorPartial,
    name: str,
    args: Sequence[Value],
    kwargs: Mapping[str, Value],
    node: ast.AST,
) -> Value:
    """Follow `.expand(…)` and `.expand_kwargs(…)` of a partial operator."""
    task = Task(
        None, half.operator, {}, machine.file, machine.line, own=half.own, is_unknown_class=half.is_unknown_class
    )
    key = (machine.file, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
    machine.made[key] = machine.made.get(key, 0) + 1
    if machine.maybe:
        task.doubts.append(machine.maybe[-1])
    given = dict(half.kwargs)
    unknown = given.pop("**", None) or kwargs.get("**")
    if isinstance(unknown, Unknown):
        task.doubts.append(unknown.why)
    dag, group = _around(machine, given)
    defaults = _defaults(dag, group, given)
    name_given = given.get("task_id")
    params = given.get("params")
    for each in ("dag", "task_group", "default_args", "task_id", "params"):
        given.pop(each, None)
    base = frozenset(library.library()["classes"][library.BASE]["parameters"])
    for each in base:
        if each in defaults and each not in given:
            given[each] = defaults[each]
    set_expansion(task, name, args, kwargs)
    mapped = set(task.expand) if isinstance(task.expand, dict) else set()
    finish_mapped(machine, task, given, defaults, mapped, dag, group, name_given, node)
    task.params = {**(dag.params if dag is not None else {}), **(params if isinstance(params, dict) else {})}
    return task


def set_expansion(task: Task, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> None:
    """Say over what a task is expanded."""
    if name == "expand":
        task.expand_kind, task.expand = "DictOfListsExpandInput", dict(kwargs)
    else:
        task.expand_kind, task.expand = "ListOfDictsExpandInput", args[0] if args else kwargs.get("kwargs")


def finish_mapped(
    machine: Machine,
    task: Task,
    given: dict[str, Value],
    defaults: Mapping[str, Value],
    mapped: set[str],
    dag: Dag | None,
    group: Group | None,
    name: Value,
    node: ast.AST,
) -> None:
    """Settle a mapped task: its fields, its place, its edges."""
    task.base_arguments = dict(given)
    task.group = group
    if isinstance(name, Unknown):
        task.doubts.append(name.why)
    task.task_id = (group.child_id(name) if group is not None else name) if isinstance(name, str) else None
    fields = dict(given)
    for each in ("start_date", "end_date"):
        given.pop(each, None)
    task.given.update(given)
    for each in library.accepted(task.operator):
        if each in defaults and each not in task.given and each not in mapped and each not in ("dag", "params"):
            task.given[each] = defaults[each]
    if dag is not None:
        join_dag(machine, task, dag, node)
    else:
        task.doubts.append(machine.doubt("a mapped task outside a DAG", node))
    read_fields(machine, task, fields)
    from pgdurable_airflow.importer.load.syntax.edges import link

    names = template_fields(task) if not task.is_unknown_class else list(task.given)
    for value in [task.expand, *(task.given.get(each) for each in names)]:
        for up in references(value):
            link(machine, up, task, node)
