"""df.check: a query whose first row must be true in every column."""

from __future__ import annotations

from engine_room import Engine, step


def test_it_is_a_step_of_kind_check(pure: Engine) -> None:
    assert pure.value("select df.step('a', df.check(E'\\nselect 1\\n'))") == {
        "key": "a",
        "run": {"kind": "check", "sql": "select 1"},
    }


TRUE = ["select true", "select 1, 'x', true, 0.5", "select '{1}'::int[], '{\"a\": 1}'::json", "select 'false'"]
FALSE = {
    "select false as a": "the check said no: a is false",
    "select 1 as a, null as b": "the check said no: b is null",
    "select 0 as a, 0.00 as b, '' as c": 'the check said no: a is 0, b is 0.00, c is ""',
    "select '{}'::int[] as a, '{}'::json as b": "the check said no: a is [], b is {}",
    "select true where false": "the check returned no row",
    "create table ct ()": "the check returned no row",
}


def test_what_airflow_takes_for_true_passes(engine: Engine) -> None:
    instance = engine.run(*(step(f"c{n}", f"df.check($q${query}$q$)") for n, query in enumerate(TRUE)))
    assert engine.states(instance) == {f"c{n}": "completed" for n in range(len(TRUE))}


def test_what_airflow_takes_for_false_fails_with_its_columns(engine: Engine) -> None:
    steps = [step(f"c{n}", f"df.check($q${query}$q$)") for n, query in enumerate(FALSE)]
    instance = engine.run(*steps)
    assert [engine.error(instance, f"c{n}") for n in range(len(FALSE))] == [
        {"sqlstate": "PD422", "message": message} for message in FALSE.values()
    ]


def test_a_check_that_says_no_undoes_what_it_did(engine: Engine) -> None:
    engine.rows("create table seen (n int)")
    query = "with w as (insert into seen values (1) returning n) select n > 1 as is_more from w"
    instance = engine.run(step("c", f"df.check($q${query}$q$)"), step("d", "select 1", after="{c}"))
    assert engine.states(instance) == {"c": "failed", "d": "upstream_failed"}
    assert engine.error(instance, "c") == {"sqlstate": "PD422", "message": "the check said no: is_more is false"}
    assert engine.rows("select * from seen") == []
