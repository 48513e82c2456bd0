"""Dates as people write them: on the command line, in `pgdurable.toml`, in a test."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from pgdurable_core.errors import UsageError


def read_moment(value: object) -> datetime:
    """Read a logical date: a datetime, a date or ISO text; without an offset it is UTC, as Airflow reads one.

    Raises UsageError for anything else.
    """
    match value:
        case datetime():
            moment = value
        case date():
            moment = datetime.combine(value, time())
        case str():
            try:
                moment = datetime.fromisoformat(value)
            except ValueError as error:
                raise UsageError(f"{value!r} is no date", hint="write 2026-11-21 or 2026-11-21T06:00+01:00") from error
        case _:
            raise UsageError(f"{value!r} is no date", hint="write 2026-11-21 or 2026-11-21T06:00+01:00")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def start_of_today() -> datetime:
    """Return the logical date of a run for which nobody says one."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
