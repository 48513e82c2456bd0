"""What another task's result looks like, as far as its SQL proves it."""

import re
from typing import Final

from pgdurable_airflow.importer.facts import DagFacts, TaskFacts, elements
from pgdurable_airflow.importer.sqltext import columns

SQL_OPERATORS: Final = (
    "airflow.providers.common.sql.operators.sql.SQLExecuteQueryOperator",
    "airflow.providers.postgres.operators.postgres.PostgresOperator",
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def runs_sql(facts: TaskFacts) -> bool:
    """Say whether a task's result is rows."""
    return any(each.name in SQL_OPERATORS for each in facts.classes)


def sql_text(facts: TaskFacts) -> str | None:
    """Find the one SQL text of a task, as the DAG holds it; None for lists and for what is not known."""
    value = facts.given.get("sql") if facts.is_mapped else facts.attributes.get("sql")
    if not isinstance(value, str):
        return None
    file = facts.files.get(value)
    return file.text if file is not None else value


def result_columns(facts: TaskFacts) -> tuple[str, ...] | None:
    """Name the columns of a task's result where its SQL proves them."""
    if not runs_sql(facts) or facts.is_mapped or elements(facts.attributes.get("sql")):
        return None
    text = sql_text(facts)
    return columns(text) if text is not None else None


def reference_name(task_id: str) -> str:
    """Say how SQL refers to a task's result: its key, or the key with what is no identifier replaced."""
    if _IDENTIFIER.fullmatch(task_id) and task_id not in ("params", "item"):
        return task_id
    name = re.sub(r"[^A-Za-z0-9_]", "_", task_id)
    return name if _IDENTIFIER.fullmatch(name) and name not in ("params", "item") else f"step_{name}"


def pulled_reference(dag: DagFacts, task_id: str, path: tuple[int, ...]) -> str | None:
    """Write `$step.col` for `ti.xcom_pull(task_id)[row][column]` where row is 0 and the SQL names the column."""
    upstream = dag.task(task_id)
    if upstream is None or len(path) != 2 or path[0] != 0:
        return None
    names = result_columns(upstream)
    if names is None or not 0 <= path[1] < len(names):
        return None
    return f"${reference_name(task_id)}.{names[path[1]]}"
