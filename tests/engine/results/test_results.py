"""What a SQL step leaves behind as its result, and where that ends."""

from __future__ import annotations

import pytest
from engine_room import Engine, step


def text_of(engine: Engine, run: str) -> str:
    instance = engine.run(step("only", run))
    assert engine.states(instance) == {"only": "completed"}, engine.error(instance, "only")
    return str(engine.value("select result::text from df.steps where instance_id = %s", instance))


RESULTS = {
    'select 1 as b, 2 as a, 3 as b, 4 as "B c"': '[{"b":1,"a":2,"b":3,"B c":4}]',
    "select 1.10 a, 1e9::numeric b, float8 '0.1' c, float8 'NaN' d": '[{"a":1.10,"b":1000000000,"c":0.1,"d":"NaN"}]',
    "select 1 as a where false": "[]",
    "select null as a": '[{"a":null}]',
    "select '' as a, E'\\n\\t\"' as b": '[{"a":"","b":"\\n\\t\\""}]',
    'select \'{"z": 1, "a": [1.0]}\'::json as j': '[{"j":{"z": 1, "a": [1.0]}}]',
    "select timestamptz '2024-01-02 03:04:05+02' as t": '[{"t":"2024-01-02T01:04:05+00:00"}]',
    "select '\\xdead'::bytea b, interval '26 h' i, '{1,2}'::int[] a": '[{"b":"\\\\xdead","i":"26:00:00","a":[1,2]}]',
    "values (1, 'x'), (2, 'y')": '[{"column1":1,"column2":"x"},{"column1":2,"column2":"y"}]',
    "select": "[{}]",
    "create temp table t (n int); insert into t values (1), (2) returning n": '[{"n":1},{"n":2}]',
    "create temp table t (n int); with w as (insert into t values (3) returning n) select n + 1 m from w": '[{"m":4}]',
    "create temp table t (n int); insert into t values (1); update t set n = 5 returning n as x": '[{"x":5}]',
    "show server_version_num; show work_mem": '[{"work_mem":"4MB"}]',
    "explain (costs off) select 1": '[{"QUERY PLAN":"Result"}]',
    "select 1 as a; select 2 as b;": '[{"b":2}]',
    "select 1 as a -- the end": '[{"a":1}]',
    "select 1 as a /* the end */ ; -- really": '[{"a":1}]',
    "select $$;$$ as a": '[{"a":";"}]',
    "create temp table t (n int); declare c cursor for select 9 as n; fetch all from c": '[{"n":9}]',
}


def test_every_kind_of_statement_that_returns_rows_keeps_them_as_postgres_writes_them(engine: Engine) -> None:
    assert {run: text_of(engine, run) for run in RESULTS} == RESULTS


WITHOUT = {
    "create table made (n int)": 0,
    "create table made2 as select g as n from generate_series(1, 3) g": 3,
    "insert into made select 1 from generate_series(1, 5)": 5,
    "with w as (select 1 as n) insert into made select n from w": 1,
    "update made set n = 2": 6,
    "delete from made where n = 2": 6,
    "do $$ begin perform 1; end $$": 0,
    "comment on table made is 'x'; analyze made": 0,
    "alter table made add column m int default 3": 0,
    "create function one() returns int language sql as 'select 1'": 0,
    "create procedure p() language sql as 'select 1'; call p()": 0,
    "drop table made": 0,
}


def test_every_kind_of_statement_without_rows_runs_and_counts_what_it_touched(engine: Engine) -> None:
    found = {}
    for run in WITHOUT:
        instance = engine.run(step("only", run))
        [(status, result, count)] = engine.rows(
            "select status, result, row_count from df.steps where instance_id = %s", instance
        )
        assert (status, result) == ("completed", None), (run, engine.error(instance, "only"))
        found[run] = count
    assert found == WITHOUT


def test_rows_are_counted(engine: Engine) -> None:
    instance = engine.run(step("a", "select generate_series(1, 7)"), step("b", "select 1 where false"))
    assert engine.rows("select key, row_count from df.steps where instance_id = %s order by key", instance) == [
        ("a", 7),
        ("b", 0),
    ]


TOO_MANY = {
    "insert into seen values (1); select generate_series(1, 11) as n": "rows",
    "insert into seen select generate_series(1, 11) returning n": "rows",
    "with w as (insert into seen select generate_series(1, 11) returning n) select n from w": "rows",
    "insert into seen values (1); select repeat('x', 300) as t from generate_series(1, 9)": "bytes",
    "insert into seen values (1); with w as (select 1) select repeat('x', 300) from generate_series(1, 9)": "bytes",
}


