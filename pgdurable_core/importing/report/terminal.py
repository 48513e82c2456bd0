"""The report on a terminal: one table a workflow, then what adds up and what to decide."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pgdurable_core.importing.findings import Fidelity, Finding
from pgdurable_core.importing.protocol import ImportedTask
from pgdurable_core.importing.report.model import READINESSES, Report, Totals, WorkflowReport, totals_of
from pgdurable_core.importing.report.words import count, joined

_COLOUR: Final[dict[Fidelity, str]] = {"exact": "green", "equivalent": "cyan", "review": "yellow", "blocked": "red"}


def render_terminal(console: Console, report: Report) -> None:
    """Print what was read and what becomes of it."""
    facts = report.facts
    noun = "DAG" if "Airflow" in facts.system else "workflow"
    counts = [count(len(report.workflows), noun), count(report.totals.tasks, "task")]
    if facts.extra_files:
        counts.append(count(facts.extra_files, "SQL file"))
    if facts.callbacks:
        counts.append(count(facts.callbacks, "callback"))
    names = [*(workflow.source for workflow in report.workflows), *(failure.path for failure in report.failures)]
    what = names[0] if facts.files == 1 and names else count(facts.files, "file")
    took = f" in {facts.seconds:.1f} s" if facts.seconds else ""
    _line(console, f"{'Read':<10}{what}, {facts.how}{took}: {joined(counts)}")
    for sentence in facts.assumed:
        _line(console, f"{'':<10}{sentence}")
    for finding in report.findings:
        _line(console, f"{'':<10}{finding.code} {finding.short}")
    for failure in report.failures:
        place = failure.finding.place or failure.path
        text = f"[red]{'Failed':<10}[/red]{escape(place)}  {failure.finding.code} {escape(failure.finding.what)}"
        _line(console, text, raw=True)
    for workflow in report.workflows:
        _workflow(console, workflow)
    if len(report.workflows) > 1:
        console.print()
        ready = Counter(workflow.readiness for workflow in report.workflows)
        words = joined(f"{ready[word]} {word}" for word in READINESSES if ready[word])
        _line(console, f"{count(len(report.workflows), noun)}: {words}")
        _line(console, _summary(report.totals))


def _workflow(console: Console, workflow: WorkflowReport) -> None:
    words = workflow.schedule.words
    if workflow.schedule.next_run:
        words += f"; next {workflow.schedule.next_run}"
    if workflow.schedule.past_runs is not None:
        words += f"; enabling starts {count(workflow.schedule.past_runs, 'past run')}"
    console.print()
    _line(console, f"[bold]{escape(workflow.name)}[/bold]   {escape(words)}", raw=True)
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for heading in ("task", "becomes", "fidelity", "finding"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "finding")
    for task in workflow.tasks:
        table.add_row(*_row(workflow, task))
    console.print(table, soft_wrap=False)
    console.print()
    for finding in workflow.findings:
        if finding.task is None and finding.weight != "note":
            place = f" {finding.place}" if finding.place else ""
            _line(console, f"{'DAG':<10}{finding.code}{place}: {finding.short}")
    whole = " (the DAG is blocked as a whole)" if workflow.is_blocked_as_a_whole else ""
    _line(console, f"{_summary(totals_of(workflow))}{whole}")


def _row(workflow: WorkflowReport, task: ImportedTask) -> tuple[str, str, str, str]:
    findings = workflow.findings_of(task.key)
    heaviest = _heaviest(findings)
    more = sum(finding.weight != "note" for finding in findings) - 1
    text = "" if heaviest is None else f"{heaviest.code} {_at(heaviest)}{heaviest.short}"
    if more > 0:
        text += f" (+{more})"
    colour = _COLOUR[task.fidelity]
    name = f"{task.key}[]" if task.is_mapped else task.key
    return escape(name), escape(task.becomes), f"[{colour}]{task.fidelity}[/{colour}]", escape(text)


def _heaviest(findings: Sequence[Finding]) -> Finding | None:
    order = ("blocked", "decide", "changed", "mend")
    telling = [finding for finding in findings if finding.weight in order]
    return min(telling, key=lambda finding: order.index(finding.weight), default=None)


def _at(finding: Finding) -> str:
    return f"line {finding.line}: " if finding.line and finding.weight in ("decide", "mend", "blocked") else ""


def _summary(counted: Totals) -> str:
    """Say in one line how many tasks have which home and fidelity; the numbers add up."""
    homes = joined(f"{value} {home}" for home, value in counted.placed.items() if value or home in ("native", "worker"))
    fidelities = joined(f"{value} {fidelity}" for fidelity, value in counted.fidelities.items())
    return f"{counted.with_home} of {counted.tasks} tasks have a home: {homes}; {fidelities}"


def _line(console: Console, text: str, raw: bool = False) -> None:
    console.print(text if raw else escape(text), soft_wrap=True, highlight=False)
