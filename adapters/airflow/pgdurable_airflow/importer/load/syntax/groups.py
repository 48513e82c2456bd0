"""Task groups: `with TaskGroup(…)`, and functions under @task_group."""

import ast
import re
from collections.abc import Mapping, Sequence

from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Dag,
    Decorator,
    Function,
    Group,
    GroupArgument,
    GroupFactory,
    Value,
)

_POSITIONAL = ("group_id", "prefix_group_id", "parent_group", "dag", "default_args", "tooltip")


def current(machine: Machine, dag: Dag | None) -> Group | None:
    """Return the group that a task made here belongs to."""
    if dag is None:
        return None
    for group in reversed(machine.group_stack):
        if group.dag is dag:
            return group
    return dag.root


def construct(
    machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST, *, suffixed: bool = False
) -> Value:
    """Make a task group."""
    given = dict(zip(_POSITIONAL, args, strict=False)) | dict(kwargs)
    parent = given.get("parent_group")
    dag = given.get("dag") or (parent.dag if isinstance(parent, Group) else machine.dag)
    if not isinstance(dag, Dag):
        raise machine.raises("RuntimeError", "TaskGroup can only be used inside a dag", node)
    group = parent if isinstance(parent, Group) else current(machine, dag) or dag.root
    group_id = given.get("group_id")
    if not isinstance(group_id, str):
        machine.note_structure(dag, machine.doubt("the id of a task group", node))
        group_id = f"unknown_{getattr(node, 'lineno', 0)}"
    whole = group.child_id(group_id)
    taken = {each.group_id for each in all_groups(dag.root)}
    if whole in taken:
        if not (suffixed or given.get("add_suffix_on_collision") is True):
            raise machine.raises(
                "DuplicateTaskIdFound", f"group_id '{group_id}' has already been added to the DAG", node
            )
        base = re.split(r"__\d+$", whole)[0]
        numbers = [int(found[1]) for each in taken if (found := re.fullmatch(rf"{re.escape(base)}__(\d+)", each or ""))]
        whole = f"{base}__{max(numbers, default=0) + 1}"
    defaults = given.get("default_args") or {}
    if not isinstance(defaults, dict):
        machine.note_structure(dag, machine.doubt("default_args of a task group", node))
        defaults = {}
    made = Group(
        whole, dag, group, given.get("prefix_group_id", True) is not False,
        {**group.default_args, **{str(key): value for key, value in defaults.items()}}, given.get("tooltip", ""),
    )  # fmt: skip
    group.children.append(made)
    if machine.maybe:
        dag.doubt(machine.maybe[-1])
    if "**" in given:
        machine.note_structure(dag, machine.doubt("arguments of a task group", node))
    return made


def all_groups(group: Group) -> list[Group]:
    """List the groups below one."""
    found: list[Group] = []
    for child in group.children:
        if isinstance(child, Group):
            found += [child, *all_groups(child)]
    return found


def decorator(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Follow @task_group, with or without arguments."""
    if args and isinstance(args[0], Function):
        return decorate(machine, kwargs, args, node)
    return Decorator("task_group", tuple(args), dict(zip(_POSITIONAL, args, strict=False)) | dict(kwargs))


def decorate(machine: Machine, kwargs: Mapping[str, Value], args: Sequence[Value], node: ast.AST) -> Value:
    function = args[0] if args else None
    if not isinstance(function, Function):
        return machine.unknown("what @task_group decorates", node)
    return GroupFactory(function, {"group_id": function.name, **kwargs})


def call_factory(
    machine: Machine, factory: GroupFactory, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Call a function under @task_group: what it returns, or the group."""
    return _inside(machine, factory, args, {**factory.partial, **kwargs}, node, None)


def _inside(
    machine: Machine,
    factory: GroupFactory,
    args: Sequence[Value],
    kwargs: Mapping[str, Value],
    node: ast.AST,
    mapped: Value,
) -> Value:
    made = construct(machine, (), factory.kwargs, node, suffixed=True)
    if not isinstance(made, Group):
        return made
    made.mapped = mapped
    if not made.tooltip and factory.function.docstring:
        made.tooltip = factory.function.docstring
    machine.group_stack.append(made)
    try:
        value = machine.follow(factory.function, args, kwargs, node)
    finally:
        machine.group_stack.pop()
    return made if value is None else value


def method(
    machine: Machine,
    factory: GroupFactory,
    name: str,
    args: Sequence[Value],
    kwargs: Mapping[str, Value],
    node: ast.AST,
) -> Value:
    """Follow .override, .partial, .expand and .expand_kwargs of a group function."""
    match name:
        case "override":
            return GroupFactory(factory.function, {**factory.kwargs, **kwargs}, factory.partial)
        case "partial":
            return GroupFactory(factory.function, factory.kwargs, {**factory.partial, **kwargs})
        case "expand":
            from pgdurable_airflow.importer.load.syntax.operators import references

            given = {**factory.partial, **{key: GroupArgument(key) for key in kwargs}}
            before = [task for value in kwargs.values() for task in references(value)]
            tasks = len(machine.tasks)
            found = _inside(machine, factory, (), given, node, dict(kwargs))
            from pgdurable_airflow.importer.load.syntax.edges import link

            inside = machine.tasks[tasks:]
            for task in [each for each in inside if not any(up in inside for up in each.upstream)]:
                for up in before:
                    link(machine, up, task, node)
            return found
    machine.note_structure(machine.dag, machine.doubt(f"a task group with .{name}()", node))
    return machine.unknown(f"what .{name}() gives", node)
