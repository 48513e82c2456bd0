"""`pgdurable purge`: let old instances go."""

from __future__ import annotations

from datetime import timedelta

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import ask, find_workflow, open_client, resolve_target
from pgdurable_core.engine import Client, Purged
from pgdurable_core.graph.duration import parse_duration

# A call that is bounded so says every few seconds how far it is.
CALL_SECONDS = 5.0


def read_age(_context: click.Context, _parameter: click.Parameter, text: str | None) -> timedelta | None:
    """Read `30d` or `12 h`."""
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--older-than", callback=read_age, metavar="AGE", help="What ended longer ago: 30d, 12h.")
@click.option("--workflow", metavar="NAME", help="Only this workflow: a name, or namespace/name.")
@click.option("--keep-keys", callback=read_age, metavar="AGE", help="How long after its end a run key still counts.")
@click.option("--dry-run", is_flag=True, help="Print what would go, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
def purge(
    older_than: timedelta | None, workflow: str | None, keep_keys: timedelta | None, dry_run: bool, yes: bool
) -> int:
    """Remove finished instances with their steps, attempts, logs and events.

    Without --older-than, what df.set_retention says, for the workflows of which it says something. Goes in small
    transactions that hold up nobody; Ctrl-C leaves what is done done, and the next purge goes on. Run keys stay 90 days
    longer, so that a late retry of a caller starts nothing twice. Old versions, and modules that no version pins, go
    too. For the owner of df and operators.

    \b
    Examples:
      pgdurable purge --older-than 30d --dry-run
      pgdurable purge --older-than 30d --workflow orders_daily --env prod
      pgdurable db psql -- -c "select df.set_retention('30 days')"   workers purge from then on, a little at a time
    """
    invocation = current()
    target = resolve_target(invocation, writes=True)
    with open_client(target, "pgdurable purge") as client:
        namespace, name = (
            (None, None) if workflow is None else find_workflow(client, workflow, target.project.namespace)
        )
        found = client.purgeable(older_than=older_than, workflow=name, namespace=namespace, keep_keys=keep_keys)
        if dry_run:
            if invocation.is_json:
                invocation.put_json(found)
            for row in () if invocation.is_json else found:
                oldest = "" if row.oldest is None else f"   oldest {row.oldest:%Y-%m-%d %H:%M}"
                invocation.put(
                    f"{row.count:>9} {row.what.replace('_', ' '):<10} {row.namespace}/{row.workflow}{oldest}"
                )
            if not found and not invocation.is_json:
                invocation.say("Nothing", "is older than that")
            return exits.DONE
        lines = [
            f"removes   {row.count} {row.what.replace('_', ' ')} of {row.namespace}/{row.workflow}" for row in found
        ]
        ask(invocation, target, lines or ["removes   nothing that has ended; perhaps old versions"], yes=yes)
        gone = _until_over(invocation, client, older_than, name, namespace, keep_keys)
    if invocation.is_json:
        invocation.put_json(gone)
    else:
        invocation.say("Purged", str(gone))
    return exits.DONE


def _until_over(
    invocation: Invocation,
    client: Client,
    older_than: timedelta | None,
    workflow: str | None,
    namespace: str | None,
    keep_keys: timedelta | None,
) -> Purged:
    total = Purged()
    while not total.is_over:
        total += client.purge(
            older_than=older_than, workflow=workflow, namespace=namespace, keep_keys=keep_keys, max_seconds=CALL_SECONDS
        )
        if not total.is_over:
            invocation.say("Going on", str(total))
    return total
