"""Names in a step's text: put in once, quoted by type, never scanned again; everything else byte for byte."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from engine_room import Engine, step

_numbers = itertools.count(1)


def rendered(pure: Engine, text: str, params: object = None, item: object = None, context: object = None) -> str:
    """Compile a text and put values in, as a step of this role would see it."""
    compiled = "df._compile_sql(%s, df._context_names() || '{\"mine\": 1}', '{}') -> 'parts' -> 0"
    return str(
        pure.value(
            f"select df._render({compiled}, %s::jsonb, %s::jsonb, %s::jsonb, 'none', 0)",
            text,
            json.dumps(context or {}),
            json.dumps(params or {}),
            json.dumps(item),
        )
    )


UNTOUCHED = [
    "select '{urgent,ds}'::text[]",
    'select \'{"a": {ds, 1}, "ds": 2}\'',
    "select $body$ {unknown} $params.x $step.y $body$",
    "select $$ $params.x $$, '$params.x', \"$params.x\" -- $params.x\n /* $params.x */",
    "select 5 % 3, '100%s', '%(x)s', '%%'",
    "prepare p(int) as select $1",
    "select $unknown.x, $params_x, a$params.x, $1",
    "select '{{ ds }}', '{}', '{', '}', '{ds', '{1}', '{ ds }'",
    "select é.ü, 'naïve ²³ ½ 日本', U&'\\00e9'",
    "select E'\\'$params.x', E'''$params.x', 'it''s $params.x'",
    "\tselect\r\n\f 1\v",
    "select 1 -- the end",
    "select '\\' || 'x'",
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_is_no_known_name_stays_as_it_is(pure: Engine, text: str) -> None:
    assert rendered(pure, text, params={"x": "GONE"}) == text


VALUES: list[tuple[Any, str]] = [
    (1, "1"),
    (1.50, "1.5"),
    (True, "true"),
    (None, "NULL"),
    ("plain", "'plain'"),
    ("it's", "'it''s'"),
    ("'; drop table t; --", "'''; drop table t; --'"),
    ("\\'; drop table t; --", "E'\\\\''; drop table t; --'"),
    ("$params.other {ds} $$ {mine}", "'$params.other {ds} $$ {mine}'"),
    ({"a": [1, "x'y"]}, "'{\"a\": [1, \"x''y\"]}'"),
    (["{ds}"], "'[\"{ds}\"]'"),
]


@pytest.mark.parametrize(("value", "literal"), VALUES)
def test_a_value_is_quoted_by_its_type_and_never_scanned_again(pure: Engine, value: object, literal: str) -> None:
    given = {"x": value, "other": "SECRET"}
    context = {"ds": "2024-01-02", "mine": "MINE"}
    assert rendered(pure, "select $params.x;", given, context=context) == f"select {literal}"
    assert rendered(pure, "select $item.x;", item=given, context=context) == f"select {literal}"
    assert rendered(pure, "select $item;", item=value, context=context) == f"select {literal}"


def test_a_raw_value_is_not_scanned_again_either(pure: Engine) -> None:
    context = {"mine": "{ds} $params.x {mine}", "ds": "2024-01-02"}
    assert rendered(pure, "select {mine}, '{ds}{mine}'", {"x": 1}, context=context) == (
        "select {ds} $params.x {mine}, '2024-01-02{ds} $params.x {mine}'"
    )


def test_a_negative_number_cannot_begin_a_comment(engine: Engine) -> None:
    instance = engine.run(
        step("param", "select 5-$params.x as a, 7 as b, $params.x::int as c"),
        step("src", "select -1 as n, -0.5 as d"),
        step("each", "select 5-$item.n as a, 7 as b", each="src"),
        step("step", "select 5-$src.n as a, 1-$src.d as b, (select n-n from $src.*) as c", after="{src}"),
        params={"x": -1},
    )
    assert engine.result(instance, "param") == [{"a": 6, "b": 7, "c": -1}]
    assert engine.results(instance, "each") == [[{"a": 6, "b": 7}]]
    assert engine.result(instance, "step") == [{"a": 6, "b": 1.5, "c": 0}]


def test_all_params_and_the_whole_item_are_one_value(pure: Engine) -> None:
    assert rendered(pure, "select $params, $params.*, $item.*", {"x": 1}, {"y": "z"}) == (
        'select \'{"x": 1}\', \'{"x": 1}\', \'{"y": "z"}\''
    )


INJECTIONS = [
    "'; drop table victim; --",
    "\\'; drop table victim; --",
    "$$; drop table victim; --",
    "-1; drop table victim",
]


def test_no_value_of_a_param_an_item_or_a_result_becomes_sql(engine: Engine) -> None:
    engine.rows("create table victim ()")
    engine.rows("create table texts as select v from unnest(%s::text[]) v", INJECTIONS)
    instance = engine.run(
        step("param", "select $params.x as x", bind="'{}'"),
        step("src", "select v from texts"),
        step("each", "select $item.v as v, length($item.v) as n", each="src"),
        step("one", "select $src.v as v, $src as w", after="{src}"),
        step("all", "select v from $src.*", after="{src}"),
        params={"x": INJECTIONS[0]},
    )
    assert set(engine.states(instance).values()) == {"completed"}
    assert engine.result(instance, "param") == [{"x": INJECTIONS[0]}]
    assert [rows[0]["v"] for rows in engine.results(instance, "each")] == INJECTIONS
    assert engine.result(instance, "one") == [{"v": INJECTIONS[0], "w": INJECTIONS[0]}]
    assert engine.result(instance, "all") == [{"v": text} for text in INJECTIONS]
    assert engine.value("select to_regclass('victim') is not null")


def test_a_result_is_read_by_column_whole_first_or_as_rows(engine: Engine) -> None:
    instance = engine.run(
        step(
            "src",
            "select 7 as n, 'x' as t, null as z, 1.10 as d, true as b, '{\"k\": 1}'::json as j"
            " union all select 8, 'y', '', 2, false, '[]'",
        ),
        step(
            "cols", "select $src.n as n, $src.t as t, $src.z as z, $src.d as d, $src.b as b, $src.j as j", after="{src}"
        ),
        step("first", "select $src as n", after="{src}"),
        step("rows", "select s.n, s.t, s.z, s.d::text as d, s.b from $src.* order by n", after="{src}"),
        step("named", "select \"src\".n from $src.* where t = 'y'", after="{src}"),
    )
    assert engine.result(instance, "cols") == [{"n": 7, "t": "x", "z": None, "d": 1.10, "b": True, "j": '{"k": 1}'}]
    assert engine.result(instance, "first") == [{"n": 7}]
    assert engine.states(instance)["rows"] == "failed"  # its name is src, not s
    assert engine.result(instance, "named") == [{"n": 8}]


def test_a_result_without_rows_is_an_error_or_null_when_asked(engine: Engine) -> None:
    instance = engine.run(
        step("src", "select 1 as n where false"),
        step("strict", "select $src.n as n", after="{src}"),
        step("loose", "select $src.n? as n, $src? as m, $src.nothing? as k", after="{src}"),
        step("rows", "select count(*) as n from $src.*", after="{src}"),
        step("ddl", "create table made ()"),
        step("none", "select $ddl? as n", after="{ddl}"),
    )
    assert engine.error(instance, "strict") == {
        "sqlstate": "PD404",
        "message": "$src.n has no rows",
        "hint": "Write $src.n? for NULL instead.",
    }
    assert engine.result(instance, "loose") == [{"n": None, "m": None, "k": None}]
    assert engine.result(instance, "rows") == [{"n": 0}]
    assert engine.result(instance, "none") == [{"n": None}]


def test_a_column_that_is_not_there_is_named(engine: Engine) -> None:
    instance = engine.run(step("src", "select 1 as n"), step("b", "select $src.m", after="{src}"))
    assert engine.error(instance, "b") == {"sqlstate": "PD404", "message": "$src: the result has no column m"}


def test_a_key_that_is_no_identifier_is_read_through_its_result_name(engine: Engine) -> None:
    instance = engine.run(
        step("stage.load-x", "select 5 as n", result_name="loaded"),
        step("b", "select $loaded.n as n", after="{stage.load-x}"),
    )
    assert engine.result(instance, "b") == [{"n": 5}]


def test_a_mapped_step_is_read_as_all_its_items_in_order(engine: Engine) -> None:
    instance = engine.run(
        step("src", "select g as n from generate_series(1, 3) g"),
        step("each", "select $item.n * 10 as m union all select $item.n * 10 + 1", each="src"),
        step("all", "select array_agg(m) as ms from $each.*", after="{each}"),
        step("first", "select $each.m as m", after="{each}"),
    )
    assert engine.result(instance, "all") == [{"ms": [10, 11, 20, 21, 30, 31]}]
    assert engine.result(instance, "first") == [{"m": 10}]


# Airflow: airflow/sdk/execution_time/task_runner.py, get_template_context.
CONTEXTS = {
    "2024-01-02 03:04:05+00": {
        "ds": "2024-01-02",
        "ds_nodash": "20240102",
        "ts": "2024-01-02T03:04:05+00:00",
        "ts_nodash": "20240102T030405",
        "ts_nodash_with_tz": "20240102T030405+0000",
        "logical_date": "2024-01-02 03:04:05+00:00",
        "run_id": "manual__2024-01-02T03:04:05+00:00",
    },
    "2024-07-01 00:30:00+02": {
        "ds": "2024-06-30",
        "ds_nodash": "20240630",
        "ts": "2024-06-30T22:30:00+00:00",
        "ts_nodash": "20240630T223000",
        "ts_nodash_with_tz": "20240630T223000+0000",
        "logical_date": "2024-06-30 22:30:00+00:00",
        "run_id": "manual__2024-06-30T22:30:00+00:00",
    },
}


@pytest.mark.parametrize("at", CONTEXTS)
def test_dates_stand_in_airflows_own_text_forms_in_every_session(engine: Engine, at: str) -> None:
    engine.rows("set timezone = 'America/New_York'")
    names = list(CONTEXTS[at])
    columns = ", ".join(f"'{{{name}}}' as {name}" for name in names)
    instance = engine.run(step("a", f"select {columns}"), at=at)
    assert engine.result(instance, "a") == [CONTEXTS[at]]


def test_the_other_names_say_which_run_and_which_try(engine: Engine) -> None:
    names = ["workflow", "step", "instance_id", "try_number", "map_index", "idempotency_key", "run_id"]
    columns = ", ".join(f"'{{{name}}}' as {name}" for name in names)
    engine.define("named", step("src", "select 1 as n"), step("a", f"select {columns}", each="src"))
    instance = engine.start("named", ", run_key => 'key 1'")
    engine.work()
    assert engine.results(instance, "a") == [
        [
            {
                "workflow": "named",
                "step": "a",
                "instance_id": instance,
                "try_number": "1",
                "map_index": "0",
                "idempotency_key": f"{instance}:a[0]",
                "run_id": "key 1",
            }
        ]
    ]


def test_a_date_without_a_logical_date_is_refused_and_not_left_standing(engine: Engine) -> None:
    assert engine.error_of("select '{ds}'") == {
        "sqlstate": "PD404",
        "message": "{ds} has no value in this run",
        "hint": "Start the run with a logical_date.",
    }


def test_binds_compute_from_context_params_item_and_results(engine: Engine) -> None:
    binds = {
        "month": "to_char(logical_date, 'YYYY_MM')",
        "tomorrow": "df.ds_add(ds, 1)",
        "doubled": "(params ->> 'n')::int * 2",
        "from_step": "$src.n + 1",
        "quoted": "quote_literal($params.t)",
        "nothing": "null",
        "mixed": "item ->> 'n'",
    }
    text = (
        "select '{month}' as a, '{tomorrow}' as b, {doubled} as c, {from_step} as d, {quoted} as e,"
        " '{nothing}' as f, {mixed} as g"
    )
    instance = engine.run(
        step("src", "select 41 as n"),
        step("a", text, each="src", bind="'" + json.dumps(binds).replace("'", "''") + "'"),
        params={"n": 21, "t": "it's {ds}"},
        at="2024-02-28",
    )
    assert engine.results(instance, "a") == [
        [{"a": "2024_02", "b": "2024-02-29", "c": 42, "d": 42, "e": "it's {ds}", "f": "", "g": 41}]
    ]


def test_a_bind_overrides_a_context_name_and_fails_with_the_step(engine: Engine) -> None:
    assert engine.result_of("select '{ds}' as ds", bind='\'{"ds": "1 + 1"}\'') == [{"ds": "2"}]
    error = engine.error_of("select {x}", bind='\'{"x": "1 / 0"}\'')
    assert error == {"sqlstate": "22012", "message": "division by zero"}
