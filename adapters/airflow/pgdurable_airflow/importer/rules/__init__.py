"""Which operator becomes what: RULES, first match wins, walking the class and its ancestors.

A subclass counts as its parent only if it overrides nothing that decides what runs. A rule returns a draft, or leaves a
finding and raises Refusal; anything else it raises is our bug and stops the import.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pgdurable_airflow.importer.facts import Fact, TaskFacts, first_unknown, holds_stub
from pgdurable_airflow.importer.rules import bash, control, python, sql
from pgdurable_airflow.importer.rules.base import AROUND_A_TASK, take_base_arguments
from pgdurable_airflow.importer.task import Draft, Refusal, Task
from pgdurable_core.importing.findings import Home


@dataclass(frozen=True, slots=True)
class Rule:
    """The classes a rule stands for, by full name, what it does, and where such a task belongs even when blocked."""

    classes: tuple[str, ...]
    convert: Callable[[Task], Draft]
    home: Home


_STANDARD = "airflow.providers.standard"
_COMMON_SQL = "airflow.providers.common.sql.operators.sql"

RULES: Final = (
    Rule(
        (
            "airflow.providers.postgres.operators.postgres.PostgresOperator",
            f"{_COMMON_SQL}.SQLExecuteQueryOperator",
        ),
        sql.execute_query,
        "native",
    ),
    Rule((f"{_COMMON_SQL}.SQLCheckOperator",), sql.check, "native"),
    Rule(
        (
            f"{_STANDARD}.operators.empty.EmptyOperator",
            "airflow.operators.empty.EmptyOperator",
            "airflow.operators.dummy.DummyOperator",
            "airflow.operators.dummy_operator.DummyOperator",
        ),
        control.empty,
        "native",
    ),
    Rule(
        (
            f"{_STANDARD}.operators.python.BranchPythonOperator",
            f"{_STANDARD}.decorators.branch_python._BranchPythonDecoratedOperator",
            "airflow.operators.python.BranchPythonOperator",
            "airflow.decorators.branch_python._BranchPythonDecoratedOperator",
        ),
        control.branch,
        "native",
    ),
    Rule(
        (
            f"{_STANDARD}.operators.python.PythonOperator",
            f"{_STANDARD}.decorators.python._PythonDecoratedOperator",
            "airflow.operators.python.PythonOperator",
            "airflow.decorators.python._PythonDecoratedOperator",
        ),
        python.call,
        "worker",
    ),
    Rule(
        (
            f"{_STANDARD}.decorators.bash._BashDecoratedOperator",
            "airflow.decorators.bash._BashDecoratedOperator",
        ),
        bash.decorated,
        "worker",
    ),
    Rule(
        (f"{_STANDARD}.operators.bash.BashOperator", "airflow.operators.bash.BashOperator"),
        bash.command,
        "worker",
    ),
)


def convert(task: Task) -> Draft | None:
    """Make a draft of a task, or None when it is blocked; either way its findings say everything."""
    take_base_arguments(task)
    try:
        draft = _converted(task)
        _stubs(task)
    except Refusal:
        return None
    _leftovers(task)
    return draft


def _stubs(task: Task) -> None:
    """Refuse a task that a value from a missing module went into, itself or as text, however it came there."""
    facts = task.facts
    given: dict[str, Fact] = {**facts.fields, **facts.attributes, **facts.given, "expand": facts.expand}
    for name, value in given.items():
        # What runs around a task is not carried over; that is said already.
        if name not in AROUND_A_TASK and holds_stub(value):
            raise task.refuse(
                "AF011",
                f"{name} holds a value from a missing module",
                f"`{name}` holds a value from a module that is not installed.",
                "Install the package, or use --airflow-python.",
            )


def _unknowns(task: Task) -> None:
    """Refuse a task of which static reading does not know an argument; look into what its callable reaches."""
    facts = task.facts
    given: dict[str, Fact] = {**facts.fields, **facts.attributes, **facts.given, "expand": facts.expand}
    for name, value in given.items():
        doubt = None if name in AROUND_A_TASK or name == "params" else first_unknown(value)
        if doubt is not None:
            raise task.refuse_unknown(name, doubt)
    for use in facts.callable.uses if facts.callable is not None else ():
        if use.kind == "unknown":
            task.find(
                "AF034",
                f"{use.name} is not known without running the file",
                f"`{use.name}`, which the callable uses, is made by {use.module}; "
                "reading alone cannot tell what it is.",
                "It is taken for something that needs no Airflow.",
                "Read the file live to be sure.",
            )


def _converted(task: Task) -> Draft:
    facts = task.facts
    for doubt in facts.doubts:
        # A task may come several ways into doubt; each has a line of its own.
        task.doubtful(doubt)
    if facts.doubts:
        raise Refusal(facts.doubts[0].what)
    if facts.is_stub:
        raise task.refuse(
            "AF303",
            f"{facts.operator} is not installed",
            f"`{facts.classes[0].name}` comes from a module that is not installed.",
            "Install it, or use --airflow-python.",
        )
    rule, position = _match(facts)
    if rule is None:
        raise task.refuse(
            "AF301",
            f"no rule for {facts.operator}",
            f"`{facts.classes[0].name}` has no rule.",
            "Replace it with SQL, Python or Bash, or keep this DAG in Airflow.",
        )
    changed = _overridden(facts, position)
    if changed:
        is_own = not facts.classes[0].name.startswith("airflow.")
        raise task.refuse(
            "AF302" if is_own else "AF301",
            f"{facts.operator} overrides {changed[0]}" if is_own else f"no rule for {facts.operator}",
            f"`{facts.classes[0].name}` descends from `{facts.classes[position].name}` and overrides "
            f"{', '.join(changed)}.",
            "Replace it with SQL, Python or Bash, or keep this DAG in Airflow.",
        )
    task.home = rule.home
    _unknowns(task)
    if facts.in_mapped_group:
        raise task.refuse(
            "AF162",
            "in a mapped task group",
            "The task belongs to a task group that is expanded.",
            "Map the tasks one by one.",
        )
    draft = rule.convert(task)
    if any("__init__" in each.own for each in facts.classes[:position]):
        task.find(
            "AF304",
            f"{facts.operator}: read through its constructor",
            f"`{facts.classes[0].name}` adds a constructor to its parent and nothing else.",
            "What it set on the parent is what was imported.",
        )
        task.ignore(*facts.given)
    return draft


def _match(facts: TaskFacts) -> tuple[Rule | None, int]:
    for position, ancestor in enumerate(facts.classes):
        for rule in RULES:
            if ancestor.name in rule.classes:
                return rule, position
    return None, 0


def _overridden(facts: TaskFacts, position: int) -> list[str]:
    """List what the classes below the matched one override of execution, defaults and the parent's methods."""
    inherited = frozenset[str]().union(*(each.methods for each in facts.classes[position:]))
    found: set[str] = set()
    for each in facts.classes[:position]:
        found |= (each.own - {"__init__"}) | each.defaults | (each.methods & inherited)
    if facts.is_mapped and any("__init__" in each.own for each in facts.classes[:position]):
        found.add("__init__")
    return sorted(found)


def _leftovers(task: Task) -> None:
    """Say which arguments nobody took."""
    for name in task.facts.given:
        if name not in task.taken:
            task.find(
                "AF020",
                f"argument {name}",
                f"No rule took the argument `{name}`.",
                "It is not carried over.",
                "Say it in the SQL file by hand if it matters.",
            )
