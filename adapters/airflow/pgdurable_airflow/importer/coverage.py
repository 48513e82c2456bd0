"""The table of operators with a rule, for the README; a test keeps both equal."""

from pgdurable_airflow.importer.rules import RULES


def coverage_table() -> str:
    """Write one Markdown row per rule: the operators it stands for, and where such a task runs."""
    lines = ["| operator | runs | rule |", "|---|---|---|"]
    for rule in RULES:
        names = dict.fromkeys(name.rpartition(".")[2] for name in rule.classes)
        module = rule.convert.__module__.rpartition(".")[2]
        shown = ", ".join(f"`{_shown(name)}`" for name in names)
        lines.append(f"| {shown} | {rule.home} | `rules/{module}.py`, {rule.convert.__name__} |")
    return "\n".join(lines)


def _shown(name: str) -> str:
    """Write a decorated operator as a person knows it: `@task.branch`."""
    decorators = {
        "_BranchPythonDecoratedOperator": "@task.branch",
        "_PythonDecoratedOperator": "@task",
        "_BashDecoratedOperator": "@task.bash",
    }
    return decorators.get(name, name)
