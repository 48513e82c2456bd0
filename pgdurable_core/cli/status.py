"""`pgdurable status`: what runs, what failed, what is late, who works."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from pgdurable_core.cli import exits
from pgdurable_core.cli.display import between, clock, coloured, duration, one_line, short_status
from pgdurable_core.cli.invocation import common_options, current
from pgdurable_core.cli.target import Target, open_client, resolve_target
from pgdurable_core.cli.watching import short_id
from pgdurable_core.engine import Client, InstanceRow, LateRow, QueueRow, StepRow, WorkerRow, WorkflowRow
from pgdurable_core.engine.rows import error_text

FAILED_WITHIN = timedelta(hours=24)
# A worker that is there takes a step in milliseconds; minutes mean that none serves it, or that all have other work.
LATE_AFTER = timedelta(minutes=5)
SHOWN = 20
LOOK_EVERY = 2.0


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at a database."""

    place: str
    engine: str
    workers: tuple[WorkerRow, ...]
    queue: QueueRow
    running: tuple[tuple[InstanceRow, tuple[StepRow, ...]], ...]
    more_running: int
    failed: tuple[tuple[InstanceRow, tuple[StepRow, ...]], ...]
    late: tuple[LateRow, ...]
    running_kinds: frozenset[str]
    workflows: tuple[WorkflowRow, ...]

    @property
    def is_unattended(self) -> bool:
        """Say whether steps wait and no worker is alive to run them."""
        return self.queue.count > 0 and not self.has_worker

    @property
    def has_worker(self) -> bool:
        return any(worker.is_alive for worker in self.workers)

    @property
    def is_well(self) -> bool:
        return not self.failed and not self.late and not self.is_unattended


def look(client: Client, target: Target) -> Overview:
    """Read everything once."""
    running = client.open_instances()
    failed = client.ended_instances(FAILED_WITHIN, ["failed"])
    late = client.late_steps(LATE_AFTER)
    server = client.server()
    return Overview(
        f"{target.name}   {target.place}" if target.kind == "environment" else target.place,
        f"df {client.version().split(' ')[0]}, PostgreSQL {server.version.split(' ')[0]}",
        tuple(client.workers()),
        client.queue(),
        tuple((row, tuple(client.steps(row.instance_id))) for row in running[:SHOWN]),
        max(len(running) - SHOWN, 0),
        tuple((row, tuple(client.steps(row.instance_id))) for row in failed),
        tuple(late),
        client.running_kinds() if late else frozenset(),
        tuple(client.workflows()),
    )


@click.command()
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@common_options
def status(watch: bool) -> int:
    """Show what runs, what failed in 24 hours, what nobody takes, and who works.

    Exit 1 while anything failed in the last 24 hours, is late (due for five minutes, and no worker has taken it), or
    waits with no worker alive.

    \b
    Examples:
      pgdurable status
      pgdurable status --env prod --watch
      pgdurable status --format json | jq '.failed[].instance.workflow'
    """
    invocation = current()
    target = resolve_target(invocation, writes=False)
    with open_client(target, "pgdurable status") as client:
        if watch and not invocation.is_json:
            with Live(console=invocation.out, screen=invocation.out.is_terminal, auto_refresh=False) as live:
                while True:
                    live.update(Text.from_markup(render(look(client, target), target)), refresh=True)
                    time.sleep(LOOK_EVERY)
        overview = look(client, target)
    if invocation.is_json:
        invocation.put_json(_as_json(overview))
    else:
        show(invocation.out, overview, target)
    return exits.DONE if overview.is_well else exits.NO


def show(console: Console, overview: Overview, target: Target) -> None:
    """Print an overview."""
    console.print(render(overview, target))


def render(overview: Overview, target: Target) -> str:
    """Write an overview as markup."""
    alive = [worker for worker in overview.workers if worker.is_alive]
    beat = max((worker.last_beat_at for worker in alive), default=None)
    since = between(beat, datetime.now(UTC))
    workers = f"{len(alive)} worker{'' if len(alive) == 1 else 's'}"
    if since is not None:
        workers += f" (last beat {duration(since)} ago)"
    queue = f"queue {overview.queue.count}"
    oldest = between(overview.queue.oldest_at, datetime.now(UTC))
    if oldest is not None:
        queue += f", oldest {duration(oldest)}"
    lines = [
        f"[bold]{escape(overview.place)}[/bold]   {escape(overview.engine)}   {workers}, {queue}",
        "",
    ]
    if overview.is_unattended:
        count = overview.queue.count
        waiting = "1 step waits" if count == 1 else f"{count} steps wait"
        lines += [f"[red]UNATTENDED[/red]  {waiting}, no worker: pgdurable worker{escape(target.flag)}", ""]
    lines.append(f"[bold]RUNNING {len(overview.running) + overview.more_running}[/bold]")
    for row, steps in overview.running:
        lines += _running(row, steps)
    if overview.more_running:
        lines.append(f"  and {overview.more_running} more")
    colour = "red" if overview.failed else "bold"
    lines.append(f"[{colour}]FAILED {len(overview.failed)}[/{colour}] in 24 h")
    for row, steps in overview.failed:
        lines += _failed(row, steps, target)
    count = sum(row.count for row in overview.late)
    lines.append(f"[{'red' if count else 'bold'}]LATE {count}[/]")
    lines += [_late(row, overview, target) for row in overview.late[:SHOWN]]
    if len(overview.late) > SHOWN:
        lines.append(f"  and {sum(row.count for row in overview.late[SHOWN:])} more")
    lines.append(_next(overview.workflows))
    return "\n".join(lines)


