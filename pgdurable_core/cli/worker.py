"""`pgdurable worker`: run what is due."""

from __future__ import annotations

from dataclasses import replace

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.invocation import common_options, current
from pgdurable_core.cli.target import open_client, resolve_target


@click.command()
@click.option("--sql", "sql_sessions", default=4, show_default=True, metavar="N", help="Sessions for SQL steps.")
@click.option("--python", "python_slots", default=2, show_default=True, metavar="M", help="Python and shell processes.")
@click.option("--lease", default=30.0, show_default=True, help="Seconds for which a claim holds without a heartbeat.")
@click.option("--name", help="How the worker is called in `pgdurable status`; host and pid by default.")
@click.option("--until-idle", is_flag=True, help="End when there is nothing to do and no timer is set.")
@common_options
def worker(sql_sessions: int, python_slots: int, lease: float, name: str | None, until_idle: bool) -> int:
    """Run steps until told to stop; any number of workers, on any number of hosts.

    SIGTERM and Ctrl-C let running steps finish, a second one stops them at once. A worker may die at any moment: what
    it held is run by another one.

    \b
    Examples:
      pgdurable worker --env prod --sql 8 --python 4
      pgdurable worker --until-idle                    once, for cron and CI
    """
    from pgdurable_core.worker import WorkerOptions, run_worker

    invocation = current()
    # Before the target: what cannot be a worker must not start the embedded server.
    options = WorkerOptions(
        dsn="",
        sql_sessions=sql_sessions,
        python_slots=python_slots,
        lease=lease,
        name=name,
        until_idle=until_idle,
        json_logs=invocation.is_json,
    )
    target = resolve_target(invocation, writes=True)
    with open_client(target, "pgdurable worker start"):
        pass
    invocation.note(f"worker on {target.place}: {sql_sessions} SQL sessions, {python_slots} processes")
    run_worker(replace(options, dsn=target.dsn))
    return exits.DONE
