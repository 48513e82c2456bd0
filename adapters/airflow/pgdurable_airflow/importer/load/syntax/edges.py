"""Edges: `>>` and `<<` in every form, chain and its relatives, labels, groups on either side."""

import ast
from collections.abc import Mapping, Sequence
from itertools import pairwise

from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Dag,
    Group,
    Imported,
    Instance,
    Label,
    Task,
    Unknown,
    Value,
    XCom,
    XComMap,
    XComOther,
)


def connect(machine: Machine, upstream: Value, downstream: Value, result: Value, node: ast.AST) -> Value:
    """Follow `upstream >> downstream`; the value of the expression is its right side."""
    ups, downs = as_list(machine, upstream, node), as_list(machine, downstream, node)
    if ups is None or downs is None:
        for each in [*(ups or ()), *(downs or ())]:
            found = _dag_of(each)
            if found is not None:
                machine.note_structure(found, machine.doubt("an edge to something unknown", node))
                return result
        machine.note_structure(machine.dag, machine.doubt("an edge between things unknown", node))
        return result
    if isinstance(upstream, list | tuple):
        for one in ups:
            downstream_of(machine, one, downs, node)
    elif len(ups) == 1:
        downstream_of(machine, ups[0], downs, node)
    return result


def as_list(machine: Machine, value: Value, node: ast.AST) -> list[Value] | None:
    """List the ends of an edge; None where one is not known."""
    value = machine.settled(value)
    if isinstance(value, Instance) and value.task is not None:
        return [value.task]
    if isinstance(value, Task | XCom | XComMap | XComOther | Group | Label):
        return [value]
    if isinstance(value, list | tuple):
        found: list[Value] = []
        for each in value:
            inner = as_list(machine, each, node)
            if inner is None:
                return None
            found += inner
        return found
    if isinstance(value, Unknown | Imported):
        return None
    raise machine.raises("TypeError", f"an edge to {type(value).__name__}", node)


def _dag_of(value: Value) -> Dag | None:
    match value:
        case Task():
            return value.dag
        case XCom():
            return value.task.dag
        case Group():
            return value.dag
        case XComMap():
            return _dag_of(value.arg)
    return None


def roots_of(value: Value) -> list[Task]:
    """List the tasks an edge into a value leads to."""
    match value:
        case Task():
            return [value]
        case XCom():
            return [value.task]
        case XComMap():
            return roots_of(value.arg)
        case XComOther():
            return [task for part in value.parts for task in roots_of(part)]
        case Group():
            tasks = value.tasks()
            return [task for task in tasks if not any(up in tasks for up in task.upstream)]
        case Label():
            return [task for each in value.downstream for task in roots_of(each)]
    return []


def leaves_of(value: Value) -> list[Task]:
    """List the tasks an edge out of a value comes from."""
    match value:
        case Group():
            return _leaves_of_group(value)
        case Label():
            return [task for each in value.upstream for task in leaves_of(each)]
    return roots_of(value)


def _leaves_of_group(group: Group) -> list[Task]:
    tasks = group.tasks()
    if any(task.fields.get("is_teardown") for task in tasks):
        return [task for task in tasks if not task.fields.get("is_teardown") and not any(
            down in tasks and not down.fields.get("is_teardown") for down in task.downstream)]  # fmt: skip
    return [task for task in tasks if not any(down in tasks for down in task.downstream)]


def _leaves_or_before(group: Group) -> list[Task]:
    """An empty group hands an edge on to what stands before it, or to the group around it."""
    current: Group | None = group
    while current is not None:
        found = _leaves_of_group(current)
        if found:
            return found
        if current.upstream_tasks:
            return list(current.upstream_tasks)
        current = current.parent
    return []


def downstream_of(machine: Machine, one: Value, others: Sequence[Value], node: ast.AST) -> None:
    """Follow `one.set_downstream(others)`."""
    match one:
        case Label():
            one.downstream.extend(others)
            if one.upstream and one.downstream:
                _to_groups(one)
            for each in one.upstream:
                downstream_of(machine, each, others, node)
        case Group():
            leaves = _leaves_or_before(one)
            for task in leaves:
                downstream_of(machine, task, others, node)
        case _:
            for other in others:
                if isinstance(other, Label):
                    other.upstream.append(one)
                if isinstance(other, Group):
                    other.upstream_tasks.extend(roots_of(one))
                for up in roots_of(one):
                    for down in roots_of(other):
                        link(machine, up, down, node)


