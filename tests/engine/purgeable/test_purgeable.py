"""df.purgeable: what a purge would remove."""

from __future__ import annotations

from engine_room import Engine, refused, step


def test_it_counts_what_would_go_and_changes_nothing(engine: Engine) -> None:
    for name in ("one", "two"):
        engine.define(name, step("a", "select 1"))
        engine.rows(f"select df.start_workflow('{name}', run_key => n::text) from generate_series(1, 3) n")
    engine.work()
    open_one = engine.start("one")
    said = "select what, in_namespace, of_workflow, count from df.purgeable("
    assert engine.rows(said + "'0')") == [("instances", "default", "one", 3), ("instances", "default", "two", 3)]
    assert engine.rows(said + "'1 hour')") == []
    assert engine.rows(said + "'0', 'two')") == [("instances", "default", "two", 3)]
    assert engine.value("select count(*) from df.instances") == 7
    engine.rows("call df.purge('0')")
    assert engine.rows(said + "'0', keep_keys => '0')") == [
        ("run_keys", "default", "one", 3),
        ("run_keys", "default", "two", 3),
    ]
    assert engine.column("select instance_id from df.instances") == [open_one]


def test_without_a_rule_it_asks_for_one(engine: Engine) -> None:
    assert refused(engine, "select * from df.purgeable()")[:2] == (
        "PD400",
        "nothing says how long finished instances are kept",
    )
