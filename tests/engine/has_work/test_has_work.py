"""df.has_work: a look that writes nothing."""

from __future__ import annotations

from engine_room import Engine, step


def test_it_says_whether_work_would_find_something(engine: Engine) -> None:
    [(pos, _)] = engine.rows("call df.work()")
    seen = [engine.value("select df.has_work(%s)", pos)]
    instance = engine.begin(step("a", "select 1 / 0", retries="1", retry_delay="1 min"))
    seen.append(engine.value("select df.has_work(%s)", pos))
    [(pos, _)] = engine.rows("call df.work(pos => %s)", pos)
    seen.append(engine.value("select df.has_work(%s)", pos))
    engine.pass_time("1 min")
    seen.append(engine.value("select df.has_work(%s)", pos))
    [(pos, _)] = engine.rows("call df.work(pos => %s)", pos)
    other = engine.begin(step("a", "df.python('m:f')"))
    seen.append(engine.value("select df.has_work(%s)", pos))
    engine.rows("select df.cancel(%s)", other)
    seen.append(engine.value("select df.has_work(%s)", pos))
    assert seen == [False, True, False, True, False, True]
    assert engine.status(instance) == "failed"


def test_it_takes_no_transaction_id(engine: Engine) -> None:
    engine.begin(step("a", "select 1"))
    with engine.connection.transaction():
        engine.rows("select df.has_work()")
        assert engine.value("select pg_current_xact_id_if_assigned() is null")
