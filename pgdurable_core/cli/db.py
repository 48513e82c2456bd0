"""`pgdurable db`: the embedded PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.invocation import common_options, current
from pgdurable_core.cli.target import short_path
from pgdurable_core.embedded import EMBEDDED_VERSION, Embedded, home_folder


@click.group()
def db() -> None:
    """The private PostgreSQL for people who have none yet.

    It lives in ~/.local/share/pgdurable (or PGDURABLE_HOME), listens on a Unix socket only, survives the command that
    started it, and is used as the ordinary role pgdurable, who owns the database pgdurable.

    \b
    Examples:
      pgdurable db start
      pgdurable db psql -- -c 'select * from df.instances'
      psql "$(pgdurable db status)"
      pgdurable db stop
    """


@db.command("start")
@common_options
def db_start() -> None:
    """Start the server, making it first; a running one is left alone. Prints its DSN."""
    invocation = current()
    embedded = Embedded()
    with invocation.err.status(f"starting PostgreSQL {EMBEDDED_VERSION}"):
        started = embedded.start()
    invocation.say("Started" if started else "Running", f"PostgreSQL {EMBEDDED_VERSION} in {short_path(home_folder())}")
    _print_state(embedded)


@db.command("stop")
@common_options
def db_stop() -> None:
    """Stop the server; whoever is connected is disconnected, and what is stored stays."""
    stopped = Embedded().stop()
    current().say(
        "Stopped" if stopped else "Nothing", short_path(home_folder()) + ("" if stopped else " was not running")
    )


@db.command("status")
@common_options
def db_status() -> int:
    """Print the DSN of the running server; exit 1 when it does not run."""
    invocation = current()
    embedded = Embedded()
    if not embedded.is_running:
        if invocation.is_json:
            invocation.put_json({"running": False, "folder": str(embedded.server.folder)})
        made = "stopped" if embedded.server.data.exists() else "never started"
        invocation.say("Embedded", f"{made}, {short_path(home_folder())}; pgdurable db start")
        return exits.NO
    _print_state(embedded)
    return exits.DONE


@db.command("psql", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@common_options
def db_psql(arguments: tuple[str, ...]) -> int:
    """Open psql on the embedded database; what follows -- goes to psql."""
    embedded = Embedded()
    embedded.start()
    program = embedded.server.binaries / "psql"
    sys.stdout.flush()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run([program, embedded.dsn, *arguments], env=environment, check=False)
    return exits.DONE if done.returncode == 0 else exits.NO


def _print_state(embedded: Embedded) -> None:
    invocation = current()
    running = embedded.server.running()
    if invocation.is_json:
        invocation.put_json(
            {
                "running": True,
                "folder": str(embedded.server.folder),
                "dsn": embedded.dsn,
                "pid": None if running is None else running.pid,
                "log": str(embedded.server.log),
            }
        )
    else:
        invocation.put(embedded.dsn)
