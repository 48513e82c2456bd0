"""df.pause_workflow: the schedule rests; starts by hand go on."""

from __future__ import annotations

from engine_room import Engine, refused, step


def test_a_pause_is_recorded_once_with_its_reason(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    for _ in range(2):
        assert engine.value("select df.pause_workflow('w', reason => 'holiday')") == "paused"
    assert engine.rows("select is_paused from df.workflows") == [(True,)]
    assert engine.rows("select workflow, reason from df.events where kind = 'workflow_paused'") == [("w", "holiday")]
    instance = engine.start("w")
    engine.work()
    assert engine.status(instance) == "completed"


def test_an_unknown_workflow_is_refused(pure: Engine) -> None:
    assert refused(pure, "select df.pause_workflow('x')")[:2] == ("PD404", "there is no workflow 'x'")
