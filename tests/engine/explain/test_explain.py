"""df.explain: an instance or a workflow, for a person at a terminal."""

from __future__ import annotations

import re

from engine_room import Engine, refused, step


def test_a_workflow_shows_class_order_and_source_of_each_step(engine: Engine) -> None:
    engine.define(
        "w",
        step("a", "select 1", source="w.sql:1"),
        step("b", "copy t to stdout", after="{a}"),
        step("c", "vacuum", after="{a,b}", rule="all_done"),
        step("d", "select 1", each="a"),
        step("e", "df.python('m:f')"),
    )
    assert re.sub(r" +", " ", engine.value("select df.explain('w')")).splitlines() == [
        "w v1",
        " a plain w.sql:1",
        " b session after a",
        " c autonomous after a, b all_done",
        " d[] plain each a",
        " e python",
    ]


def test_an_instance_shows_what_each_step_did_or_waits_for(engine: Engine) -> None:
    engine.define(
        "w",
        step("a", "select generate_series(1, 2)"),
        step("b", "select 1 / 0", retries="1"),
        step("c", "select 1", after="{a,b}"),
        step("d", "select $item.generate_series", each="a"),
    )
    instance = engine.start("w", ", run_key => 'k', reason => 'by hand', logical_date => '2024-01-02'")
    engine.work()
    text = re.sub(r" +", " ", engine.value("select df.explain(%s)", instance[:8]))
    text = re.sub(r"\d\d:\d\d:\d\d", "TIME", text)
    header, run, *steps = text.splitlines()
    assert (header, run) == (
        f"w v1 {instance} running",
        "run_id k started by pgdurable as pgdurable because by hand",
    )
    assert sorted(steps) == [
        " completed a sql 2 rows",
        " completed d sql 2 rows",
        " completed d[0] sql 1 row",
        " completed d[1] sql 1 row",
        " retrying b sql attempt 1 of 2 again at TIME 22012 division by zero",
        " waiting c sql waits for b",
    ]


def test_what_is_neither_is_refused(pure: Engine) -> None:
    assert refused(pure, "select df.explain('nothing')")[:2] == ("PD404", "there is no instance or workflow 'nothing'")
