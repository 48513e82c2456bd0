"""`pgdurable init` and `pgdurable schema`: the engine in a database, checked, printed, removed."""

from __future__ import annotations

import sys

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import DeclinedError, Target, ask, resolve_target
from pgdurable_core.engine import Client, Connection, connect
from pgdurable_core.schema import (
    Identity,
    dependants,
    install,
    load_catalog,
    look,
    package_version,
    render_sql,
    uninstall,
    verify,
)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
def init(yes: bool) -> None:
    """Install the engine, or bring it up to date. Twice changes nothing.

    Makes the schemas df and df_runners and nothing else. Needs CREATE on the database, which its owner has: no
    superuser, no extension. A schema df that is not ours is refused and left alone.

    \b
    Examples:
      pgdurable init                                   the embedded server, started when needed
      pgdurable init --env prod                        asks first; --yes for scripts
      pgdurable schema sql | psql -v ON_ERROR_STOP=1   the same, read first and applied by a DBA
    """
    invocation = current()
    target = resolve_target(invocation, writes=True, makes=True)
    with connect(target.dsn) as connection:
        standing = look(connection)
        version = load_catalog().schema_version
        what = {
            "nothing": f"create schemas df and df_runners, version {version}, owned by {standing.role}",
            "ours": f"schema df {standing.schema_version} -> {version}, functions and rights written again",
            "foreign": "nothing: schema df is not ours",
        }[standing.kind]
        ask(invocation, target, [f"init      {what}"], yes=yes)
    ensure_engine(invocation, target, quiet=False)


def ensure_engine(invocation: Invocation, target: Target, *, quiet: bool) -> None:
    """Install or update the engine in a target and say what that did; `quiet` leaves `unchanged` unsaid."""
    with connect(target.dsn) as connection:
        server = Client(connection).server()
        identity = Identity(environment=target.name or None, endpoint=endpoint_of(target, connection))
        with invocation.err.status("installing schema df"):
            done = install(connection, identity=identity)
    if invocation.is_json and not quiet:
        invocation.put_json(
            {"outcome": done.outcome, "before": done.before, "after": done.after, "place": target.place}
        )
    elif not quiet or done.outcome != "unchanged":
        invocation.say("Schema", f"{done} in {server.database}, PostgreSQL {server.version}, role {server.role}")


def endpoint_of(target: Target, connection: Connection) -> str:
    """Say where a database is reached, as it is to say of itself."""
    return target.place if target.is_embedded else f"{connection.info.host}:{connection.info.port}"


@click.group()
def schema() -> None:
    """Print, check or remove what `pgdurable init` installs."""


@schema.command("sql")
@common_options
def schema_sql() -> None:
    """Print the whole installation as one SQL script; needs no database.

    \b
    Example:
      pgdurable schema sql > engine.sql && less engine.sql && psql -v ON_ERROR_STOP=1 -f engine.sql
    """
    click.echo(render_sql(package_version()), nl=False)


@schema.command("verify")
@common_options
def schema_verify() -> int:
    """Compare every table, index, view, function and right with this version; exit 1 when something differs.

    Changes nothing: the comparison runs in a transaction that is rolled back. Needs the owner of schema df.
    """
    invocation = current()
    target = resolve_target(invocation, writes=False)
    with connect(target.dsn) as connection:
        found = verify(connection)
    if invocation.is_json:
        invocation.put_json(found)
    for difference in () if invocation.is_json else found.differences:
        invocation.put(str(difference))
    if found.is_equal:
        invocation.say("Verified", f"schema df {found.schema_version} in {target.place} is as installed")
        return exits.DONE
    count = len(found.differences)
    invocation.say("Drift", f"{count} difference{'' if count == 1 else 's'} in {target.place}")
    invocation.say("Next", f"pgdurable init{target.flag} repairs functions, views and rights; tables are yours to mend")
    return exits.NO


@schema.command("uninstall")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--with-dependants", is_flag=True, help="Drop objects of other schemas that use ours, too.")
@common_options
def schema_uninstall(yes: bool, with_dependants: bool) -> int:
    """Drop schemas df and df_runners with every workflow and all history; leaves nothing.

    Asks for the name of the database, the embedded one too. Objects of other schemas that use ours stop it.
    """
    invocation = current()
    target = resolve_target(invocation, writes=True)
    with connect(target.dsn) as connection:
        standing = look(connection)
        if standing.kind == "nothing":
            invocation.say("Nothing", f"there is no engine in {target.place}")
            return exits.DONE
        if standing.kind == "ours":
            others = dependants(connection) if with_dependants else []
            invocation.say("Target", target.place, "drops every workflow, instance and log", *others)
            _confirm(standing.database, yes)
        uninstall(connection, with_dependants=with_dependants)
    invocation.say("Removed", f"schemas df and df_runners from {target.place}")
    return exits.DONE


def _confirm(database: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm; --yes, when a script should do it")
    typed: str = click.prompt(f"Type the name of the database ({database}) to go on", err=True)
    if typed != database:
        raise DeclinedError
