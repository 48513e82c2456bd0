"""df.tick: housekeeping that anybody may do at any time."""

from __future__ import annotations

from engine_room import Engine, step
from engine_worker import Worker


def test_due_timers_become_ready_and_others_do_not(engine: Engine) -> None:
    first = engine.run(step("a", "select 1 / 0", retries="1", retry_delay="1 min"))
    second = engine.run(step("a", "select 1 / 0", retries="1", retry_delay="10 min"))
    engine.pass_time("2 min")
    for _ in range(2):
        engine.rows("call df.tick()")
    assert [engine.states(first), engine.states(second)] == [{"a": "ready"}, {"a": "retrying"}]


def test_commands_are_obeyed_without_a_session_that_works(engine: Engine) -> None:
    instances = [engine.begin(step("a", "select 1")) for _ in range(3)]
    for instance in instances:
        engine.rows("select df.cancel(%s)", instance)
    engine.rows("call df.tick()")
    assert engine.rows("select distinct status from df.instances") == [("cancelled",)]
    assert engine.rows("select count(*) from df._commands") == [(0,)]


def test_what_a_worker_without_a_lease_held_goes_back(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')"))
    worker = Worker(engine)
    worker.must_claim()
    engine.rows("call df.tick()")
    assert engine.states(instance) == {"a": "running"}
    worker.run_out()
    engine.rows("call df.tick()")
    assert engine.states(instance) == {"a": "ready"}
