"""Follow one instance to its end: a live table on a terminal, a line per finished step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

from rich.live import Live
from rich.markup import escape
from rich.text import Text

from pgdurable_core.cli.display import StepLine, between, coloured, duration, short_status, step_lines
from pgdurable_core.cli.invocation import Invocation
from pgdurable_core.engine import Client, InstanceRow
from pgdurable_core.engine.rows import StepRow, error_text

SHORTEST_LOOK = 0.05
LONGEST_LOOK = 0.5
# What is under way stands below what has ended, at most so many lines of it.
SHOWN = 12
BUSY = ("ready", "running", "sleeping", "retrying")


def short_id(instance_id: str) -> str:
    """Shorten an id for people; commands take any beginning that is unique."""
    return instance_id[:8]


def follow(
    invocation: Invocation,
    client: Client,
    instance_id: str,
    check: Callable[[], None] | None = None,
    *,
    afterword: str = "",
) -> InstanceRow:
    """Show the steps until the instance has ended, and return it. `check` may raise when waiting makes no sense.

    The afterword stands behind the last line of a success.
    """
    printed: set[str] = set()
    pause = SHORTEST_LOOK
    console = invocation.out
    quiet = invocation.is_json
    live = Live(console=console, refresh_per_second=10, transient=True) if console.is_terminal and not quiet else None
    with live or nullcontext():
        while True:
            row = client.instance(instance_id)
            lines = step_lines(client.steps(instance_id))
            fresh = [line for line in lines if line.is_finished and line.key not in printed]
            if live is not None:
                busy = [line for line in lines if line.status in BUSY]
                more = [f"            and {len(busy) - SHOWN} more"] if len(busy) > SHOWN else []
                live.update(Text.from_markup("\n".join([*map(line_markup, busy[:SHOWN]), *more])))
            if not quiet:
                for line in fresh:
                    console.print(line_markup(line))
            printed |= {line.key for line in fresh}
            if row.is_finished:
                break
            if check is not None:
                check()
            pause = SHORTEST_LOOK if fresh else min(pause * 1.5, LONGEST_LOOK)
            time.sleep(pause)
    if not quiet:
        console.print(conclusion(row, client.steps(instance_id), afterword))
    return row


def line_markup(line: StepLine) -> str:
    """Write one step: state, name, what came out, how long it took."""
    seconds = line.so_far if line.status in BUSY else line.seconds
    took = "" if seconds is None or line.status in ("skipped", "removed", "upstream_failed") else duration(seconds)
    state = coloured(f"{short_status(line.status):<9}", line.status)
    return f"  {state} {escape(f'{line.label:<20} {line.detail:<28} {took:>8}')}".rstrip()


def conclusion(row: InstanceRow, steps: list[StepRow], afterword: str = "") -> str:
    """Sum an ended instance up in one line of markup."""
    lines = step_lines(steps)
    ran = sum(line.status in ("completed", "failed", "cancelled") for line in lines)
    skipped = sum(line.status in ("skipped", "removed") for line in lines)
    retries = sum(max((step.attempt or 1) - 1, 0) for line in lines for step in line.rows)
    seconds = between(row.started_at or row.created_at, row.finished_at) or 0.0
    text = (
        f"in {duration(seconds)}: {ran} step{'' if ran == 1 else 's'} ran, {skipped} skipped,"
        f" {retries} {'retry' if retries == 1 else 'retries'}"
    )
    head = {"completed": "[green]Success[/green]   ", "failed": "[red]Failed[/red]    "}.get(
        row.status, "[magenta]Cancelled[/magenta] "
    )
    message = error_text(row.error)
    failed = f"\n          {row.failed_step}: {message}" if row.status == "failed" and message else ""
    more = f". {afterword}" if afterword and row.status == "completed" else ""
    return head + escape(text + more + failed)
