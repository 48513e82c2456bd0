"""df.set_retention: rules that df.tick and df.purge follow."""

from __future__ import annotations

from engine_room import Engine, refused, step

LEFT = "select namespace || '/' || workflow from df.instances order by 1"


def three(engine: Engine) -> None:
    for namespace, name in (("a", "one"), ("a", "two"), ("b", "one")):
        engine.rows(f"select set_config('df.namespace', '{namespace}', false)")
        engine.define(name, step("a", "select 1"))
        engine.start(name)
    engine.work()


def test_without_a_rule_tick_purges_nothing(engine: Engine) -> None:
    three(engine)
    engine.pass_time("1000 days")
    engine.rows("call df.tick()")
    assert engine.value("select count(*) from df.instances") == 3


def test_tick_follows_the_most_specific_rule(engine: Engine) -> None:
    three(engine)
    assert engine.value("select df.set_retention('10 days')") == "everything is purged 10 days after its end"
    assert engine.value("select df.set_retention('30 days', namespace => 'a')") == "a is purged 30 days after its end"
    said = engine.value("select df.set_retention('60 days', 'two', 'a', keep_keys => '90 days')")
    assert said == "a/two is purged 60 days after its end, run keys are kept for 90 days"
    for days, left in ((9, ["a/one", "a/two", "b/one"]), (2, ["a/one", "a/two"]), (20, ["a/two"]), (30, [])):
        engine.pass_time(f"{days} days")
        engine.rows("update df._purge_turns set next_at = '-infinity'")
        for _ in range(6):
            engine.rows("call df.tick()")
        assert engine.column(LEFT) == left


def test_a_rule_is_changed_removed_and_shown(engine: Engine) -> None:
    engine.rows("select df.set_retention('10 days')")
    engine.rows("select df.set_retention('20 days', keep_keys => '1 year')")
    engine.rows("select df.set_retention('1 day', 'w')")
    shown = "select namespace, workflow, keep::text, keep_keys::text from df.retention order by 1, 2"
    assert engine.rows(shown) == [("", "", "20 days", "1 year"), ("default", "w", "1 day", None)]
    assert engine.value("select df.set_retention(workflow => 'w')") == "default/w is kept as the next wider rule says"
    engine.rows("select df.set_retention()")
    assert engine.rows(shown) == []


def test_purge_without_an_age_follows_the_rules(engine: Engine) -> None:
    three(engine)
    engine.rows("select df.set_retention('0', namespace => 'a')")
    assert engine.value("call df.purge()")["instances"] == 2
    assert engine.column(LEFT) == ["b/one"]


def test_tick_takes_small_shares(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    engine.rows("select df.start_workflow('w') from generate_series(1, 450)")
    engine.work()
    engine.rows("select df.set_retention('0')")
    left = []
    for _ in range(4):
        engine.rows("call df.tick()")
        left.append(engine.value("select count(*) from df._instances"))
    assert left == [250, 50, 0, 0]


def test_less_than_no_time_is_refused(engine: Engine) -> None:
    assert refused(engine, "select df.set_retention('-1 day')")[0] == "PD400"
