"""`pgdurable bench`: how fast the engine is here, against what this server can do at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import resolve_target

if TYPE_CHECKING:
    from pgdurable_core.bench import Place, Report

Command = TypeVar("Command", bound=Callable[..., object])


@click.group()
def bench() -> None:
    """Measure the engine against its own server.

    Runs in a private PostgreSQL in a temporary folder, with fsync on; with --dsn or --env in a scratch database of
    that server. Both are gone afterwards. Figures are medians of several turns and ratios within one run: they say
    nothing across machines.

    \b
    Examples:
      pgdurable bench chain                            chains of ten steps against pgbench, about five minutes
      pgdurable bench snapshot --steps 100000          does a forgotten transaction slow the queue
      pgdurable bench fan-in --json fan-in.json        ten thousand siblings behind one step, raw numbers kept
    """


def _shared(command: Command) -> Command:
    for option in (
        click.option("--rounds", default=5, show_default=True, metavar="N", help="Turns of each; the median is shown."),
        click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Keep raw numbers."),
    ):
        command = option(command)
    return common_options(command)


@bench.command("chain")
@click.option("--sessions", default="1,4,8", show_default=True, metavar="N,…", help="How many sessions, one by one.")
@click.option("--seconds", default=4.0, show_default=True, help="About how long each turn takes.")
@_shared
def bench_chain(sessions: str, seconds: float, rounds: int, json_file: Path | None) -> int:
    """Measure chains of ten trivial SQL steps against pgbench's one-row UPDATE per commit."""
    from pgdurable_core.bench import run_chain

    counts = _counts(sessions)
    with _place() as place:
        return _show(run_chain(place, counts, rounds, seconds, _tell()), json_file)


@bench.command("snapshot")
@click.option("--sessions", default=4, show_default=True, metavar="N")
@click.option("--seconds", default=4.0, show_default=True, help="About how long each turn takes.")
@click.option("--steps", default=500_000, show_default=True, metavar="N", help="Steps finished between the two.")
@_shared
def bench_snapshot(sessions: int, seconds: float, steps: int, rounds: int, json_file: Path | None) -> int:
    """Measure chains before and after many finished steps, with a transaction open throughout."""
    from pgdurable_core.bench import run_snapshot

    with _place() as place:
        return _show(run_snapshot(place, sessions, rounds, seconds, steps, _tell()), json_file)


@bench.command("fan-in")
@click.option("--sessions", default=8, show_default=True, metavar="N")
@click.option("--width", default=10_000, show_default=True, metavar="N", help="Items of the map.")
@_shared
def bench_fan_in(sessions: int, width: int, rounds: int, json_file: Path | None) -> int:
    """Measure a wide map that one step gathers, against chains."""
    from pgdurable_core.bench import run_fan_in

    with _place() as place:
        return _show(run_fan_in(place, sessions, rounds, width, _tell()), json_file)


def _counts(text: str) -> list[int]:
    try:
        counts = [int(each) for each in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 1,4,8", param_hint="--sessions")
    return counts


def _place() -> AbstractContextManager[Place]:
    from pgdurable_core.bench import given_place, private_place

    invocation = current()
    if invocation.dsn is None and invocation.env is None:
        return private_place()
    return given_place(resolve_target(invocation, writes=True).dsn)


def _tell() -> Callable[[str], None]:
    invocation = current()
    return lambda text: invocation.say("Measured", text)


def _show(report: Report, json_file: Path | None) -> int:
    invocation: Invocation = current()
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n")
        invocation.say("Kept", str(json_file))
    if invocation.is_json:
        invocation.put_json(report.as_json())
    else:
        for line in report.as_lines():
            invocation.put(line)
    return exits.DONE
