"""df.wake_worker: no more notifications."""

from __future__ import annotations

from engine_room import Engine, step
from engine_worker import Worker


def test_who_is_awake_is_not_told(engine: Engine) -> None:
    engine.rows("listen df")
    worker = Worker(engine)
    engine.rows("select df.sleep_worker(%s, '{python}')", worker.number)
    engine.rows("select df.wake_worker(%s)", worker.number)
    engine.begin(step("a", "df.python('m:f')"))
    assert list(engine.connection.notifies(timeout=0.1)) == []
    assert engine.rows("select * from df._sleepers") == []