def _running(row: InstanceRow, steps: Sequence[StepRow]) -> list[str]:
    busy = [step for step in steps if step.status in ("running", "retrying", "sleeping") and step.kind != "map"]
    waiting = [step for step in steps if step.status == "ready"]
    lines = []
    for step in busy[:3] or waiting[:1]:
        text = f"  {row.workflow:<16} {_when(row):<10} {short_id(row.instance_id)}   {step.label:<16} "
        lines.append(escape(text) + coloured(f"{short_status(step.status):<9}", step.status) + escape(_doing(step)))
    if not lines:
        flag = "cancelling" if row.is_cancelling else row.status
        lines.append(escape(f"  {row.workflow:<16} {_when(row):<10} {short_id(row.instance_id)}   {flag}"))
    if len(busy) > 3:
        lines.append(f"{'':<40}and {len(busy) - 3} more steps")
    return lines


def _doing(step: StepRow) -> str:
    parts = []
    if (step.attempt or 1) > 1 or step.status == "retrying":
        parts.append(f"try {step.attempt} of {step.max_attempts}")
    if step.status == "running":
        since = between(step.started_at, datetime.now(UTC))
        parts.append("" if since is None else duration(since))
        parts.append(f"pid {step.pid}" if step.pid else "")
        parts.append(one_line(step.sql_text or "", 50))
    if step.due_at is not None:
        parts.append(f"next {clock(step.due_at)}")
    parts.append(one_line(error_text(step.error) or step.reason or "", 50))
    return "  ".join(part for part in parts if part)


def _failed(row: InstanceRow, steps: Sequence[StepRow], target: Target) -> list[str]:
    failed = [step for step in steps if step.status == "failed"]
    step = next((step for step in failed if step.key == row.failed_step), failed[0] if failed else None)
    behind = sum(other.status == "upstream_failed" for other in steps)
    tries = "" if step is None else f"{step.attempt} of {step.max_attempts} tries, "
    error = error_text(row.error) or (None if step is None else error_text(step.error)) or ""
    name = row.failed_step or ("" if step is None else step.label)
    first = f"  {row.workflow:<16} {_when(row):<10} {short_id(row.instance_id)}   {name:<16} "
    lines = [
        escape(f"{first}{tries}{clock(row.finished_at)}   {one_line(error, 80)}"),
        f"{'':<19}" + escape(f"{step.source}   " if step is not None and step.source else ""),
    ]
    lines[1] += f"{behind} steps behind it did not run   " if behind else ""
    flag = escape(target.flag)
    lines[1] += f"pgdurable explain {short_id(row.instance_id)}{flag}, retry {short_id(row.instance_id)}{flag}"
    return lines


def _late(row: LateRow, overview: Overview, target: Target) -> str:
    """Say since when a step is due, why most likely nobody takes it, and what to start."""
    is_outside = row.kind in ("python", "shell")
    noun, option = ("Python and shell steps", " --python 2") if is_outside else ("SQL steps", " --sql 4")
    lane = {"python", "shell"} if is_outside else {"sql", "check", "branch"}
    if not overview.has_worker:
        why, more = "no worker is alive", ""
    elif overview.running_kinds & lane:
        why, more = f"all that take {noun} are busy", option
    elif is_outside:
        why, more = f"no worker takes {noun}", option
    else:
        why, more = f"no worker takes {noun}, or none was granted its role (df.grant_worker)", option
    label = row.key if row.count == 1 else f"{row.key}[{row.count}]"
    waits = f"ready for {duration(between(row.since, datetime.now(UTC)) or 0.0)}"
    place = f"  {row.workflow:<16} {_when(row):<10} {short_id(row.instance_id)}   {label:<16} "
    return escape(f"{place}{waits}   {why}: pgdurable worker{target.flag}{more}")


def _next(workflows: Sequence[WorkflowRow]) -> str:
    due = sorted((row.next_run_at, row.name) for row in workflows if row.next_run_at and not row.is_paused)[:3]
    paused = sum(row.is_paused for row in workflows)
    parts = [f"{clock(at)} {name}" for at, name in due] or ["nothing is scheduled"]
    count = f"{len(workflows)} workflow{'' if len(workflows) == 1 else 's'}, {paused} paused"
    return "[bold]NEXT[/bold]  " + escape(f"{'   '.join(parts)}        {count}")


def _when(row: InstanceRow | LateRow) -> str:
    return "" if row.logical_date is None else f"ds {row.logical_date.astimezone(UTC):%d %b}"


def _as_json(overview: Overview) -> dict[str, object]:
    def pairs(rows: Sequence[tuple[InstanceRow, tuple[StepRow, ...]]]) -> list[dict[str, object]]:
        return [{"instance": row, "steps": steps} for row, steps in rows]

    return {
        "place": overview.place,
        "engine": overview.engine,
        "is_well": overview.is_well,
        "is_unattended": overview.is_unattended,
        "queue": overview.queue.count,
        "oldest_ready_at": overview.queue.oldest_at,
        "workers": overview.workers,
        "running": pairs(overview.running),
        "failed": pairs(overview.failed),
        "late": overview.late,
        "workflows": overview.workflows,
    }
