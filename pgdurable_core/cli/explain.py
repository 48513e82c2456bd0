"""`pgdurable explain`: one instance, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.markup import escape

from pgdurable_core.cli.display import (
    between,
    clock,
    coloured,
    duration,
    one_line,
    outcome,
    short_status,
    step_lines,
    why_skipped,
)
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import Target, open_client, resolve_target
from pgdurable_core.cli.watching import short_id
from pgdurable_core.engine import AttemptRow, InstanceRow, StepRow
from pgdurable_core.engine.rows import error_text
from pgdurable_core.graph.model import JsonValue


@click.command()
@click.argument("instance")
@common_options
def explain(instance: str) -> None:
    """Show every step of an instance: state, tries, error, what it waits for.

    INSTANCE is an id or the beginning of one. With -v also the SQL as it is written; `render`
    shows it with its values.

    \b
    Examples:
      pgdurable explain 7f3a09c1
      pgdurable explain 7f3a -v --format json
    """
    invocation = current()
    target = resolve_target(invocation, writes=False)
    with open_client(target) as client:
        row = client.find_instance(instance)
        steps = client.steps(row.instance_id)
        attempts = client.attempts(row.instance_id)
        events = client.events(row.instance_id)
    if invocation.is_json:
        invocation.put_json({"instance": row, "steps": steps, "attempts": attempts, "events": events})
        return
    _head(invocation, row)
    shown = [step for step in steps if step.kind not in ("gather", "end")]
    status_of = {step.key: step.status for step in shown}
    by_key = {line.key: line.all_rows for line in step_lines(shown)}
    for step in shown:
        tries = [attempt for attempt in attempts if _is_of(attempt, step)]
        _step(invocation, step, _what(step, status_of, by_key), tries)
    for event in events:
        by = "" if event.actor is None else f" by {event.actor}"
        why = "" if event.reason is None else f": {event.reason}"
        invocation.out.print(f"[dim]{clock(event.at)}  {escape(f'{event.kind}{by}{why}')}[/dim]")
    _advice(invocation, row, target)


def _head(invocation: Invocation, row: InstanceRow) -> None:
    parts = [f"{row.workflow} v{row.version}", row.instance_id]
    if row.logical_date is not None:
        parts.append(f"logical date {row.logical_date.isoformat()}")
    if row.run_key is not None:
        parts.append(f"run key {row.run_key}")
    took = between(row.started_at, row.finished_at)
    state = row.status if took is None else f"{row.status} in {duration(took)}"
    by = f"started {clock(row.created_at)} by {row.actor or row.submitted_by}"
    invocation.out.print(f"[bold]{escape('   '.join(parts))}[/bold]   {coloured(state, row.status)}   {escape(by)}")
    if row.params:
        invocation.put(f"params    {', '.join(f'{name}={value}' for name, value in row.params.items())}")
    message = error_text(row.error)
    if message:
        invocation.out.print(f"[red]error[/red]     {escape(f'{row.failed_step or str()}: {message}'.lstrip(': '))}")
    invocation.put()


def _what(step: StepRow, status_of: Mapping[str, str], by_key: Mapping[str, Sequence[StepRow]]) -> str:
    """Say what came of a step, or what it is up to."""
    match step.status:
        case "waiting":
            return waits_for(step, status_of)
        case "retrying":
            return f"again {clock(step.due_at)}"
        case "running":
            return f"since {clock(step.started_at)}" + (f", pid {step.pid}" if step.pid else "")
        case "skipped":
            return step.reason or why_skipped(step, by_key)
    return outcome(step)


def _step(invocation: Invocation, step: StepRow, what: str, attempts: list[AttemptRow]) -> None:
    tries = f"{step.attempt} of {step.max_attempts}" if step.attempt and step.max_attempts else ""
    took = between(step.started_at, step.finished_at)
    line = f" {step.label:<22} {step.kind:<7} {tries:<8} {'' if took is None else duration(took):>8}  {what}"
    invocation.out.print(f"  {coloured(f'{short_status(step.status):<9}', step.status)}{escape(line)}".rstrip())
    if step.error is not None and step.status not in ("completed", "skipped"):
        _error(invocation, step.error, step.source)
    for attempt in attempts if invocation.verbose or step.status in ("failed", "retrying") else []:
        text = f"try {attempt.attempt} {attempt.status} {clock(attempt.finished_at)}: {error_text(attempt.error) or ''}"
        invocation.out.print(f"{'':<13}[dim]{escape(one_line(text, 110))}[/dim]")
    if invocation.verbose and step.sql_text:
        for text in step.sql_text.splitlines():
            invocation.out.print(f"{'':<13}[dim]{escape(text)}[/dim]")


def _error(invocation: Invocation, error: JsonValue, source: str | None) -> None:
    """Print a stored error in full: message, detail, hint, and where its author wrote the step."""
    invocation.out.print(f"{'':<13}[red]{escape(error_text(error) or '')}[/red]")
    for name in ("detail", "hint", "context"):
        text = error.get(name) if isinstance(error, dict) else None
        if text:
            lines = str(text).splitlines()
            invocation.put(f"{'':<13}{name:<8}{lines[0]}")
            for rest in lines[1:]:
                invocation.put(f"{'':<21}{rest}")
    if source:
        invocation.put(f"{'':<13}{'source':<8}{source}")


def waits_for(step: StepRow, status_of: Mapping[str, str]) -> str:
    """Say which upstreams have not ended yet."""
    open_keys = [
        key for key in step.after or [] if status_of.get(key) in ("waiting", "ready", "running", "retrying", "sleeping")
    ]
    return f"waits for {', '.join(open_keys)}" if open_keys else "waits for its turn"


def _advice(invocation: Invocation, row: InstanceRow, target: Target) -> None:
    name = short_id(row.instance_id)
    if row.status == "failed":
        key = f" {row.failed_step}" if row.failed_step else ""
        invocation.say("Next", f"pgdurable logs {name}{key}{target.flag}", f"pgdurable retry {name}{target.flag}")


def _is_of(attempt: AttemptRow, step: StepRow) -> bool:
    return (attempt.step, attempt.map_index) == (step.step, step.map_index)
