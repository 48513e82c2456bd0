"""df.complete_step: a worker's result, taken once, under its own claim."""

from __future__ import annotations

import pytest
from engine_room import Engine, step
from engine_worker import Worker


def test_a_result_completes_the_step_and_what_follows_runs(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')"), step("b", "select $a.z as n", after="{a}"))
    worker = Worker(engine)
    assert worker.call("complete_step", worker.must_claim(), '{"z": 1.10, "a": "x"}') == "completed"
    assert engine.value("select result::text from df.steps where key = 'a'") == '{"z": 1.10, "a": "x"}'
    engine.work()
    engine.check(instance)
    assert engine.result(instance, "b") == [{"n": 1.10}]


@pytest.mark.parametrize(
    ("call", "values"),
    [("complete_step", ["1"]), ("skip_step", ["no"]), ("fail_step", ['{"message": "no"}', False])],
)
def test_a_single_step_behind_it_wakes_who_sleeps(engine: Engine, call: str, values: list[object]) -> None:
    engine.begin(step("a", "df.python('m:f')"), step("b", "select 1", after="{a}", rule="all_done"))
    worker = Worker(engine)
    claim = worker.must_claim()
    engine.rows("listen df")
    engine.rows("select df.sleep_worker(%s, %s)", worker.number, ["sql"])
    worker.call(call, claim, *values)
    assert [notify.payload for notify in engine.connection.notifies(timeout=2, stop_after=1)] == ["sql"]


def test_saying_it_twice_is_answered_alike_and_counts_once(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')"), step("b", "df.python('m:f')"))
    worker = Worker(engine)
    claim = worker.must_claim()
    assert [worker.call("complete_step", claim, "1") for _ in range(2)] == ["completed", "completed"]
    assert engine.status(instance) == "running"
    assert engine.value("select result::text from df.steps where key = 'a'") == "1"


def test_a_result_under_a_lost_claim_is_refused(engine: Engine) -> None:
    engine.begin(step("a", "df.python('m:f')"))
    stalled, successor = Worker(engine), Worker(engine)
    old = stalled.must_claim()
    stalled.run_out()
    engine.rows("call df.tick()")
    new = successor.must_claim()
    assert (new["key"], new["token"] != old["token"], new["attempt"]) == ("a", True, 1)
    assert stalled.refused("complete_step", old, "1")[0] in ("PD409", "PD403")
    assert successor.call("complete_step", new, "2") == "completed"
    assert engine.value("select result::text from df.steps") == "2"


def test_a_result_after_a_cancel_is_refused(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')"))
    worker = Worker(engine)
    claim = worker.must_claim()
    engine.rows("select df.cancel(%s)", instance)
    engine.work()
    assert worker.refused("complete_step", claim, "1") == ("PD499", "stopped while it ran")


def test_a_result_too_large_is_refused(engine: Engine) -> None:
    engine.rows("update df._engine set max_result_bytes = 10")
    engine.begin(step("a", "df.python('m:f')"))
    worker = Worker(engine)
    claim = worker.must_claim()
    assert worker.refused("complete_step", claim, '"12345678901"') == ("PD413", "the result is larger than 10 bytes")
