"""Attributes and items of values."""

import ast
import sys
from datetime import date, datetime, time, timedelta
from pathlib import PurePath
from typing import Any, cast

from pgdurable_airflow.importer.load.syntax import library, plain
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.scopes import Module
from pgdurable_airflow.importer.load.syntax.values import (
    Bound,
    Class,
    Dag,
    DagFactory,
    Decorated,
    Function,
    Group,
    GroupFactory,
    Imported,
    Instance,
    Made,
    Method,
    OperatorPartial,
    Super,
    Task,
    Unknown,
    Value,
    XCom,
    XComMap,
    XComOther,
    first_unknown,
    is_plain,
)

_DATE_FIELDS = (
    "year", "month", "day", "hour", "minute", "second", "microsecond", "days", "seconds", "microseconds", "tzinfo",
)  # fmt: skip
_PATH_FIELDS = ("name", "stem", "suffix", "suffixes", "parent", "parents", "parts", "anchor")


def read(machine: Machine, owner: Value, name: str, node: ast.AST) -> Value:
    """Read `owner.name`."""
    match owner:
        case Unknown():
            return Unknown(owner.why, f"{owner.origin}.{name}" if owner.origin else None)
        case Imported():
            return _imported(machine, owner, name)
        case Module():
            return _of_module(machine, owner, name, node)
        case Instance():
            return _of_instance(machine, owner, name, node)
        case Super():
            return _of_super(machine, owner, name, node)
        case Class():
            return _of_class(machine, owner, name, node)
        case XCom() | Task():
            return _of_task(machine, owner, name, node)
        case Dag():
            return _of_dag(machine, owner, name, node)
        case Group():
            return _of_group(machine, owner, name)
        case Decorated() | OperatorPartial() | GroupFactory() | DagFactory() | XComMap() | XComOther():
            if name == "function" and isinstance(owner, Decorated | GroupFactory):
                return owner.function
            return Method(owner, name)
        case Made():
            return owner.kwargs.get(name, machine.unknown(f"the attribute {name} of an object", node, owner.kind))
        case Function():
            return owner.name if name == "__name__" else owner.docstring if name == "__doc__" else Method(owner, name)
        case datetime() | date() | time() | timedelta():
            return getattr(owner, name) if name in _DATE_FIELDS and hasattr(owner, name) else Method(owner, name)
        case PurePath():
            if name == "parents":
                return list(owner.parents)
            return getattr(owner, name) if name in _PATH_FIELDS else Method(owner, name)
    return Method(owner, name)


def _imported(machine: Machine, owner: Imported, name: str) -> Value:
    path = f"{owner.path}.{name}"
    if name == "partial" and is_operator(owner.path):
        return Method(owner, name)
    if path == "os.environ":
        return Imported(path)
    if owner.path == "sys" and name in ("version_info", "platform", "maxsize"):
        return machine.unknown(f"sys.{name}, which is another's in Airflow", None, path)
    if path in ("os.sep", "os.path.sep"):
        return "/"
    return plain.constant(path, Imported(path, is_module=owner.is_module and path in sys.stdlib_module_names))


def _of_module(machine: Machine, owner: Module, name: str, node: ast.AST) -> Value:
    from pgdurable_airflow.importer.load.syntax.imports import find_sibling

    if name in owner.names:
        return owner.names[name]
    if name == "__file__":
        return str(owner.file)
    found = find_sibling(machine, f"{owner.name}.{name}")
    return found if found is not None else machine.unknown(f"{owner.name}.{name}", node)


def _of_instance(machine: Machine, owner: Instance, name: str, node: ast.AST) -> Value:
    if name in owner.attributes:
        return owner.attributes[name]
    if name == "__class__":
        return owner.cls
    found = owner.cls.find(name)
    if isinstance(found, Function):
        if found.is_plain:
            return Bound(found, owner)
        return machine.follow(found, [owner], {}, node)
    if found is not None or any(name in each.names for each in owner.cls.ancestors):
        return found
    if owner.task is not None:
        return _of_task(machine, owner.task, name, node)
    return machine.unknown(f"the attribute {name} of {owner.cls.name}", node)


def _of_super(machine: Machine, owner: Super, name: str, node: ast.AST) -> Value:
    after = owner.owner.cls.ancestors
    rest = after[after.index(owner.cls) + 1 :] if owner.cls in after else []
    for each in rest:
        found = each.names.get(name)
        if isinstance(found, Function):
            return Bound(found, owner.owner)
    return Method(owner, name)