def test_a_result_past_the_limit_fails_and_its_effects_are_undone(engine: Engine) -> None:
    engine.rows("create table seen (n int)")
    engine.rows("update df._engine set max_result_rows = 10, max_result_bytes = 2000")
    expected = {
        "sqlstate": "PD413",
        "message": "the result is larger than 10 rows or 2000 bytes",
        "hint": "Write the rows to a table and return a count or a key.",
    }
    assert {run: engine.error_of(run) for run in TOO_MANY} == dict.fromkeys(TOO_MANY, expected)
    assert engine.rows("select * from seen") == []


def test_a_result_at_the_limit_is_kept(engine: Engine) -> None:
    engine.rows("update df._engine set max_result_rows = 10")
    assert len(engine.result_of("select generate_series(1, 10) as n")) == 10


def test_a_result_of_twenty_million_rows_ends_at_the_limit(engine: Engine) -> None:
    assert engine.error_of("select generate_series(1, 20000000) as n")["sqlstate"] == "PD413"


def test_a_whole_result_of_more_than_ten_thousand_rows_is_not_put_into_a_text(engine: Engine) -> None:
    engine.rows("update df._engine set max_result_rows = 20000")
    instance = engine.run(
        step("a", "select g as n from generate_series(1, 10001) g"),
        step("b", "select count(*) from $a.*", after="{a}"),
        step("c", "select $a.n as n", after="{a}"),
    )
    assert engine.error(instance, "b") == {
        "sqlstate": "PD413",
        "message": "$a.* has 10001 rows; 10000 is the most that is put into SQL text",
        "hint": "Write the rows to a table and read that.",
    }
    assert engine.result(instance, "c") == [{"n": 1}]


FAILURES = {
    "select 1 / 0": {"sqlstate": "22012", "message": "division by zero"},
    "select * from nowhere": {"sqlstate": "42P01", "message": 'relation "nowhere" does not exist'},
    "do $$ begin raise 'no %', 'way' using errcode = 'ZX001', detail = 'the detail', hint = 'the hint'; end $$": {
        "sqlstate": "ZX001",
        "message": "no way",
        "detail": "the detail",
        "hint": "the hint",
    },
    "do $$ begin assert false, 'broken'; end $$": {"sqlstate": "P0004", "message": "broken"},
    "do $$ begin raise query_canceled; end $$": {"sqlstate": "57014", "message": "query_canceled"},
    "do $$ begin commit; end $$": {"sqlstate": "2D000", "message": "invalid transaction termination"},
    "select 'x'::int": {"sqlstate": "22P02", "message": 'invalid input syntax for type integer: "x"'},
    "create table t (a int": {"sqlstate": "42601", "message": "syntax error at end of input"},
    "insert into strict values (1)": {
        "sqlstate": "23505",
        "message": 'duplicate key value violates unique constraint "strict_pkey"',
        "detail": "Key (n)=(1) already exists.",
    },
}


def test_an_error_keeps_its_code_message_detail_and_hint(engine: Engine) -> None:
    engine.rows("create table strict (n int primary key)")
    engine.rows("insert into strict values (1)")
    assert {run: engine.error_of(run) for run in FAILURES} == FAILURES


def test_a_failed_step_leaves_nothing_and_what_ran_before_stays(engine: Engine) -> None:
    engine.rows("create table seen (n int)")
    instance = engine.run(
        step("a", "insert into seen values (1)"),
        step("b", "insert into seen values (2); insert into seen values (1 / 0)", after="{a}"),
    )
    assert engine.states(instance) == {"a": "completed", "b": "failed"}
    assert engine.rows("select n from seen") == [(1,)]
    [(error, failed)] = engine.rows(
        "select error ->> 'message', failed_step from df.instances where instance_id = %s", instance
    )
    assert (error, failed) == ("division by zero", "b")


def test_a_deferred_constraint_fails_the_step_and_not_the_commit(engine: Engine) -> None:
    engine.rows("create table parents (n int primary key)")
    engine.rows("create table children (n int references parents deferrable initially deferred)")
    error = engine.error_of("insert into children values (1)")
    if engine.connection.info.server_version >= 180000 or error["sqlstate"] == "23503":
        assert error["sqlstate"] == "23503"
    assert engine.rows("select * from children") == []


@pytest.mark.parametrize("run", ["select n from late", "insert into late values (1)"])
def test_a_step_may_use_what_an_earlier_step_made(engine: Engine, run: str) -> None:
    instance = engine.run(step("a", "create table late (n int)"), step("b", run, after="{a}"))
    assert engine.states(instance) == {"a": "completed", "b": "completed"}
