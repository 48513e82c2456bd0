"""The numbers of a report: computed from homes and fidelities alone, and adding up to the number of tasks."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pgdurable_core.importing.findings import FIDELITIES, HOMES, Fidelity, Finding, Home, Weight
from pgdurable_core.importing.protocol import ImportedTask, ImportedWorkflow, ReadResult

Readiness = Literal["ready", "ready with Python workers", "needs decisions", "blocked"]


@dataclass(frozen=True, slots=True)
class Totals:
    """How many tasks there are, by home and by fidelity. Both sums are `tasks`."""

    tasks: int
    homes: dict[Home, int]
    fidelities: dict[Fidelity, int]


def totals(tasks: Iterable[ImportedTask]) -> Totals:
    """Count tasks; a task has exactly one home and one fidelity."""
    listed = list(tasks)
    homes = Counter(task.home for task in listed)
    fidelities = Counter(task.fidelity for task in listed)
    return Totals(
        tasks=len(listed),
        homes={home: homes[home] for home in HOMES},
        fidelities={fidelity: fidelities[fidelity] for fidelity in FIDELITIES},
    )


def all_tasks(result: ReadResult) -> list[ImportedTask]:
    """List the tasks of every workflow."""
    return [task for workflow in result.imports for task in workflow.tasks]


def readiness(workflow: ImportedWorkflow) -> Readiness:
    """Say in one of four words how far a workflow is from running."""
    if workflow.is_blocked:
        return "blocked"
    if any(finding.weight == "decide" for finding in workflow.findings):
        return "needs decisions"
    if any(task.home != "native" for task in workflow.tasks):
        return "ready with Python workers"
    return "ready"


def of_weight(workflow: ImportedWorkflow, *weights: Weight) -> list[Finding]:
    """List a workflow's findings of the given weights, in order."""
    return [finding for finding in workflow.findings if finding.weight in weights]
