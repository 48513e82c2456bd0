"""The DAG's timetable, dates and limits as the document's fields: from the timetable object, never from `schedule`."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from pgdurable_airflow.importer.codes import CODES
from pgdurable_airflow.importer.facts import DagFacts, Fact, is_row, seconds
from pgdurable_core.graph.duration import format_duration
from pgdurable_core.importing.findings import Finding, Weight
from pgdurable_core.importing.protocol import ScheduleFacts

_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a workflow runs, as the graph has it, and in words."""

    cron: str | None
    timezone: str
    start_date: str | None
    end_date: str | None
    data_intervals: bool
    facts: ScheduleFacts
    findings: tuple[Finding, ...]


def read_schedule(dag: DagFacts, file: str) -> Schedule:
    """Read timetable, zone and dates of a DAG."""
    findings: list[Finding] = []

    def find(code: str, short: str, what: str, happens: str, remedy: str, weight: Weight | None = None) -> None:
        findings.append(
            Finding(
                code,
                weight or CODES[code].weight,
                short,
                what,
                happens,
                remedy,
                dag=dag.dag_id,
                file=file,
                line=dag.line,
            )
        )

    table = dag.timetable
    kind = str(table["class"])
    cron, intervals = None, False
    match kind:
        case "NullTimetable":
            pass
        case "OnceTimetable":
            cron = "@once"
        case "ContinuousTimetable":
            cron = "@continuous"
        case "CronTriggerTimetable" | "CronDataIntervalTimetable" if isinstance(table.get("cron"), str):
            cron, intervals = str(table["cron"]), kind == "CronDataIntervalTimetable"
        case "DeltaTriggerTimetable" | "DeltaDataIntervalTimetable" if seconds(table.get("delta")):
            cron = format_duration(timedelta(seconds=seconds(table["delta"]) or 0))
            intervals = kind == "DeltaDataIntervalTimetable"
        case "unknown":
            find(
                "AF033",
                "the schedule is not known without running the file",
                f"The schedule depends on what only running the file tells: {table['text']}.",
                "The workflow is written without a schedule.",
                "Read the file live: name an interpreter that has Airflow with --airflow-python.",
            )
        case _:
            find(
                "AF025",
                f"{kind} has no cron expression",
                f"The DAG starts by `{table['text']}`.",
                "The workflow is written without a schedule.",
                "Start runs with `pgdurable start`.",
            )
    if kind in ("CronTriggerTimetable", "DeltaTriggerTimetable") and seconds(table.get("interval")):
        find(
            "AF022",
            "data interval of its own",
            "The timetable has an interval of its own, which moves ds.",
            "ds would be the day of the run.",
            "Write the shift into the templates.",
        )
    zone = dag.timezone
    if zone not in available_timezones():
        find(
            "AF026",
            f"time zone {zone}",
            f"The time zone {zone!r} is no IANA name.",
            "The workflow is written with UTC.",
            "Use a named zone in start_date.",
        )
        zone = "UTC"
    zone = "UTC" if zone in ("Etc/UTC", "utc", "Zulu") else zone
    runs = dag.runs if is_row(dag.runs) else {}
    following, past = runs.get("next"), runs.get("past")
    return Schedule(
        cron=cron,
        timezone=zone,
        start_date=_moment(dag.start_date, zone),
        end_date=_moment(dag.fields.get("end_date"), zone),
        data_intervals=intervals,
        facts=ScheduleFacts(
            words=f"{_words(cron)}, {zone}" if cron else "no schedule: runs when started",
            next_run=str(following) if following else None,
            past_runs=past if isinstance(past, int) else None,
        ),
        findings=tuple(findings),
    )


def _moment(fact: Fact, zone: str) -> str | None:
    if not is_row(fact) or "iso" not in fact:
        return None
    there = datetime.fromisoformat(str(fact["iso"]))
    there = there.astimezone(ZoneInfo(zone)) if there.tzinfo else there
    # strftime writes the year 1 as `1` (glibc), isoformat as `0001`; datetime.min is a start date that people use.
    precision = "microseconds" if there.microsecond else "seconds" if there.second else "minutes"
    return f"{there.replace(tzinfo=None).isoformat(' ', precision)} {zone}"


def _words(cron: str) -> str:
    match = re.fullmatch(r"(\d{1,2}) (\d{1,2}) (\*|\d{1,2}) \* (\*|\d|\d-\d)", cron)
    if match:
        minute, hour, day, weekday = match.groups()
        at = f"{int(hour):02}:{int(minute):02}"
        if day != "*" and weekday == "*":
            return f"{at} on day {day} of every month"
        if day == "*" and weekday == "*":
            return f"{at} every day"
        if day == "*" and weekday == "1-5":
            return f"{at} Monday to Friday"
        if day == "*" and len(weekday) == 1 and int(weekday) < len(_DAYS):
            return f"{at} every {_DAYS[int(weekday)]}"
    if cron == "0 * * * *":
        return "every hour"
    if step := re.fullmatch(r"\*/(\d+) \* \* \* \*", cron):
        return f"every {step[1]} minutes"
    if cron.startswith("@"):
        return {"@once": "once", "@continuous": "again whenever it ends"}.get(cron, cron)
    return f"cron {cron}" if " " in cron and not cron[-1].isalpha() else f"every {cron}"
