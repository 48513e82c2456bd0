"""df.fail_step: a worker says a step failed; the plan decides whether it is tried again."""

from __future__ import annotations

from engine_room import Engine, step
from engine_worker import Worker

ERROR = '{"sqlstate": "PY000", "message": "boom", "context": "line 1"}'


def test_the_plan_decides_about_another_try_and_the_error_is_kept(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')", retries="1", retry_delay="5 min"), step("b", after="{a}"))
    worker = Worker(engine)
    assert worker.call("fail_step", worker.must_claim(), ERROR) == "retrying"
    assert worker.claim() is None
    engine.pass_time("5 min")
    engine.rows("call df.tick()")
    again = worker.must_claim()
    assert (again["attempt"], again["max_attempts"]) == (2, 2)
    assert worker.call("fail_step", again, ERROR) == "failed"
    assert engine.states(instance) == {"a": "failed", "b": "upstream_failed"}
    assert engine.error(instance, "a") == {"sqlstate": "PY000", "message": "boom"}
    engine.check(instance)


def test_what_is_not_worth_another_try_fails_at_once(engine: Engine) -> None:
    engine.begin(step("a", "df.python('m:f')", retries="5"))
    worker = Worker(engine)
    assert worker.call("fail_step", worker.must_claim(), ERROR, False) == "failed"


def test_a_stopped_step_is_cancelled_or_timed_out_whatever_the_worker_says(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')", timeout="1 min"), step("b", "df.python('m:f')"))
    worker = Worker(engine)
    first, second = worker.must_claim(), worker.must_claim()
    engine.rows("update df._steps set deadline_at = clock_timestamp() - interval '1 s' where step = %s", first["step"])
    engine.rows("call df.tick()")
    assert engine.rows("select * from df.stopped(%s)", worker.number) == [(first["token"], "timeout")]
    assert worker.call("fail_step", first, ERROR) == "failed"
    assert engine.error(instance, "a") == {"sqlstate": "PD408", "message": "the attempt ran longer than its timeout"}
    engine.rows("select df.cancel(%s)", instance)
    engine.work()
    assert engine.rows("select * from df.stopped(%s)", worker.number) == [(second["token"], "cancel")]
    assert worker.call("fail_step", second, ERROR) == "cancelled"
    assert engine.states(instance) == {"a": "failed", "b": "cancelled"}


def test_a_lost_claim_is_refused(engine: Engine) -> None:
    engine.begin(step("a", "df.python('m:f')"))
    worker = Worker(engine)
    claim = worker.must_claim()
    worker.call("complete_step", claim, "1")
    assert worker.refused("fail_step", claim, ERROR)[0] == "PD409"