def _of_class(machine: Machine, owner: Class, name: str, node: ast.AST) -> Value:
    if name in ("__name__", "__qualname__"):
        return owner.name
    if any(name in each.names for each in owner.ancestors):
        found = owner.find(name)
        enum = next((base for base in owner.bases if isinstance(base, Imported) and base.root == "enum"), None)
        if enum is not None and not isinstance(found, Function):
            return Made("enum.Member", (), {"value": found, "name": name, "is_text": "Str" in enum.path})
        return found
    if owner.library is not None and name == "partial":
        return Method(owner, name)
    return machine.unknown(f"the attribute {name} of {owner.name}", node)


def _of_task(machine: Machine, owner: Task | XCom, name: str, node: ast.AST) -> Value:
    task = owner if isinstance(owner, Task) else owner.task
    match name:
        case "output":
            return XCom(task)
        case "operator" if isinstance(owner, XCom):
            return task
        case "task_id" | "node_id":
            return task.task_id if task.task_id is not None else machine.unknown("a task id", node)
        case "dag":
            return task.dag
        case "dag_id" if task.dag is not None:
            return task.dag.dag_id
        case "task_group":
            return task.group
        case "downstream_list":
            return list(task.downstream)
        case "upstream_list":
            return list(task.upstream)
        case _ if name in task.given and isinstance(owner, Task):
            return task.given[name]
    return Method(owner, name)


def _of_dag(machine: Machine, owner: Dag, name: str, node: ast.AST) -> Value:
    match name:
        case "dag_id":
            return owner.dag_id
        case "default_args":
            return owner.default_args
        case "tasks":
            return list(owner.tasks.values())
        case "task_ids":
            return list(owner.tasks)
        case "params":
            return dict(owner.params)
        case "doc_md":
            return owner.doc_md
        case "task_group":
            return owner.root
        case "leaves":
            return [task for task in owner.tasks.values() if not task.downstream]
        case "roots":
            return [task for task in owner.tasks.values() if not task.upstream]
        case _ if name in owner.given:
            return owner.given[name]
    return Method(owner, name)


def _of_group(machine: Machine, owner: Group, name: str) -> Value:
    match name:
        case "group_id":
            return owner.group_id
        case "children":
            return {(each.task_id if isinstance(each, Task) else each.group_id): each for each in owner.children}
        case "dag":
            return owner.dag
    return Method(owner, name)


def item(machine: Machine, owner: Value, key: Value, node: ast.AST) -> Value:
    """Read `owner[key]`."""
    from pgdurable_airflow.importer.load.syntax import known

    owner = machine.settled(owner)
    if isinstance(owner, Unknown):
        return owner
    unknown = first_unknown(key)
    if unknown is not None:
        return unknown
    match owner:
        case Imported(path="os.environ"):
            return known.environment(machine, key, node)
        case Imported():
            return owner
        case XCom():
            return XCom(owner.task, key) if isinstance(key, str) else machine.unknown("part of a result", node)
        case Method(name="globals"):
            from pgdurable_airflow.importer.load.syntax.scopes import Scope

            if isinstance(owner.owner, Scope) and isinstance(key, str) and key in owner.owner.module.names:
                return owner.owner.module.names[key]
            return machine.unknown("an item of globals()", node)
        case Group() if isinstance(key, str):
            wanted = owner.child_id(key)
            for child in owner.children:
                if wanted == (child.task_id if isinstance(child, Task) else child.group_id):
                    return child
            return machine.unknown(f"{key} in a group", node)
        case Class():
            return _enum_by_name(owner, key, machine, node)
        case dict() | list() | tuple() | str() | bytes() | range():
            try:
                return cast("Any", owner)[key]
            except Exception as error:
                raise machine.raises(type(error).__name__, str(error), node) from error
    if is_plain(owner):
        raise machine.raises("TypeError", f"'{type(owner).__name__}' object is not subscriptable", node)
    return machine.unknown("an item of an object", node)


def _enum_by_name(owner: Class, key: Value, machine: Machine, node: ast.AST) -> Value:
    if isinstance(key, str) and owner.find(key) is not None:
        return _of_class(machine, owner, key, node)
    return machine.unknown("an item of a class", node)


def is_operator(path: str) -> bool:
    """Say whether a name is an operator class, known or by its looks."""
    full = library.full_name(path)
    return library.operator(full) is not None or library.looks_like_operator(full)
