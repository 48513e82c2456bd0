"""df.next_due: when the earliest timer is due, by the wall clock."""

from __future__ import annotations

from engine_room import Engine, step


def test_it_is_the_earliest_timer_in_real_time(engine: Engine) -> None:
    assert engine.value("select df.next_due()") is None
    engine.run(
        step("a", "select 1 / 0", retries="1", retry_delay="30 min"),
        step("b", "select 1 / 0", retries="1", retry_delay="20 min"),
    )
    assert engine.value("select df.next_due() - clock_timestamp() between '19 min' and '20 min'")
    engine.pass_time("10 min")
    assert engine.value("select df.next_due() - clock_timestamp() between '9 min' and '10 min'")
