"""What stands on the screen: durations, outcomes, and many scopes on one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgdurable_core.cli.display import StepLine, duration, one_line, outcome, step_lines
from pgdurable_core.cli.invocation import Invocation
from pgdurable_core.cli.project import Environment, Project
from pgdurable_core.cli.status import Overview, render
from pgdurable_core.cli.target import Target
from pgdurable_core.cli.watching import line_markup
from pgdurable_core.engine import LateRow, QueueRow, StepRow, WorkerRow
from pgdurable_core.engine.rows import error_text

START = datetime(2026, 11, 21, 6, tzinfo=UTC)


def row(key: str, status: Any = "completed", **values: Any) -> StepRow:
    defaults: dict[str, Any] = dict.fromkeys(StepRow.__dataclass_fields__)
    return StepRow(
        **{
            **defaults,
            **{"instance_id": "0" * 12, "step": 1, "key": key, "kind": "sql", "status": status, "attempt": 1},
            **values,
        }
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0 ms"), (0.014, "14 ms"), (2.14, "2.1 s"), (59.94, "59.9 s"), (65, "1:05"), (7800, "2:10:00")],
)
def test_durations_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_long_text_is_cut_and_a_broken_one_is_joined() -> None:
    assert one_line("a\n  b") == "a b"
    assert one_line("x" * 101) == "x" * 97 + "..."


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (row("a", row_count=1), "1 row"),
        (row("a", row_count=300), "300 rows"),
        (row("a"), ""),
        (row("a", kind="check", result=[{"a": True, "b": False}]), "true, false"),
        (row("a", kind="branch", result=["merge"]), "merge"),
        (row("a", kind="python", result=3), "returned 3"),
        (row("a", kind="python", result=None), ""),
        (row("a", "skipped", reason="choose_load took merge"), "choose_load took merge"),
    ],
)
def test_an_outcome_says_what_came_out(step: StepRow, text: str) -> None:
    assert outcome(step) == text


def test_an_error_shows_its_state_and_the_first_line_of_its_message() -> None:
    assert error_text({"sqlstate": "23505", "message": "duplicate key\nmore"}) == "23505 duplicate key"
    assert error_text({"sqlstate": None, "message": "ValueError: x"}) == "ValueError: x"
    assert error_text(None) is None


def test_the_scopes_of_a_map_are_one_line_with_their_first_values() -> None:
    scopes = [
        row(
            "summarise",
            map_index=index,
            step=3,
            result=[{"region": region, "amount": 1}],
            started_at=START + timedelta(milliseconds=index),
            finished_at=START + timedelta(milliseconds=index + 2),
        )
        for index, region in enumerate(["DE", "FR", "PL"])
    ]
    lines = step_lines(
        [row("summarise", kind="map", step=2), *reversed(scopes), row("summarise", kind="gather", step=4)]
    )
    assert [(line.label, line.status, line.detail, line.seconds) for line in lines] == [
        ("summarise[3]", "completed", "DE FR PL", 0.004)
    ]


def test_one_failed_scope_makes_the_line_fail_with_its_error() -> None:
    line = StepLine(
        "load",
        [
            row("load", map_index=0),
            row("load", "failed", map_index=1, error={"sqlstate": "22012", "message": "by zero"}),
        ],
    )
    assert (line.status, line.detail, line.is_finished) == ("failed", "22012 by zero", True)


def test_a_line_holds_no_markup_of_the_user() -> None:
    line = StepLine("a", [row("a", kind="python", result="[bold]x[/bold]")])
    shown = Invocation().out.render_str(line_markup(line)).plain
    assert "[bold]x[/bold]" in shown


@pytest.mark.parametrize(
    ("kind", "alive", "busy", "words"),
    [
        ("python", False, (), "no worker is alive: pgdurable worker --env prod"),
        ("shell", True, ("sql",), "no worker takes Python and shell steps: pgdurable worker --env prod --python 2"),
        ("python", True, ("shell",), "all that take Python and shell steps are busy: pgdurable worker --env prod"),
        ("check", True, ("sql",), "all that take SQL steps are busy: pgdurable worker --env prod --sql 4"),
        ("sql", True, ("python",), "none was granted its role (df.grant_worker): pgdurable worker --env prod --sql 4"),
    ],
)
def test_a_late_step_says_why_nobody_takes_it_and_what_to_start(
    kind: str, alive: bool, busy: tuple[str, ...], words: str
) -> None:
    now = datetime.now(UTC)
    worker = WorkerRow(1, "w", "h", 1, "0.1.0", now, now, alive, 1)
    late = LateRow("7f3a09c1aaaa", "orders", START, "load", kind, 3, now - timedelta(minutes=12))
    overview = Overview(
        place="db", engine="df 0.1.0", workers=(worker,), queue=QueueRow(3, late.since), running=(), more_running=0,
        failed=(), late=(late,), running_kinds=frozenset(busy), workflows=(),
    )  # fmt: skip
    shown = Invocation().out.render_str(render(overview, Target("environment", "", "prod", Project(), Environment(""))))
    line = shown.plain.splitlines()[shown.plain.splitlines().index("LATE 3") + 1]
    assert line.startswith("  orders           ds 21 Nov  7f3a09c1   load[3]          ready for 12:00   ")
    assert words in line
    assert not overview.is_well
