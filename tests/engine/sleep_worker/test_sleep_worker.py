"""df.sleep_worker: NOTIFY for those who asked, and for nobody else."""

from __future__ import annotations

from engine_room import Engine, step
from engine_worker import Worker


def heard(engine: Engine) -> list[str]:
    return [note.payload for note in engine.connection.notifies(timeout=0.1)]


def test_a_sleeper_is_told_of_its_lanes_and_nobody_is_told_without_one(engine: Engine) -> None:
    engine.rows("listen df")
    engine.begin(step("a", "df.python('m:f')"))
    assert heard(engine) == []
    worker = Worker(engine)
    engine.rows("select df.sleep_worker(%s, '{python}')", worker.number)
    engine.begin(step("a", "df.shell('x')"))
    assert heard(engine) == []
    engine.begin(step("a", "df.python('m:f')"))
    assert heard(engine) == ["python"]
    engine.rows("select df.sleep_worker(%s, '{shell,sql}')", worker.number)
    engine.begin(step("a", "df.shell('x')"), step("b", "select 1"))
    assert sorted(set(heard(engine))) == ["shell", "sql"]
