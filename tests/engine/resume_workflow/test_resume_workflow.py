"""df.resume_workflow: only what this version can do is resumed."""

from __future__ import annotations

from engine_room import Engine, refused, step


def test_a_workflow_without_a_schedule_is_resumed(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    engine.rows("select df.pause_workflow('w')")
    assert engine.value("select df.resume_workflow('w')") == "resumed"
    assert engine.rows("select is_paused from df.workflows") == [(False,)]


def test_a_schedule_that_would_not_run_is_not_promised(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"), options=", schedule => '@daily'")
    assert refused(engine, "select df.resume_workflow('w')") == (
        "PD501",
        "this version keeps schedules (w: @daily) but does not run them",
        None,
        "Start runs by hand or from cron: select df.start_workflow('w', run_key => ...)",
    )
    assert engine.rows("select is_paused from df.workflows") == [(True,)]
