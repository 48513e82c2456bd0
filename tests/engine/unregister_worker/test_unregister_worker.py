"""df.unregister_worker: a worker leaves, and what it held goes back."""

from __future__ import annotations

from engine_room import Engine, step
from engine_worker import Worker


def test_what_it_held_goes_back_without_using_a_try(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')"))
    worker, successor = Worker(engine), Worker(engine)
    worker.must_claim()
    engine.rows("select df.unregister_worker(%s)", worker.number)
    assert engine.column("select worker_id from df.workers") == [successor.number]
    assert engine.states(instance) == {"a": "ready"}
    assert successor.must_claim()["attempt"] == 1
    assert engine.rows("select status, attempt from df.attempts order by started_at") == [("lost", 1), ("running", 1)]


def test_a_step_that_loses_three_workers_is_quarantined(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')", retries="9"))
    for _ in range(3):
        worker = Worker(engine)
        worker.must_claim()
        worker.run_out()
        engine.rows("call df.tick()")
    engine.check(instance)
    assert engine.states(instance) == {"a": "failed"}
    assert engine.error(instance, "a")["sqlstate"] == "PD410"
