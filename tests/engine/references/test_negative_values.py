"""A negative value is a value: behind a minus sign it must not become a comment."""

from __future__ import annotations

from engine_room import Engine, step


def test_a_negative_value_behind_a_minus_sign_does_not_comment_the_rest_out(engine: Engine) -> None:
    engine.rows("create table t (v int, tenant int)")
    engine.rows("insert into t select n, n % 2 from generate_series(1, 20) n")
    instance = engine.begin(
        step("a", "select -5 as n"),
        step("b", "delete from t where v < 10-$a.n and tenant = 1 returning v", after="{a}"),
    )
    engine.work()
    engine.check(instance)
    assert engine.value("select count(*) from t where tenant = 0") == 10
    assert engine.value("select count(*) from t where tenant = 1") == 3
