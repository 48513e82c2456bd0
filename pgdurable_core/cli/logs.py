"""`pgdurable logs`: what steps printed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
from rich.markup import escape

from pgdurable_core.cli.display import clock
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import open_client, resolve_target
from pgdurable_core.cli.watching import short_id
from pgdurable_core.engine import Client, InstanceRow, LogRow
from pgdurable_core.errors import NotFoundError

LOOK_EVERY = 0.5


@click.command()
@click.argument("instance")
@click.argument("step", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the instance has ended.")
@common_options
def logs(instance: str, step: str | None, follow: bool) -> None:
    """Print the log of an instance, or of one step: stdout, stderr and notices of every attempt.

    INSTANCE is an id or the beginning of one. What a step printed is kept though its work was rolled back.
    --format json prints one array, and with -f, where lines come one by one, an object a line.

    \b
    Examples:
      pgdurable logs 7f3a09c1
      pgdurable logs 7f3a09c1 erp_batch -f
      pgdurable logs 7f3a09c1 -f --format json | jq -r .line
    """
    invocation = current()
    target = resolve_target(invocation, writes=False)
    with open_client(target) as client:
        row = client.find_instance(instance)
        known = {each.key for each in client.steps(row.instance_id)}
        if step is not None and step not in known:
            raise NotFoundError(
                f"{row.workflow} {short_id(row.instance_id)} has no step {step}",
                hint=f"its steps: {', '.join(sorted(known))}",
            )
        if invocation.is_json and not follow:
            invocation.put_json(list(_lines(client, row, step, 0)))
            return
        last = _print_new(invocation, client, row, step, 0)
        while follow and not client.instance(row.instance_id).is_finished:
            time.sleep(LOOK_EVERY)
            last = _print_new(invocation, client, row, step, last)
        if follow:
            last = _print_new(invocation, client, row, step, last)
    if last == 0 and not invocation.is_json:
        who = f"step {step} of {row.workflow}" if step else row.workflow
        invocation.say("Note", f"{who} {short_id(row.instance_id)} has not printed anything")


def _print_new(invocation: Invocation, client: Client, row: InstanceRow, step: str | None, last: int) -> int:
    """Print every line after `last` and return the id of the last one printed."""
    for line in _lines(client, row, step, last):
        _print(invocation, line, alone=step is not None)
        last = line.log_id
    return last


def _lines(client: Client, row: InstanceRow, step: str | None, last: int) -> Iterator[LogRow]:
    """Read every line after `last`, a page at a time."""
    while lines := client.logs(row.instance_id, key=step, after=last):
        yield from lines
        last = lines[-1].log_id


def _print(invocation: Invocation, line: LogRow, *, alone: bool) -> None:
    if invocation.is_json:
        invocation.put_json_line(line)
        return
    label = line.key if line.map_index is None or line.map_index < 0 else f"{line.key}[{line.map_index}]"
    attempt = f" try {line.attempt}" if line.attempt > 1 else ""
    head = f"{clock(line.at)} {'' if alone and line.map_index is None else f'{label} '}{line.stream}{attempt}"
    invocation.out.print(f"[dim]{escape(head)}[/dim]  {escape(line.line)}")
