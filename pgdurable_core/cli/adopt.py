"""`pgdurable adopt`: say what a copy of a database is."""

from __future__ import annotations

import click

from pgdurable_core.cli.installation import endpoint_of
from pgdurable_core.cli.invocation import common_options, current
from pgdurable_core.cli.target import ask, open_client, resolve_target
from pgdurable_core.schema.script import record


@click.command()
@click.argument("what", type=click.Choice(["move", "copy"]))
@click.option("--as", "name", metavar="NAME", help="What it is called from now on; with --env, that name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
def adopt(what: str, name: str | None, yes: bool) -> None:
    """Say what a copied database is. Until then nothing is started or run in it.

    A restored dump or a clone holds the open instances of its original: run in both, they would do everything twice.

    \b
    move   it takes the original's place: what is open goes on here
    copy   it stands beside the original: what is open in it is cancelled, schedules are paused

    Connections and variables stay as they are, and may point to what the original works on. A promoted standby or a
    base backup cannot be told from its original: adopt a copy of that kind before you start a worker on it. For the
    owner of df.

    \b
    Examples:
      pgdurable adopt copy --as staging --dsn "host=staging dbname=warehouse"
      pgdurable adopt move --env prod
    """
    invocation = current()
    target = resolve_target(invocation, writes=True)
    name = name or target.name or None
    with open_client(target, "pgdurable adopt") as client:
        is_open = len(client.open_instances())
        fate = "go on here" if what == "move" else "are cancelled"
        lines = [
            f"adopt     as a {what}{'' if name is None else f' named {name}'}",
            f"open      {is_open} instances {fate}",
        ]
        ask(invocation, target, lines, yes=yes)
        said = client.adopt(name, what)
        client.connection.execute(record(), [None, endpoint_of(target, client.connection), None])
    if invocation.is_json:
        invocation.put_json({"what": what, "environment": name, "said": said})
    else:
        invocation.say("Adopted", said)
