"""What is put into text, and what an error shows: values as they are, and the authors' own lines."""

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


def test_an_error_shows_the_authors_lines_and_not_the_engines(engine: Engine) -> None:
    engine.rows("create function inner_one() returns int language plpgsql as 'begin return 1 / 0; end'")
    instance = engine.run(step("a", "select inner_one()"))
    error = engine.value("select error from df.steps where instance_id = %s", instance)
    assert "PL/pgSQL function inner_one() line 1 at RETURN" in error["context"]
    assert "df." not in error["context"]
    assert "df_runners" not in error["context"]


def test_a_timestamp_without_dashes_keeps_its_microseconds_as_in_airflow(engine: Engine) -> None:
    assert engine.result_of("select '{ts_nodash_with_tz}' as t", at="2024-07-01 00:30:00.120+02") == [
        {"t": "20240630T223000.120000+0000"}
    ]


def test_df_steps_shows_the_text_of_a_step_as_it_was_written(engine: Engine) -> None:
    text = "select '{ds}', '{late}', $params.n, $a.n, $a.n?, '{a}'::text[] from $a.* where $a is not null;\nselect 2"
    engine.define(
        "w",
        step("a", "select 1 as n"),
        step("b", text, after="{a}", bind='\'{"late": "1 + 1"}\''),
        step("c", "select $item.n, $item", after="{a}", each="a"),
        options=', params => \'{"n": {"default": 1}}\'',
    )
    instance = engine.start("w")
    shown = engine.rows("select key, sql_text from df.steps where instance_id = %s and map_index is null", instance)
    assert dict(shown) == {"a": "select 1 as n", "b": text, "c": "select $item.n, $item"}
