"""`pgdurable worker`: run what is due."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psycopg

from pgdurable_core.cli import exits
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import open_client, resolve_target
from pgdurable_core.errors import PgDurableError, UsageError

if TYPE_CHECKING:
    from pgdurable_core.worker import WorkerOptions


@click.command()
@click.option("--sql", "sql_sessions", default=4, show_default=True, metavar="N", help="Sessions for SQL steps.")
@click.option("--python", "python_slots", default=2, show_default=True, metavar="M", help="Python and shell processes.")
@click.option("--lease", default=30.0, show_default=True, help="Seconds for which a claim holds without a heartbeat.")
@click.option("--name", help="How the worker is called in `pgdurable status`; host and pid by default.")
@click.option("--until-idle", is_flag=True, help="End when there is nothing to do and no timer is set.")
@click.option("--with-parent", is_flag=True, help="Stop at once when the process that started this one is gone.")
@click.option("--health", metavar="[HOST:]PORT", help="Answer GET /healthz and /metrics there; HOST is 127.0.0.1.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Log lines on stderr; text by default.")
@click.option("--print-systemd-unit", "print_unit", is_flag=True, help="Print a unit for this command and end.")
@common_options
def worker(
    sql_sessions: int,
    python_slots: int,
    lease: float,
    name: str | None,
    until_idle: bool,
    with_parent: bool,
    health: str | None,
    log_format: str | None,
    print_unit: bool,
) -> int:
    """Run steps until told to stop; any number of workers, on any number of hosts.

    SIGTERM and Ctrl-C let running steps finish, a second one stops them at once. A worker may die at any moment: what
    it held is run by another one.

    \b
    Examples:
      pgdurable worker --env prod --sql 8 --python 4
      pgdurable worker --until-idle                    once, for cron and CI
      pgdurable worker --health 8008                   curl -f http://127.0.0.1:8008/healthz
      pgdurable worker --sql 8 --print-systemd-unit > /etc/systemd/system/pgdurable-worker.service
    """
    from pgdurable_core.worker import WorkerOptions

    invocation = current()
    # Before the target: what cannot be a worker must not start the embedded server.
    options = WorkerOptions(
        dsn="",
        sql_sessions=sql_sessions,
        python_slots=python_slots,
        lease=lease,
        name=name,
        until_idle=until_idle,
        json_logs=log_format == "json" or (log_format is None and invocation.is_json),
        die_with_parent=with_parent,
        health=None if health is None else read_address(health),
    )
    if print_unit:
        invocation.put(_unit(invocation, options, health, log_format).rstrip("\n"))
        return exits.DONE
    if not options.json_logs:
        return _run(invocation, options)
    try:
        return _run(invocation, options)
    except (PgDurableError, psycopg.Error) as error:
        # Whoever reads one object a line reads this one too.
        sys.stderr.write(_failure(error, name) + "\n")
        return error.exit_code if isinstance(error, PgDurableError) else exits.DATABASE


def _run(invocation: Invocation, options: WorkerOptions) -> int:
    from pgdurable_core.worker import run_worker

    target = resolve_target(invocation, writes=True)
    with open_client(target, "pgdurable worker start"):
        pass
    invocation.note(f"worker on {target.place}: {options.sql_sessions} SQL sessions, {options.python_slots} processes")
    run_worker(replace(options, dsn=target.dsn))
    return exits.DONE


def read_address(text: str) -> tuple[str, int]:
    """Read `PORT`, `HOST:PORT` or `[IPv6]:PORT`; the loopback unless told. Raises UsageError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not (port.isascii() and port.isdigit() and int(port) < 65536) or (":" in host and not text.startswith("[")):
        raise UsageError(f"{text!r} is no address to listen on", hint="8008, or 0.0.0.0:8008, or [::1]:8008")
    return host or "127.0.0.1", int(port)


def _failure(error: PgDurableError | psycopg.Error, name: str | None) -> str:
    from pgdurable_core.worker import WorkerEvent
    from pgdurable_core.worker.journal import json_line

    if isinstance(error, PgDurableError):
        message, detail, hint = error.message, error.detail, error.hint
    else:
        diag = error.diag
        message, detail, hint = diag.message_primary or str(error).strip(), diag.message_detail, diag.message_hint
    more = {"detail": detail, "hint": hint, "sqlstate": error.sqlstate}
    return json_line(WorkerEvent("failed", message, {key: text for key, text in more.items() if text}), name)


def _unit(invocation: Invocation, options: WorkerOptions, health: str | None, log_format: str | None) -> str:
    from pgdurable_core.worker.unit import DSN_FILE, systemd_unit

    dsn = f"file:{DSN_FILE}" if invocation.dsn is None else invocation.dsn
    if not dsn.startswith("file:/") or invocation.env is not None:
        raise UsageError(
            "a unit names a file with the connection string, so that it holds no secret and needs no folder",
            hint=f"--dsn file:{DSN_FILE}, which is the default",
        )
    if options.until_idle or options.die_with_parent:
        raise UsageError("a service runs on: --until-idle and --with-parent are for workers that somebody else started")
    program = Path(sys.argv[0]).absolute()
    start = [str(program)] if program.name == "pgdurable" else [sys.executable, "-m", "pgdurable_core.cli"]
    words = [*start, "worker", "--sql", str(options.sql_sessions), "--python", str(options.python_slots)]
    words += ["--lease", f"{options.lease:g}"]
    words += ["--name", options.name] if options.name else []
    words += ["--health", health] if health else []
    words += ["--log-format", log_format] if log_format else []
    return systemd_unit(words, dsn.removeprefix("file:"))
