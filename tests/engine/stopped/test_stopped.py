"""df.stopped: which claims of a worker are to be stopped."""

from __future__ import annotations

from engine_room import Engine, step
from engine_worker import Worker


def test_only_the_workers_own_claims_are_told(engine: Engine) -> None:
    for _ in range(2):
        engine.begin(step("a", "df.python('m:f')"))
    first, second = Worker(engine), Worker(engine)
    claim, _ = first.must_claim(), second.must_claim()
    assert engine.rows("select * from df.stopped(%s)", first.number) == []
    engine.rows("select df.cancel(%s)", claim["instance_id"])
    engine.work()
    assert engine.rows("select * from df.stopped(%s)", first.number) == [(claim["token"], "cancel")]
    assert engine.rows("select * from df.stopped(%s)", second.number) == []
