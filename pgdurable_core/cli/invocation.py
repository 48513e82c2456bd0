"""What every command is told: target, output format, how much to say; and where it may print."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

import click
from rich.console import Console
from rich.markup import escape

Format = Literal["text", "markdown", "json"]
Command = TypeVar("Command", bound=Callable[..., Any])


# What goes into a file or a pipe is read by people too, in windows of their own.
_FILE_WIDTH: Final = 120


def _stdout() -> Console:
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _FILE_WIDTH
    return Console(width=width, highlight=False, soft_wrap=True, emoji=False)


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


@dataclass(slots=True)
class Invocation:
    """The options that every command takes. stdout carries what was asked for, stderr everything else."""

    dsn: str | None = None
    env: str | None = None
    format: Format = "text"
    debug: bool = False
    verbose: int = 0
    out: Console = field(default_factory=_stdout)
    err: Console = field(default_factory=_stderr)

    @property
    def is_json(self) -> bool:
        return self.format == "json"

    def say(self, label: str, *texts: str) -> None:
        """Tell a person what is going on: a label, then lines beside it, on stderr."""
        for index, text in enumerate(texts):
            head = f"{label:<10}" if index == 0 else " " * 10
            self.err.print(f"[bold]{head}[/bold]{escape(text)}")

    def note(self, text: str) -> None:
        """Tell a person who asked for more with -v."""
        if self.verbose:
            self.err.print(f"[dim]{escape(text)}[/dim]")

    def put(self, text: str = "") -> None:
        """Print a line of the answer on stdout, as it is."""
        self.out.print(text, markup=False)

    def put_text(self, text: str) -> None:
        """Print a whole document on stdout, byte for byte as a file would hold it."""
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()

    def put_json(self, value: object) -> None:
        """Print the answer as JSON on stdout; dataclasses become objects."""
        sys.stdout.write(json.dumps(value, default=_as_json, indent=2) + "\n")
        sys.stdout.flush()

    def put_json_line(self, value: object) -> None:
        """Print one object of a stream on a line of its own (JSON Lines)."""
        sys.stdout.write(json.dumps(value, default=_as_json) + "\n")
        sys.stdout.flush()


def _as_json(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name.rstrip("_"): getattr(value, item.name) for item in fields(value)}
    match value:
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return float(value)
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return sorted(value)
        case Sequence():
            return list(value)
    return str(value)


def common_options(command: Command) -> Command:
    """Add the options that every command takes; they may stand before the command too."""
    return _with_options(command, {"text": "for people", "json": "for programs"})


def report_options(command: Command) -> Command:
    """Add the same options, with Markdown among the formats."""
    return _with_options(command, {"text": "for people", "markdown": "for pull requests", "json": "for programs"})


def _with_options(command: Command, formats: Mapping[str, str]) -> Command:
    for option in (
        click.option("-v", "--verbose", count=True, help="Say more.", **_kept("verbose")),
        click.option("--debug", is_flag=True, help="Show tracebacks.", **_kept("debug")),
        click.option(
            "--format",
            type=click.Choice(list(formats)),
            default=None,
            help=f"What stdout carries: {', '.join(f'{name} {who}' for name, who in formats.items())}.",
            **_kept("format"),
        ),
        click.option("--env", metavar="NAME", help="Use this environment of pgdurable.toml.", **_kept("env")),
        click.option("--dsn", metavar="DSN", help="Use this database: a libpq connection string.", **_kept("dsn")),
    ):
        command = option(command)
    return command


def _kept(name: str) -> dict[str, Any]:
    def keep(context: click.Context, _parameter: click.Parameter, value: object) -> object:
        invocation = context.ensure_object(Invocation)
        if value:
            setattr(invocation, name, value)
        if name == "verbose" and value:
            logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if invocation.verbose > 1 else logging.INFO)
        return value

    return {"callback": keep, "expose_value": False}


def current() -> Invocation:
    """Return the invocation of the running command."""
    return click.get_current_context().ensure_object(Invocation)
