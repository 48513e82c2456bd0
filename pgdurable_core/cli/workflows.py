"""`pgdurable workflows`, `pause`, `resume`: what is deployed, and whether its schedule is on."""

from __future__ import annotations

import click
from rich.table import Table

from pgdurable_core.cli.display import clock
from pgdurable_core.cli.invocation import common_options, current
from pgdurable_core.cli.target import find_workflow, open_client, resolve_target


@click.command()
@common_options
def workflows() -> None:
    """List the workflows of a database."""
    invocation = current()
    target = resolve_target(invocation, writes=False)
    with open_client(target) as client:
        rows = client.workflows()
    if invocation.is_json:
        invocation.put_json(rows)
        return
    if not rows:
        invocation.say("Nothing", f"no workflow in {target.place}; pgdurable deploy FILE{target.flag}")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("workflow", "version", "steps", "schedule", "state", "next"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        name = row.name if row.namespace == "default" else f"{row.namespace}/{row.name}"
        schedule = f"{row.schedule} {row.timezone}" if row.schedule else "none"
        table.add_row(
            name,
            f"v{row.version}",
            str(row.step_count),
            schedule,
            "[yellow]paused[/yellow]" if row.is_paused else "on" if row.schedule else "",
            "" if row.is_paused else clock(row.next_run_at),
        )
    invocation.out.print(table)


@click.command()
@click.argument("workflow")
@click.option("--reason", help="Why; kept with the event.")
@common_options
def pause(workflow: str, reason: str | None) -> None:
    """Stop a workflow's schedule; what runs goes on."""
    _switch(workflow, reason, on=False)


@click.command()
@click.argument("workflow")
@click.option("--reason", help="Why; kept with the event.")
@common_options
def resume(workflow: str, reason: str | None) -> None:
    """Take a pause back. This version runs no schedules, so a workflow that has one stays paused (PD501).

    A pause holds up schedules alone: `pgdurable start` starts runs of a paused workflow too, from cron for example.

    \b
    Example:
      pgdurable start orders_daily --env prod --date 2026-11-21 --run-key 2026-11-21
    """
    _switch(workflow, reason, on=True)


def _switch(workflow: str, reason: str | None, *, on: bool) -> None:
    invocation = current()
    target = resolve_target(invocation, writes=True)
    with open_client(target) as client:
        namespace, name = find_workflow(client, workflow, target.project.namespace)
        (client.resume if on else client.pause)(name, namespace, reason)
        rows = client.workflows(name=name, namespace=namespace)
    if invocation.is_json:
        invocation.put_json(rows[0] if rows else None)
    else:
        next_run = clock(rows[0].next_run_at) if rows else ""
        state = (f"resumed; next run {next_run}" if next_run else "resumed") if on else "paused"
        invocation.say("Done", f"{workflow} {state}, {target.place}")
