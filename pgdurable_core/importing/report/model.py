"""The one model behind every rendering of a report, and its numbers, which add up to the number of tasks.

A report holds values alone, no graph and nothing of the clock: equal readings are equal reports, and one that was saved
as JSON renders again as it did.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from pgdurable_core.graph.model import Branch, Check, Python, Run, Shell, Sql
from pgdurable_core.importing.findings import FIDELITIES, HOMES, Fidelity, Finding, Home, Weight
from pgdurable_core.importing.protocol import (
    ImportedTask,
    ImportedWorkflow,
    Needs,
    Proof,
    ReadFacts,
    ReadFailure,
    ReadResult,
    ScheduleFacts,
)

Readiness = Literal["ready", "ready with Python workers", "needs decisions", "blocked"]

READINESSES: Final[tuple[Readiness, ...]] = get_args(Readiness)


@dataclass(frozen=True, slots=True)
class WorkflowReport:
    """One workflow of the source: every task of it, every finding, and what it takes to run.

    `runs` says for each task that is not blocked what its step executes: SQL, a callable, a command. `files` are the
    paths that the import means to write, none when it must not.
    """

    name: str
    source: str
    source_hash: str
    schedule: ScheduleFacts
    tasks: tuple[ImportedTask, ...]
    findings: tuple[Finding, ...]
    runs: Mapping[str, str] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)
    proofs: tuple[Proof, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def is_blocked(self) -> bool:
        """Say whether something in it cannot run, so that it must not be deployed."""
        return bool(self.of_weight("blocked"))

    @property
    def is_blocked_as_a_whole(self) -> bool:
        """Say whether no task of it can run, whatever its own fidelity: its graph or its name is in question."""
        return any(finding.task is None for finding in self.of_weight("blocked"))

    @property
    def readiness(self) -> Readiness:
        """Say in one of four words how far it is from running."""
        if self.is_blocked:
            return "blocked"
        if self.of_weight("decide"):
            return "needs decisions"
        return "ready" if all(task.home == "native" for task in self.tasks) else "ready with Python workers"

    def findings_of(self, task: str) -> tuple[Finding, ...]:
        """List the findings of one task, in the order in which they were made."""
        return tuple(finding for finding in self.findings if finding.task == task)

    def of_weight(self, *weights: Weight) -> tuple[Finding, ...]:
        """List the findings of these weights, in order."""
        return tuple(finding for finding in self.findings if finding.weight in weights)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one reading has to say. Files that were read and files that failed are all the files there were.

    `folder` is where the import writes, as the commands that the report advises name it.
    """

    facts: ReadFacts
    workflows: tuple[WorkflowReport, ...]
    failures: tuple[ReadFailure, ...] = ()
    findings: tuple[Finding, ...] = ()
    folder: str = "workflows"

    @property
    def totals(self) -> "Totals":
        """Add up the tasks of all workflows."""
        return add([totals_of(workflow) for workflow in self.workflows])


@dataclass(frozen=True, slots=True)
class Totals:
    """How many tasks there are, by home and by fidelity; both sums are `tasks`, and so is that of `cells`.

    A blocked task counts at the home it would have. `placed` are those that have it, by home: neither blocked
    themselves nor part of a workflow that is blocked as a whole.
    """

    tasks: int
    homes: dict[Home, int]
    fidelities: dict[Fidelity, int]
    cells: dict[tuple[Home, Fidelity], int]
    placed: dict[Home, int]

    @property
    def with_home(self) -> int:
        """Return how many tasks have a home."""
        return sum(self.placed.values())

    @property
    def percent(self) -> float:
        """Return the share of tasks that have a home; of no tasks, all."""
        return 100 * self.with_home / self.tasks if self.tasks else 100.0


def make_report(result: ReadResult, folder: str = "workflows") -> Report:
    """Take from a reading what reports are made of."""
    return Report(
        facts=result.facts,
        workflows=tuple(_workflow(workflow) for workflow in result.imports),
        failures=result.failures,
        findings=result.findings,
        folder=folder,
    )


def totals(tasks: Iterable[ImportedTask], *, blocked_as_a_whole: bool = False) -> Totals:
    """Count tasks; each has exactly one home and one fidelity."""
    cells = Counter((task.home, task.fidelity) for task in tasks)
    homes = {home: sum(cells[home, fidelity] for fidelity in FIDELITIES) for home in HOMES}
    return Totals(
        tasks=cells.total(),
        homes=homes,
        fidelities={fidelity: sum(cells[home, fidelity] for home in HOMES) for fidelity in FIDELITIES},
        cells={(home, fidelity): cells[home, fidelity] for home in HOMES for fidelity in FIDELITIES},
        placed={home: 0 if blocked_as_a_whole else homes[home] - cells[home, "blocked"] for home in HOMES},
    )


def totals_of(workflow: WorkflowReport) -> Totals:
    """Count the tasks of one workflow."""
    return totals(workflow.tasks, blocked_as_a_whole=workflow.is_blocked_as_a_whole)


def add(parts: Iterable[Totals]) -> Totals:
    """Add totals up."""
    listed = list(parts)
    return Totals(
        tasks=sum(part.tasks for part in listed),
        homes={home: sum(part.homes[home] for part in listed) for home in HOMES},
        fidelities={fidelity: sum(part.fidelities[fidelity] for part in listed) for fidelity in FIDELITIES},
        cells={
            (home, fidelity): sum(part.cells[home, fidelity] for part in listed)
            for home in HOMES
            for fidelity in FIDELITIES
        },
        placed={home: sum(part.placed[home] for part in listed) for home in HOMES},
    )


def _workflow(workflow: ImportedWorkflow) -> WorkflowReport:
    steps = workflow.graph.by_key
    return WorkflowReport(
        name=workflow.name,
        source=workflow.source,
        source_hash=workflow.source_hash,
        schedule=workflow.schedule,
        tasks=workflow.tasks,
        findings=workflow.findings,
        runs={
            task.key: text
            for task in workflow.tasks
            # The step of a blocked task raises its reason, which the findings say already.
            if task.fidelity != "blocked" and task.key in steps and (text := _text(steps[task.key].run))
        },
        needs=workflow.needs,
        proofs=workflow.proofs,
        modules={name: module.digest for name, module in workflow.modules.items()},
        files=tuple(file.path for file in workflow.files),
    )


def _text(run: Run) -> str:
    match run:
        case Sql() | Check() | Branch():
            return run.sql
        case Python():
            return run.callable
        case Shell():
            return run.command
        case _:
            return ""
