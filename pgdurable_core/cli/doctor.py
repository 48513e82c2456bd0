"""`pgdurable doctor`: everything that may stand in the way of work, and what to do about it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.markup import escape

from pgdurable_core.cli import exits
from pgdurable_core.cli.display import duration
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import Target, open_client, resolve_target
from pgdurable_core.engine import CheckRow, Client
from pgdurable_core.errors import SchemaError
from pgdurable_core.schema import load_catalog, look, package_version, verify

COLOURS: Final = {"ok": "green", "warn": "yellow", "bad": "red"}
CLOCK_WARN: Final = 2.0
CLOCK_BAD: Final = 60.0
# Zones whose rules changed lately or are unusual: half an hour of summer time, Ramadan, a day skipped, none any more.
ZONES: Final = (
    *("Europe/Berlin", "Europe/Chisinau", "America/New_York", "America/Vancouver", "America/Sao_Paulo"),
    *("Australia/Lord_Howe", "Africa/Casablanca", "Africa/Cairo", "Asia/Kolkata", "Asia/Tehran", "Pacific/Apia"),
)


@click.command()
@common_options
def doctor() -> int:
    """Check database, rights, settings, clocks, workers, queue and tables; exit 1 when something is bad.

    Every check says ok, warn or bad, what was found, and what to do. Changes nothing. The server's own checks are
    `select * from df.doctor()`, which the owner of schema df and operators may call.

    \b
    Examples:
      pgdurable doctor --env prod
      pgdurable doctor --format json | jq '.checks[] | select(.level != "ok")'
    """
    invocation = current()
    target = resolve_target(invocation, writes=False)
    with open_client(target, "pgdurable doctor", whatever_version=True) as client:
        rows = [_with_target(row, target) for row in examine(client, target)]
    if invocation.is_json:
        invocation.put_json({"place": target.place, "is_well": _is_well(rows), "checks": rows})
    else:
        show(invocation, rows)
    return exits.DONE if _is_well(rows) else exits.NO


def examine(client: Client, target: Target) -> list[CheckRow]:
    """Make every check, those on this side first."""
    return [
        _connection(client, target),
        _pooler(client, target),
        clock(client),
        zones(client),
        *_schema(client),
        *_server(client),
    ]


def show(invocation: Invocation, rows: Sequence[CheckRow]) -> None:
    """Print a line for every check, its remedy below it, and how many there are of each level."""
    width = max(len(row.check) for row in rows)
    for row in rows:
        colour = COLOURS[row.level]
        invocation.out.print(
            f"[{colour}]{row.level:<5}[/{colour}] [bold]{row.check:<{width}}[/bold]  {escape(row.detail)}"
        )
        if row.remedy is not None:
            invocation.out.print(f"{'':<{width + 8}}[{colour}]->[/{colour}] {escape(row.remedy)}")
    counts = Counter(row.level for row in rows)
    invocation.put(f"\n{counts['bad']} bad, {counts['warn']} to look at, {counts['ok']} ok")


def clock(client: Client, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> CheckRow:
    """Compare this machine's clock with the server's, less the time that the question took; the best of three."""
    skews = []
    for _ in range(3):
        before = now()
        there = client.clock()
        took = now() - before
        skews.append((took, there - before - took / 2))
    took, skew = min(skews)
    seconds = abs(skew / timedelta(seconds=1)) - took / timedelta(seconds=2)
    if seconds < CLOCK_WARN:
        return CheckRow("clock", "ok", f"this machine and the server agree within {duration(max(seconds, 0.001))}")
    which = "behind" if skew > timedelta() else "ahead of"
    detail = f"this machine is {duration(seconds)} {which} the server: dates that the client fills in are its own"
    remedy = "set up time synchronisation (chrony, systemd-timesyncd) on both"
    return CheckRow("clock", "bad" if seconds >= CLOCK_BAD else "warn", detail, remedy)


def zones(client: Client, names: Sequence[str] = ZONES) -> CheckRow:
    """Compare what server and Python know of time zones, for the next two years: those of the workflows, and a few."""
    used = {row.timezone for row in client.workflows() if row.schedule is not None and row.timezone}
    first = datetime.now(UTC).replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    moments = [first + timedelta(days=15 * count) for count in range(48)]
    there = client.zone_offsets(sorted({*names, *used}), moments)
    differing, missing = set(), sorted(name for name in used if (name, first) not in there)
    for (name, moment), seconds in there.items():
        try:
            here = moment.astimezone(ZoneInfo(name)).utcoffset()
        except ZoneInfoNotFoundError:
            return CheckRow("time zones", "bad", f"Python has no data for {name}", "pip install tzdata")
        if here != timedelta(seconds=seconds):
            differing.add(name)
    if missing:
        detail = f"the server does not know {', '.join(missing)}, which workflows are scheduled in"
        return CheckRow("time zones", "bad", detail, "update the server's time zone data")
    if not differing:
        return CheckRow(
            "time zones", "ok", f"server and Python agree on {len(there) // len(moments)} zones for two years"
        )
    matters = sorted(differing & used)
    detail = f"server and Python differ on {', '.join(sorted(differing))}"
    detail += f"; workflows are scheduled in {', '.join(matters)}" if matters else "; no workflow is scheduled in them"
    remedy = "update the older one: pip install --upgrade tzdata here, the package tzdata or PostgreSQL itself there"
    return CheckRow("time zones", "bad" if matters else "warn", detail, remedy)


def _connection(client: Client, target: Target) -> CheckRow:
    server = client.server()
    return CheckRow("connection", "ok", f"{target.place}, PostgreSQL {server.version.split(' ')[0]}, as {server.role}")


def _pooler(client: Client, target: Target) -> CheckRow:
    from pgdurable_core.worker.pooler import HINT, find_pooler

    match find_pooler(client.connection, target.dsn):
        case "nothing":
            return CheckRow("pooler", "ok", "none stands between")
        case "session pooler":
            detail = "one in session mode stands between: a worker takes one of its sessions for each connection"
            return CheckRow("pooler", "warn", detail, "connect workers to PostgreSQL's own port")
        case "transaction pooler":
            detail = "one in transaction mode stands between: good for starts and views, a worker refuses it"
            return CheckRow("pooler", "bad", detail, HINT)


def _schema(client: Client) -> list[CheckRow]:
    standing, catalog = look(client.connection), load_catalog()
    if standing.engine is None:
        detail = f"not compared with this package: only {standing.owner}, the owner of df, may"
        return [CheckRow("schema", "warn", detail, f"as {standing.owner}: pgdurable doctor")]
    engine = standing.engine
    if engine.schema_version < catalog.schema_version:
        detail = f"schema df is version {engine.schema_version}, this pgdurable has {catalog.schema_version}"
        return [CheckRow("schema", "bad", detail, "pgdurable init")]
    if engine.schema_version > catalog.schema_version:
        detail = f"schema df is version {engine.schema_version}, this pgdurable knows {catalog.schema_version}"
        return [CheckRow("schema", "bad", detail, "pip install --upgrade pgdurable")]
    try:
        differences = verify(client.connection, catalog).differences
    except SchemaError as refused:
        return [CheckRow("schema", "warn", f"not compared with this package: {refused.message}", refused.hint)]
    if differences:
        first = ", ".join(f"{each.kind} {each.what} {each.name}" for each in differences[:3])
        detail = f"{len(differences)} objects of schema df are not as this version has them: {first}"
        return [
            CheckRow(
                "schema", "bad", detail, "pgdurable schema verify shows all, pgdurable init repairs all but tables"
            )
        ]
    return [CheckRow("schema", "ok", f"version {engine.schema_version}, as pgdurable {package_version()} installs it")]


def _server(client: Client) -> list[CheckRow]:
    may = client.may_ask_doctor()
    if may:
        return client.doctor()
    if may is None:
        return [CheckRow("server", "bad", "this schema has no df.doctor yet", "pgdurable init")]
    role = client.server().role
    detail = f"not asked: {role} is neither owner of df nor operator"
    return [CheckRow("server", "warn", detail, f"as the owner of df: select df.grant_operator('{role}')")]


def _with_target(row: CheckRow, target: Target) -> CheckRow:
    """Let the commands of a remedy name the same database."""
    if row.remedy is None or not target.flag:
        return row
    remedy = re.sub(
        r"\bpgdurable (schema verify|\w+(?: [0-9a-f]{12})?)", lambda found: f"{found[0]}{target.flag}", row.remedy
    )
    return CheckRow(row.check, row.level, row.detail, remedy)


def _is_well(rows: Sequence[CheckRow]) -> bool:
    return not any(row.level == "bad" for row in rows)
