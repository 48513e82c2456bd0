"""Empty tasks and branches."""

from pgdurable_airflow.importer.facts import elements, is_row, items, plain
from pgdurable_airflow.importer.rules.lifting import NotLiftableError, lift_branch
from pgdurable_airflow.importer.rules.mapping import refuse_mapping
from pgdurable_airflow.importer.task import Draft, Task
from pgdurable_core.graph.model import Branch


def empty(task: Task) -> Draft:
    """Turn EmptyOperator into an empty step."""
    if task.facts.is_mapped:
        raise refuse_mapping(task, "nothing that an empty task could use")
    return Draft(becomes="empty")


def branch(task: Task) -> Draft:
    """Turn a params-only branch function into SQL, proven equal by running the function for every value."""
    task.ignore(
        "python_callable",
        "op_args",
        "op_kwargs",
        "templates_dict",
        "templates_exts",
        "expect_airflow",
        "kwargs_to_upstream",
        "multiple_outputs",
        "show_return_value_in_logs",
    )
    facts = task.facts
    if facts.is_mapped:
        raise refuse_mapping(task, "a branch")
    table = facts.table if is_row(facts.table) else None
    if (
        facts.callable is None
        or table is None
        or elements(facts.given.get("op_args"))
        or items(facts.given.get("op_kwargs"))
    ):
        raise _stays(task, "its function does more than compare params")
    if "open" in table:
        raise _stays(task, f"params.{table['open']} has no closed set of values (enum, const or boolean)")
    if "raises" in table:
        raise _stays(task, f"its function raises {table['raises']}")
    rows = [(plain(pair[0]), plain(pair[1])) for row in elements(table["rows"]) if len(pair := elements(row)) == 2]
    try:
        lifted = lift_branch(facts.callable, rows, task.around.dag.params)
    except NotLiftableError as error:
        raise _stays(task, str(error)) from error
    known = {other.task_id for other in task.around.dag.tasks}
    for name in lifted.targets:
        if name not in known:
            raise task.refuse(
                "AF204",
                f"can return {name!r}, which is no task",
                f"The branch can return {name!r}, which "
                "is no task of this DAG (a task group's id is not supported by this version).",
                "Return task ids, with the group's name before them.",
            )
    count = "both values" if len(rows) == 2 else f"all {len(rows)} combinations"
    of_what = " and ".join(lifted.params)
    if not lifted.params:
        count, of_what = "every run", "the workflow"
    proof = "its syntax gives" if table.get("by") == "syntax" else "the original function gave"
    task.find(
        "AF160",
        f"same choice for {count} of {of_what}",
        f"The branch is Python: `{lifted.original}`.",
        f"It was lifted to SQL; {proof} the same answer for {count} of {of_what}.",
    )
    return Draft(
        run=Branch(lifted.sql),
        becomes="branch, lifted from Python",
        comments=(f"Lifted, equal for {count} of {of_what}:  {lifted.original}",),
    )


def _stays(task: Task, why: str) -> Exception:
    return task.refuse(
        "AF164",
        f"branch stays in Python: {why}",
        f"The branch cannot be lifted to SQL: {why}. The workflow document of this version has branches in SQL alone.",
        "Give the params an enum and compare nothing else, or branch in SQL.",
        line=task.facts.callable.def_line if task.facts.callable else None,
    )
