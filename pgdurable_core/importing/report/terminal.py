"""The report on a terminal: one table a workflow, then what adds up and what to decide."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pgdurable_core.importing.findings import Fidelity, Finding
from pgdurable_core.importing.protocol import ImportedTask, ImportedWorkflow, ReadResult
from pgdurable_core.importing.report.model import of_weight, totals

_COLOUR: dict[Fidelity, str] = {"exact": "green", "equivalent": "cyan", "review": "yellow", "blocked": "red"}


def render_terminal(console: Console, result: ReadResult) -> None:
    """Print what was read and what becomes of it."""
    facts = result.facts
    counts = [
        _count(len(result.imports), "DAG" if "Airflow" in facts.system else "workflow"),
        _count(sum(len(workflow.tasks) for workflow in result.imports), "task"),
    ]
    if facts.extra_files:
        counts.append(_count(facts.extra_files, "SQL file"))
    if facts.callbacks:
        counts.append(_count(facts.callbacks, "callback"))
    what = (
        result.imports[0].source.split(" ")[0] if facts.files == 1 and result.imports else _count(facts.files, "file")
    )
    _line(console, f"{'Read':<10}{what}, {facts.how} in {facts.seconds:.1f} s: {', '.join(counts)}")
    for sentence in facts.assumed:
        _line(console, f"{'':<10}{sentence}")
    for finding in result.findings:
        _line(console, f"{'':<10}{finding.code} {finding.short}")
    for failure in result.failures:
        place = failure.finding.place or failure.path
        _line(
            console,
            f"[red]{'Failed':<10}[/red]{escape(place)}  {failure.finding.code} {escape(failure.finding.what)}",
            raw=True,
        )
    for workflow in result.imports:
        _workflow(console, workflow)


def _workflow(console: Console, workflow: ImportedWorkflow) -> None:
    words = workflow.schedule.words
    if workflow.schedule.next_run:
        words += f"; next {workflow.schedule.next_run}"
    if workflow.schedule.past_runs is not None:
        words += f"; enabling starts {_count(workflow.schedule.past_runs, 'past run')}"
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
    _line(console, summary(workflow))


def _row(workflow: ImportedWorkflow, task: ImportedTask) -> tuple[str, str, str, str]:
    heaviest = _heaviest(workflow.findings_of(task.key))
    more = sum(finding.weight != "note" for finding in workflow.findings_of(task.key)) - 1
    text = "" if heaviest is None else f"{heaviest.code} {_at(heaviest)}{heaviest.short}"
    if more > 0:
        text += f" (+{more})"
    colour = _COLOUR[task.fidelity]
    name = f"{task.key}[]" if task.is_mapped else task.key
    return escape(name), escape(task.becomes), f"[{colour}]{task.fidelity}[/{colour}]", escape(text)


def _heaviest(findings: tuple[Finding, ...]) -> Finding | None:
    order = ("blocked", "decide", "changed", "mend")
    telling = [finding for finding in findings if finding.weight in order]
    return min(telling, key=lambda finding: order.index(finding.weight), default=None)


def _at(finding: Finding) -> str:
    return f"line {finding.line}: " if finding.line and finding.weight in ("decide", "mend", "blocked") else ""


def summary(workflow: ImportedWorkflow) -> str:
    """Say in one line how many tasks have which home and fidelity; the numbers add up."""
    counted = totals(workflow.tasks)
    homes = ", ".join(
        f"{number} {home}" for home, number in counted.homes.items() if number or home in ("native", "worker")
    )
    fidelities = ", ".join(f"{number} {fidelity}" for fidelity, number in counted.fidelities.items())
    return f"{counted.tasks} of {counted.tasks} tasks have a home: {homes}; {fidelities}"


def decisions(workflow: ImportedWorkflow) -> list[Finding]:
    """List what a person must decide or change before this runs as it did."""
    return of_weight(workflow, "blocked", "decide")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _line(console: Console, text: str, raw: bool = False) -> None:
    console.print(text if raw else escape(text), soft_wrap=True, highlight=False)
