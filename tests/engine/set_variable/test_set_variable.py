"""df.set_variable: one value per namespace and name."""

from __future__ import annotations

from engine_room import Engine


def test_the_last_value_holds_per_namespace_and_says_who_set_it(engine: Engine) -> None:
    engine.rows("select df.set_variable('v', 'one')")
    engine.rows("set df.actor = 'ann'")
    engine.rows("select df.set_variable('v', 'two')")
    engine.rows("select df.set_variable('v', null, namespace => 'staging')")
    rows = "select namespace, name, value, updated_by from df.variables order by 1"
    assert engine.rows(rows) == [("default", "v", "two", "ann"), ("staging", "v", None, "ann")]