def upstream_of(machine: Machine, one: Value, others: Sequence[Value], node: ast.AST) -> None:
    """Follow `one.set_upstream(others)`."""
    match one:
        case Label():
            one.upstream.extend(others)
            if one.upstream and one.downstream:
                _to_groups(one)
            for each in one.downstream:
                upstream_of(machine, each, others, node)
        case Group():
            one.upstream_tasks.extend(task for other in others for task in leaves_of(other))
            for task in roots_of(one):
                upstream_of(machine, task, others, node)
        case _:
            for other in others:
                if isinstance(other, Label):
                    other.downstream.append(one)
                for down in roots_of(one):
                    for up in leaves_of(other):
                        link(machine, up, down, node)


def _to_groups(label: Label) -> None:
    """A label between nodes of different groups stands between their groups (Airflow's EdgeModifier)."""
    ids = {(group.group_id or "root") if (group := _group_of(each)) is not None else "root"
           for each in [*label.upstream, *label.downstream]}  # fmt: skip
    if len(ids) == 1:
        return

    def raised(each: Value) -> Value:
        group = _group_of(each) if isinstance(each, Task | Group) else None
        return group if group is not None and group.group_id else each

    label.upstream = [raised(each) for each in label.upstream]
    label.downstream = [raised(each) for each in label.downstream]


def _group_of(value: Value) -> Group | None:
    match value:
        case Task():
            return value.group
        case XCom():
            return value.task.group
        case Group():
            return value.parent
    return None


def link(machine: Machine, up: Task, down: Task, node: ast.AST) -> None:
    """Put one edge between two tasks; a task without a DAG joins the other's."""
    from pgdurable_airflow.importer.load.syntax.operators import join_dag

    dag = up.dag or down.dag
    if up.dag is not None and down.dag is not None and up.dag is not down.dag:
        raise machine.raises("RuntimeError", "Tried to set relationships between tasks in more than one Dag", node)
    if dag is not None:
        for task in (up, down):
            if task.dag is None:
                join_dag(machine, task, dag, node)
    if machine.maybe and dag is not None:
        dag.doubt(machine.maybe[-1])
    if down not in up.downstream:
        up.downstream.append(down)
    if up not in down.upstream:
        down.upstream.append(up)


def set_relatives(
    machine: Machine, owner: Value, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Follow `.set_upstream(…)` and `.set_downstream(…)`."""
    other = args[0] if args else kwargs.get("task_or_task_list", kwargs.get("other"))
    others = as_list(machine, other, node)
    if others is None:
        machine.note_structure(_dag_of(owner), machine.doubt("an edge to something unknown", node))
    elif name == "set_upstream":
        upstream_of(machine, owner, others, node)
    else:
        downstream_of(machine, owner, others, node)
    return None


def chain(machine: Machine, args: Sequence[Value], node: ast.AST) -> Value:
    """Follow chain(): neighbours one after the other, lists of one length pairwise."""
    for one, other in pairwise(args):
        one, other = machine.settled(one), machine.settled(other)
        if isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if len(one) != len(other):
                raise machine.raises("ValueError", "Chain not supported for different length Iterable", node)
            for up, down in zip(one, other, strict=True):
                connect(machine, up, down, None, node)
        elif isinstance(one, list | tuple):
            ups, downs = as_list(machine, one, node), as_list(machine, other, node)
            if ups is None or downs is None:
                connect(machine, one, other, None, node)
            else:
                upstream_of(machine, downs[0], ups, node)
        else:
            connect(machine, one, other, None, node)
    return None


def chain_linear(machine: Machine, args: Sequence[Value], node: ast.AST) -> Value:
    """Follow chain_linear(): every one of a list before every one of the next."""
    for one, other in pairwise(args):
        connect(machine, one, other, None, node)
    return None


def cross_downstream(machine: Machine, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Follow cross_downstream()."""
    given = dict(zip(("from_tasks", "to_tasks"), args, strict=False)) | dict(kwargs)
    connect(machine, given.get("from_tasks"), given.get("to_tasks"), None, node)
    return None


def label(args: Sequence[Value], kwargs: Mapping[str, Value]) -> Label:
    """Make a label."""
    return Label(args[0] if args else kwargs.get("label"))
