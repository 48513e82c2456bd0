"""What an assignment binds: names, parts of tuples, items, attributes."""

import ast
from collections.abc import Sequence

from pgdurable_airflow.importer.load.syntax.expressions import evaluate, items_of
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.operations import binary
from pgdurable_airflow.importer.load.syntax.scopes import Scope
from pgdurable_airflow.importer.load.syntax.values import (
    Class,
    Dag,
    Group,
    Instance,
    Method,
    Task,
    Unknown,
    Value,
    XCom,
)


def assign(machine: Machine, target: ast.expr, value: Value, scope: Scope) -> None:
    """Bind a value to a target."""
    match target:
        case ast.Name(id=name):
            scope.bind(name, value)
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            _unpack(machine, targets, value, scope, target)
        case ast.Starred(value=inner):
            assign(machine, inner, value, scope)
        case ast.Subscript(value=owner, slice=index):
            _item(machine, evaluate(machine, owner, scope), evaluate(machine, index, scope), value, target)
        case ast.Attribute(value=owner, attr=name):
            _attribute(machine, evaluate(machine, owner, scope), name, value)


def _unpack(machine: Machine, targets: Sequence[ast.expr], value: Value, scope: Scope, node: ast.expr) -> None:
    items = items_of(machine, value, node)
    if isinstance(items, Unknown):
        for target in targets:
            assign(machine, target, items, scope)
        return
    starred = next((number for number, each in enumerate(targets) if isinstance(each, ast.Starred)), None)
    if starred is None:
        if len(items) != len(targets):
            raise machine.raises("ValueError", f"{len(items)} values for {len(targets)} names", node)
        for target, item in zip(targets, items, strict=True):
            assign(machine, target, item, scope)
        return
    after = len(targets) - starred - 1
    if len(items) < len(targets) - 1:
        raise machine.raises("ValueError", f"not enough values for {len(targets)} names", node)
    middle = items[starred : len(items) - after]
    parts = [*items[:starred], list(middle), *items[len(items) - after :]]
    for target, item in zip(targets, parts, strict=True):
        assign(machine, target, item, scope)


def _item(machine: Machine, owner: Value, key: Value, value: Value, node: ast.expr) -> None:
    # globals()["name"] = dag only keeps a DAG alive; Airflow finds it by itself.
    if isinstance(owner, Method) and owner.name == "globals":
        if isinstance(key, str) and isinstance(owner.owner, Scope):
            owner.owner.module.names[key] = value
        return
    if isinstance(owner, dict):
        machine.changed(owner)
        if isinstance(key, Unknown):
            machine.uncertain[id(owner)] = (owner, key.why)
            return
        try:
            owner[key] = value
        except TypeError as error:
            raise machine.raises("TypeError", str(error), node) from error
    elif isinstance(owner, list):
        machine.changed(owner)
        if isinstance(key, int) and -len(owner) <= key < len(owner):
            owner[key] = value
        else:
            machine.uncertain[id(owner)] = (owner, machine.doubt("an item put into a list", node))


def _attribute(machine: Machine, owner: Value, name: str, value: Value) -> None:
    from pgdurable_airflow.importer.load.syntax.operators import set_attribute

    if machine.maybe and isinstance(owner, Task | Dag | Instance):
        value = Unknown(machine.maybe[-1])
    match owner:
        case Task():
            set_attribute(owner, name, value)
        case XCom():
            set_attribute(owner.task, name, value)
        case Instance(task=Task() as task):
            owner.attributes[name] = value
            set_attribute(task, name, value)
        case Instance():
            owner.attributes[name] = value
        case Dag():
            if name == "doc_md":
                owner.doc_md = value
            else:
                owner.given[name] = value
        case Group() if name == "tooltip":
            owner.tooltip = value
        case Class():
            owner.names[name] = value


def augmented(machine: Machine, node: ast.AugAssign, scope: Scope) -> None:
    """Follow `x += y`; lists grow in place, as Python's do."""
    load = _loaded(node.target)
    old = evaluate(machine, load, scope)
    new = evaluate(machine, node.value, scope)
    if isinstance(old, list) and isinstance(node.op, ast.Add):
        items = items_of(machine, new, node)
        if isinstance(items, Unknown):
            machine.uncertain[id(old)] = (old, items.why)
            return
        machine.changed(old)
        old.extend(items)
        return
    if isinstance(old, dict) and isinstance(node.op, ast.BitOr) and isinstance(new, dict):
        machine.changed(old)
        old.update(new)
        return
    assign(machine, node.target, binary(machine, node.op, old, new, node), scope)


def _loaded(target: ast.expr) -> ast.expr:
    match target:
        case ast.Name(id=name):
            found: ast.expr = ast.Name(id=name, ctx=ast.Load())
        case ast.Attribute(value=value, attr=attr):
            found = ast.Attribute(value=value, attr=attr, ctx=ast.Load())
        case ast.Subscript(value=value, slice=index):
            found = ast.Subscript(value=value, slice=index, ctx=ast.Load())
        case _:
            return target
    return ast.copy_location(found, target)


def delete(machine: Machine, targets: Sequence[ast.expr], scope: Scope) -> None:
    """Forget names and items."""
    for target in targets:
        match target:
            case ast.Name(id=name):
                scope.names.pop(name, None)
            case ast.Subscript(value=owner, slice=index):
                held, key = evaluate(machine, owner, scope), evaluate(machine, index, scope)
                if isinstance(held, dict) and not isinstance(key, Unknown):
                    machine.changed(held)
                    held.pop(key, None)
                elif isinstance(held, list | dict):
                    machine.uncertain[id(held)] = (held, machine.doubt("an item taken out", target))
