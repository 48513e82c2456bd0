"""The runs for which SQL is rendered by both sides: where calendars and clocks are known to go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rendering:
    """A logical date and the parameters that a run was started with."""

    moment: str
    given: tuple[tuple[str, object], ...] = field(default=())

    @property
    def params(self) -> dict[str, object]:
        return dict(self.given)


MONTH_ENDS = [
    f"2026-{month_and_day}T04:00:00+00:00"
    for month_and_day in (
        *("01-31", "02-28", "03-31", "04-30", "05-31", "06-30"),
        *("07-31", "08-31", "09-30", "10-31", "11-30", "12-31"),
    )
]
MONTH_STARTS = [f"2026-{month:02}-01T00:00:00+00:00" for month in range(1, 13)]
LEAP_DAYS = [
    f"{day}T06:00:00+00:00"
    for day in (
        *("2024-02-28", "2024-02-29", "2024-03-01", "2024-03-03", "2024-05-28", "2024-05-29", "2024-05-30"),
        # 2000 was a leap year, 2100 is none
        *("2000-02-29", "2000-03-01", "2100-02-28", "2100-03-01"),
    )
]
YEAR_TURNS = [f"{day}T05:00:00+00:00" for day in ("2025-12-31", "2026-01-01", "2026-01-03", "2027-01-01")]
# Europe/Berlin left winter time on 2026-03-29 at 01:00 UTC and returned on 2026-10-25 at 01:00 UTC. The days around
# the change at the schedule's own hour, the minutes on both sides of it, and days that begin the evening before in UTC.
CLOCK_CHANGES = [
    *("2026-03-28T05:00:00+00:00", "2026-03-29T04:00:00+00:00", "2026-03-30T04:00:00+00:00"),
    *("2026-03-29T00:59:59+00:00", "2026-03-29T01:00:00+00:00", "2026-03-29T01:30:00+01:00"),
    *("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
    *("2026-10-24T04:00:00+00:00", "2026-10-25T05:00:00+00:00", "2026-10-26T05:00:00+00:00"),
    *("2026-10-25T00:59:59+00:00", "2026-10-25T01:00:00+00:00", "2026-10-25T02:30:00+02:00"),
    *("2026-10-25T02:30:00+01:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
]
SMALL_HOURS = [
    *("2026-06-15T23:59:59.999999+00:00", "2026-06-16T00:00:00+14:00", "2026-06-16T00:00:00-11:00"),
    *("1999-12-31T23:59:59+00:00", "1970-01-01T00:00:00+00:00"),
]

DATES: tuple[Rendering, ...] = (
    *(
        Rendering(moment)
        for moment in (*MONTH_ENDS, *MONTH_STARTS, *LEAP_DAYS, *YEAR_TURNS, *CLOCK_CHANGES, *SMALL_HOURS)
    ),
    *(
        Rendering("2024-03-01T05:00:00+00:00", (("keep_days", days), ("mode", mode)))
        for days, mode in ((0, "full"), (1, "incremental"), (366, "full"), (-1, "incremental"))
    ),
)
