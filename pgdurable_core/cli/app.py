"""The command `pgdurable`: its groups, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final

import click
import psycopg
from rich.console import Console
from rich.markup import escape

from pgdurable_core.cli import exits
from pgdurable_core.cli.invocation import common_options
from pgdurable_core.cli.target import DeclinedError
from pgdurable_core.errors import PgDurableError
from pgdurable_core.schema import package_version

# In the order in which a newcomer needs them; a module is imported when its command runs. One of another room is named
# in full: that room stands above this one.
COMMANDS: Final[Mapping[str, str]] = {
    "import": "importing:import_group",
    "report": "report:report",
    "init": "installation:init",
    "deploy": "deploy:deploy",
    "render": "rendering:render",
    "test": "pgdurable_core.testing.command:test",
    "start": "instances:start",
    "status": "status:status",
    "doctor": "doctor:doctor",
    "explain": "explain:explain",
    "logs": "logs:logs",
    "retry": "instances:retry",
    "cancel": "instances:cancel",
    "workflows": "workflows:workflows",
    "pause": "workflows:pause",
    "resume": "workflows:resume",
    "purge": "purge:purge",
    "adopt": "adopt:adopt",
    "worker": "worker:worker",
    "db": "db:db",
    "schema": "installation:schema",
    "bench": "bench:bench",
    "finding": "finding:finding",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(import_module(module if "." in module else f"pgdurable_core.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            known = ", ".join(COMMANDS)
            raise click.UsageError(f"{error.format_message()} There are: {known}.", ctx) from None


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_version(), prog_name="pgdurable")
@common_options
def cli() -> None:
    """Move from Airflow to durable workflows inside PostgreSQL.

    \b
    The first minute:
      pgdurable import airflow dags/orders.py          read it, write workflows/orders.sql and a report
      pgdurable import airflow dags/orders.py --run    and run it once in a private PostgreSQL
    \b
    With a database of your own:
      pgdurable init --dsn "host=db dbname=warehouse"  install the engine: schema df, no extension
      pgdurable deploy workflows/ --env dev            carry the SQL files there, paused
      pgdurable worker --env dev                       run what is due
    \b
    Before it is deployed:
      pgdurable render workflows/orders.sql --date 2026-11-21              the SQL of that day
      pgdurable test workflows/orders.sql --fixture seed.sql --stub erp=3  run it in a database of its own
    \b
    When something broke:
      pgdurable status                                 what runs, what failed
      pgdurable explain 7f3a09c1                       every step, its error, what it waits for
      pgdurable logs 7f3a09c1 load                     what it printed
      pgdurable retry 7f3a09c1                         again from the failed steps
      pgdurable doctor                                 what is wrong with the database and its workers, and the remedy
    \b
    Commands that write go to the embedded server, or to what --dsn or --env names.
    Exit status: 0 done, 1 the answer is no, 2 usage, 3 database or schema, 130 interrupted.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; no traceback leaves here unless --debug is there."""
    debug = "--debug" in arguments
    errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    try:
        result = cli.main(args=list(arguments), prog_name="pgdurable", standalone_mode=False)
        return result if isinstance(result, int) else exits.DONE
    except (KeyboardInterrupt, click.exceptions.Abort):
        errors.print("interrupted")
        return exits.INTERRUPTED
    except DeclinedError:
        errors.print("nothing was changed")
        return exits.NO
    except click.ClickException as error:
        error.show()
        return exits.USAGE
    except BrokenPipeError:
        # Whoever read us has seen enough; Python must not complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (PgDurableError, psycopg.Error) as error:
        if debug:
            errors.print_exception()
        errors.print(f"[red]error[/red]     {_show(error)}")
        return error.exit_code if isinstance(error, PgDurableError) else exits.DATABASE
    except Exception as error:
        if debug:
            errors.print_exception()
        errors.print(f"[red]fault[/red]     {escape(f'{type(error).__name__}: {error}')}")
        errors.print("          this is a mistake in pgdurable; --debug shows where")
        return exits.FAULT


def _show(error: PgDurableError | psycopg.Error) -> str:
    if isinstance(error, PgDurableError):
        return escape(error.show())
    lines = [error.diag.message_primary or str(error).strip()]
    for label, text in (
        ("detail", error.diag.message_detail),
        ("hint", error.diag.message_hint),
        ("code", error.sqlstate),
    ):
        if text:
            lines.append(f"  {label:<7} {text}")
    return escape("\n".join(lines))
