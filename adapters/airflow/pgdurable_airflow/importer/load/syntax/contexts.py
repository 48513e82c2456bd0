"""`with`: DAGs and task groups are entered, other contexts change nothing that a reading sees."""

import ast

from pgdurable_airflow.importer.load.syntax.machine import Machine, Signal
from pgdurable_airflow.importer.load.syntax.scopes import Scope
from pgdurable_airflow.importer.load.syntax.values import Dag, Group, Imported, Task, Unknown, Value, XCom


def follow(machine: Machine, items: list[ast.withitem], node: ast.With | ast.AsyncWith, scope: Scope) -> Signal | None:
    """Enter each context in turn, follow the body, leave them."""
    from pgdurable_airflow.importer.load.syntax.assignment import assign
    from pgdurable_airflow.importer.load.syntax.expressions import evaluate

    if not items:
        return machine.run(node.body, scope)
    first, *rest = items
    value = evaluate(machine, first.context_expr, scope)
    entered: Value = value
    dags, groups, doubts = len(machine.dag_stack), len(machine.group_stack), len(machine.maybe)
    match value:
        case Dag():
            machine.dag_stack.append(value)
            machine.group_stack.append(value.root)
            value.is_registered = True
        case Group():
            machine.group_stack.append(value)
        case Unknown():
            entered = value
            _enter_unknown(machine, value, first)
        case Task() | XCom() | list() if machine.dag is not None:
            machine.note_structure(machine.dag, machine.doubt("a setup and teardown context", first.context_expr))
        case Imported():
            entered = machine.unknown("what a context gives", first.context_expr, value.path)
    if first.optional_vars is not None:
        assign(machine, first.optional_vars, entered, scope)
    try:
        return follow(machine, rest, node, scope)
    finally:
        del machine.dag_stack[dags:]
        del machine.group_stack[groups:]
        # Nothing sticks across the end of a context that only a doubtful return left.
        del machine.maybe[max(doubts, 0) : doubts]


def _enter_unknown(machine: Machine, value: Unknown, item: ast.withitem) -> None:
    """A context nobody knows may be a group or a DAG; tasks made inside then stand elsewhere."""
    from pgdurable_airflow.importer.load.syntax.calls import is_harmless

    if machine.dag is not None and not is_harmless(value.origin):
        what = f"a context of {value.origin}" if value.origin else "a context that is not known"
        machine.note_structure(machine.dag, machine.doubt(what, item.context_expr))
