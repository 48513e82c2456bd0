"""How instances, steps, durations and errors look on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from rich.markup import escape

from pgdurable_core.engine.rows import StepRow, StepStatus, error_text
from pgdurable_core.graph.model import JsonValue

COLOURS: Final[Mapping[str, str]] = {
    "completed": "green",
    "running": "cyan",
    "ready": "cyan",
    "sleeping": "cyan",
    "retrying": "yellow",
    "failed": "red",
    "upstream_failed": "red",
    "cancelled": "magenta",
    "skipped": "dim",
    "waiting": "dim",
    "removed": "dim",
    "pending": "dim",
}
_SHORT: Final[Mapping[StepStatus, str]] = {"completed": "ok", "upstream_failed": "upstream"}
# Mapped steps show as one line; what each did stands in `explain`.
_WORST: Final[Sequence[StepStatus]] = (
    "failed",
    "retrying",
    "running",
    "ready",
    "sleeping",
    "upstream_failed",
    "cancelled",
    "waiting",
    "completed",
    "skipped",
    "removed",
)


def short_status(status: StepStatus) -> str:
    """Return a step's state in at most eight letters."""
    return _SHORT.get(status, status)


def coloured(text: str, status: str) -> str:
    """Return markup for a text in the colour of a state."""
    colour = COLOURS.get(status)
    return escape(text) if colour is None else f"[{colour}]{escape(text)}[/{colour}]"


def duration(seconds: float) -> str:
    """Write a duration as people read it: `14 ms`, `2.1 s`, `1:05`, `2:10:00`."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds from start to end, or None when one of them is not known."""
    return None if start is None or end is None else max((end - start) / timedelta(seconds=1), 0.0)


def clock(at: datetime | None) -> str:
    """Write a moment in local time: the hour today, the date before."""
    if at is None:
        return ""
    local = at.astimezone()
    now = datetime.now().astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%d %b %H:%M}"


def ds(at: datetime) -> str:
    """Write a logical date as `{ds}` gives it to steps: the day in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def one_line(text: str, width: int = 100) -> str:
    """Put a text on one line of at most `width` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 3] + "..."


class StepLine:
    """All rows of one key: a step, or a mapped step with its scopes."""

    def __init__(self, key: str, rows: Sequence[StepRow], why_skipped: str = "") -> None:
        self.key = key
        self.why_skipped = why_skipped
        self.items = [row for row in rows if row.map_index is not None and row.map_index >= 0]
        self.all_rows = list(rows)
        self.rows = self.items or self.all_rows

    @property
    def label(self) -> str:
        return f"{self.key}[{len(self.items)}]" if self.items else self.key

    @property
    def status(self) -> StepStatus:
        return min((row.status for row in self.all_rows), key=_WORST.index)

    @property
    def is_finished(self) -> bool:
        return all(row.is_finished for row in self.all_rows)

    @property
    def seconds(self) -> float | None:
        starts = [row.started_at for row in self.rows if row.started_at is not None]
        ends = [row.finished_at for row in self.rows if row.finished_at is not None]
        return between(min(starts), max(ends)) if starts and ends and self.is_finished else None

    @property
    def so_far(self) -> float | None:
        """Return the seconds since the first row started."""
        starts = [row.started_at for row in self.rows if row.started_at is not None]
        return between(min(starts), datetime.now(UTC)) if starts else None

    @property
    def detail(self) -> str:
        """Say in a few words what came out, or why not."""
        for row in self.rows:
            if row.status == self.status and row.status in ("failed", "retrying", "cancelled", "upstream_failed"):
                return one_line(error_text(row.error) or row.reason or "")
        if self.status in ("skipped", "removed"):
            return one_line(self.rows[0].reason or self.why_skipped, 60)
        if not self.items:
            return outcome(self.rows[0])
        if self.status != "completed":
            done = sum(row.status == "completed" for row in self.items)
            return f"{done} of {len(self.items)} done"
        shown = [_first_value(row.result) for row in self.items]
        return one_line(" ".join(text for text in shown if text), 40)


def step_lines(rows: Sequence[StepRow]) -> list[StepLine]:
    """Group rows by key, in topological order; virtual steps stay away."""
    real = [row for row in rows if row.kind not in ("gather", "end")]
    ordered = sorted(real, key=lambda row: (row.step, row.map_index or 0))
    keys = list(dict.fromkeys(row.key for row in ordered))
    by_key = {key: list(group) for key, group in groupby(sorted(ordered, key=lambda row: row.key), lambda row: row.key)}
    return [StepLine(key, by_key[key], why_skipped(by_key[key][0], by_key)) for key in keys]


def why_skipped(step: StepRow, by_key: Mapping[str, Sequence[StepRow]]) -> str:
    """Say which branch went another way, when that is why a step was skipped."""
    for key in step.after or []:
        for upstream in by_key.get(key, ()):
            if upstream.kind == "branch" and upstream.status == "completed":
                return f"{key} took {_flat(upstream.result) or 'nothing'}"
            if upstream.status in ("skipped", "removed"):
                return f"{key} was skipped"
    return ""


def outcome(row: StepRow) -> str:
    """Say in a few words what a single step brought."""
    if row.status != "completed":
        return one_line(row.reason or "", 60)
    match row.kind:
        case "check" | "branch":
            return one_line(_flat(row.result), 60)
        case "python" | "shell":
            return "" if row.result is None else one_line(f"returned {_flat(row.result)}", 60)
        case "sql":
            return "" if row.row_count is None else f"{row.row_count} row{'' if row.row_count == 1 else 's'}"
    return ""


def _flat(value: JsonValue) -> str:
    """Write a result without its brackets and column names."""
    if isinstance(value, Mapping):
        return ", ".join(_flat(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_flat(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _first_value(value: JsonValue) -> str:
    while isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        items = list(value.values()) if isinstance(value, Mapping) else list(value)
        if not items:
            return ""
        value = items[0]
    return _flat(value)
