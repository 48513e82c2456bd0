"""df.signal_stops: only backends that still execute a claim with a committed stop row are signalled."""

from __future__ import annotations

from engine_room import Engine, step


def test_nobody_is_signalled_without_a_stop_row(engine: Engine) -> None:
    engine.run(step("a", "select 1"))
    assert engine.value("select df.signal_stops()") == 0


def test_a_session_that_has_moved_on_is_not_signalled(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1"))
    session = (
        "insert into df._sessions (pid, backend_start, login) select pid, backend_start, 'x' from pg_stat_activity"
    )
    number = engine.value(session + " where pid = pg_backend_pid() returning session_id")
    stop = "insert into df._stops (token, session_id, instance_id, reason)"
    stop += " select seq, %s, instance_id, 'cancel' from df._steps"
    engine.rows(stop, number)
    assert engine.value("select df.signal_stops()") == 0
    assert engine.status(instance) == "completed"
