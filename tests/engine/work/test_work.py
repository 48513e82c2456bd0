"""df.work: what it refuses, what a step may leave behind (nothing), and who cannot reach into the engine."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from engine_room import Engine, refused, step
from server import Database


def test_inside_a_transaction_block_it_says_how_to_call_it(engine: Engine) -> None:
    engine.rows("begin")
    state, message, _, hint = refused(engine, "call df.work()")
    engine.rows("rollback")
    assert (state, message) == (
        "PD500",
        "df.work commits, so it cannot run inside a transaction block or with other statements",
    )
    assert hint == "Run it alone, in autocommit: call df.work();"


def test_it_runs_from_a_driver_that_sends_parameters(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    engine.rows("call df.work(%s, %s)", 10, 0)
    assert engine.status(instance) == "completed"


def test_statements_that_the_driver_prepared_survive_and_the_steps_own_do_not(engine: Engine) -> None:
    engine.connection.prepare_threshold = 0
    engine.rows("prepare mine as select 7")
    for _ in range(3):
        instance = engine.begin(
            step("a", "prepare theirs as select 1"), step("b", "prepare theirs as select 2", after="{a}")
        )
        engine.rows("call df.work(%s, %s)", 10, 0)
        assert engine.states(instance) == {"a": "completed", "b": "completed"}
    assert engine.rows("execute mine") == [(7,)]
    assert engine.value("select count(*) from pg_prepared_statements where name = 'theirs'") == 0


def test_a_chain_is_claimed_step_by_step_for_everybody_to_see(engine: Engine) -> None:
    look = (
        "select key, status from df.steps where status <> 'completed' and instance_id = '{instance_id}' order by step"
    )
    chain = [step("s1", "select 1"), *(step(f"s{n}", look, after=f"{{s{n - 1}}}") for n in range(2, 5))]
    instance = engine.run(*chain)
    assert engine.result(instance, "s3") == [{"key": "s3", "status": "running"}, {"key": "s4", "status": "waiting"}]


def test_a_failure_in_a_chain_is_recorded_once_and_tried_again(engine: Engine) -> None:
    engine.rows("create table tries (n int); create sequence turn")
    instance = engine.begin(
        step("s1", "select 1"),
        step("s2", "insert into tries values (nextval('turn'))", after="{s1}"),
        step("s3", "select 1 / (nextval('turn') - 2)", after="{s2}", retries="1", retry_delay="0s"),
        step("s4", "insert into tries values (nextval('turn'))", after="{s3}"),
    )
    engine.work("idle_seconds => 0.5")
    assert engine.states(instance) == dict.fromkeys(["s1", "s2", "s3", "s4"], "completed")
    assert engine.column("select n from tries order by n") == [1, 4]
    assert engine.rows(
        "select key, status, error ->> 'sqlstate' from df.attempts where key = 's3' order by attempt"
    ) == [
        ("s3", "failed", "22012"),
        ("s3", "completed", None),
    ]


def test_what_a_step_raises_in_the_engines_name_runs_once_and_is_counted_once(engine: Engine) -> None:
    engine.rows("create sequence runs")
    lost = "do $$ begin perform nextval('runs'); raise exception 'mine' using errcode = 'PD409'; end $$"
    instance = engine.begin(step("a", "select 1"), step("b", lost, after="{a}"))
    assert engine.rows("call df.work()")[0][1] == 2
    assert engine.states(instance) == {"a": "completed", "b": "failed"}
    assert engine.value("select last_value from runs") == 1


def test_a_lock_timeout_of_the_step_does_not_reach_its_checkpoint(engine: Engine, database: Database) -> None:
    brief = "set lock_timeout = '50ms'"
    instance = engine.begin(step("a", brief), step("b", brief, after="{a}"))
    with database.connect() as other:
        other.execute("begin")
        other.execute("select from df._instances where instance_id = %s for update", [instance])
        working = threading.Thread(target=engine.work)
        working.start()
        time.sleep(0.5)
        other.execute("rollback")
        working.join(10)
    assert engine.states(instance) == {"a": "completed", "b": "completed"}


def test_what_a_step_prepared_in_a_call_that_died_is_gone_in_the_next(engine: Engine) -> None:
    engine.rows("prepare theirs as select 1")
    engine.rows(
        "insert into df._sessions (pid, backend_start, login) "
        "select pid, backend_start, usename from pg_stat_activity where pid = pg_backend_pid()"
    )
    engine.work()
    assert engine.rows("select name from pg_prepared_statements where from_sql") == []


def test_a_suspect_that_nobody_holds_alone_is_taken_back(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    engine.rows("insert into df._sessions (pid, backend_start, login) values (1, now(), current_user)")
    engine.rows(
        "update df._steps set state = 'running', lane = 2, is_suspect = true, "
        "holder = (select max(session_id) from df._sessions) where instance_id = %s",
        instance,
    )
    engine.rows("call df.tick()")
    assert engine.rows("select state::text, charged, caught from df._steps") == [("ready", 0, 1)]
    engine.work()
    assert engine.states(instance) == {"a": "completed"}


def test_it_runs_in_a_do_block_and_from_a_prepared_statement(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    engine.rows("do $$ declare p text; d bigint; begin call df.work(pos => p, done => d); end $$")
    assert engine.status(instance) == "completed"


@pytest.mark.parametrize("value", ["600ms", "1min"])
def test_a_statement_timeout_is_refused_with_what_to_set(engine: Engine, value: str) -> None:
    engine.rows(f"set statement_timeout = '{value}'")
    assert refused(engine, "call df.work()") == (
        "PD500",
        f"statement_timeout is {value}, and would end this call or hit the wrong step",
        None,
        "set statement_timeout = 0; call df.work();",
    )


def test_a_statement_timeout_of_the_database_is_refused_and_can_be_set_off(database: Database) -> None:
    database.execute(f"alter database \"{database.name}\" set statement_timeout = '1s'")
    with database.connect() as connection:
        engine = Engine(connection)
        instance = engine.begin(step("a", "select 1"))
        assert refused(engine, "call df.work()")[0] == "PD500"
        engine.rows("set statement_timeout = 0")
        engine.work()
        engine.check(instance)
        assert engine.status(instance) == "completed"


def test_a_read_only_default_is_refused(engine: Engine) -> None:
    engine.rows("set default_transaction_read_only = on")
    assert refused(engine, "call df.work()") == (
        "PD500",
        "transactions are read-only here",
        None,
        "set default_transaction_read_only = off",
    )


def test_while_draining_nothing_is_claimed(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    engine.rows("update df._engine set draining = true")
    assert refused(engine, "call df.work()")[0] == "PD503"
    engine.rows("update df._engine set draining = false")
    engine.work()
    assert engine.status(instance) == "completed"


@pytest.mark.parametrize(
    "setting",
    [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_isolation = 'repeatable read'",
        "timezone = 'America/St_Johns'",
        "datestyle = 'German'",
        "datestyle = 'SQL, DMY'",
        "lock_timeout = '1ms'",
        "row_security = off",
        "plan_cache_mode = 'force_custom_plan'",
        "search_path = ''",
        "bytea_output = 'escape'",
        "extra_float_digits = 0",
        "quote_all_identifiers = on",
        "enable_indexscan = off",
    ],
)
def test_a_setting_of_the_database_changes_nothing_about_the_work(database: Database, setting: str) -> None:
    database.execute(f'alter database "{database.name}" set {setting}')
    with database.connect() as connection:
        engine = Engine(connection)
        instance = engine.run(
            step("src", "select g as n from generate_series(1, 3) g"),
            step("each", "select $item.n as n", each="src"),
            step("bad", "select 1 / 0", retries="1", retry_delay="5 min"),
            step("z", "select sum(n) as s from $each.*", after="{each,bad}", rule="all_done"),
            at="2024-01-02",
        )
        engine.pass_time("5 min")
        engine.work()
        engine.check(instance)
        assert engine.result(instance, "z") == [{"s": 6}]


NOTHING = "select not exists (select from {}) as gone"
ISOLATION = "select current_setting('transaction_isolation') = 'read committed' as gone"
LEFT = {
    "create temp table left_behind (n int)": "select to_regclass('pg_temp.left_behind') is null as gone",
    "set work_mem = '123kB'": "select current_setting('work_mem') <> '123kB' as gone",
    "set statement_timeout = '1ms'": "select current_setting('statement_timeout') = '0' as gone",
    "set local lock_timeout = '77ms'": "select current_setting('lock_timeout') <> '77ms' as gone",
    "set search_path = pg_temp": "select current_setting('search_path') <> 'pg_temp' as gone",
    "set timezone = 'Asia/Tokyo'": "select current_setting('timezone') <> 'Asia/Tokyo' as gone",
    "select set_config('my.secret', 'x', false)": "select coalesce(current_setting('my.secret', true), '') = '' gone",
    "listen somebody": "select not exists (select pg_listening_channels()) as gone",
    "select pg_advisory_lock(42)": NOTHING.format("pg_locks where locktype = 'advisory' and objid = 42"),
    "prepare left_behind as select 1": NOTHING.format("pg_prepared_statements where name = 'left_behind'"),
    "declare left_behind cursor with hold for select 1": NOTHING.format("pg_cursors where name = 'left_behind'"),
    "create sequence q; select nextval('q')": "select has_no_last_value() as gone",
    "set default_transaction_isolation = 'serializable'": ISOLATION,
    "set session characteristics as transaction isolation level repeatable read": ISOLATION,
}


def test_what_a_step_leaves_in_the_session_is_gone_for_the_next(engine: Engine) -> None:
    engine.rows("""create function has_no_last_value() returns boolean language plpgsql as
        $$ begin perform lastval(); return false; exception when sqlstate '55000' then return true; end $$""")
    steps = []
    for n, (leave, look) in enumerate(LEFT.items()):
        after = {"after": f"{{look{n - 1}}}"} if n else {}
        steps += [step(f"leave{n}", leave, **after), step(f"look{n}", look, after=f"{{leave{n}}}")]
    instance = engine.run(*steps)
    assert set(engine.states(instance).values()) == {"completed"}
    found = {leave: engine.result(instance, f"look{n}") for n, leave in enumerate(LEFT)}
    assert found == {leave: [{"gone": True}] for leave in LEFT}


READ_ONLY = [
    "set default_transaction_read_only = on",
    "set session characteristics as transaction read only",
    "set transaction read only",
    "set transaction_read_only = on",
    "select set_config('transaction_read_only', 'on', true)",
]


def test_a_step_that_makes_its_transaction_or_session_read_only_ends_nobodys_work(engine: Engine) -> None:
    instance = engine.run(*(step(f"s{n}", text) for n, text in enumerate(READ_ONLY)), step("z", "create table t ()"))
    states = engine.states(instance)
    assert states.pop("z") == "completed"
    assert set(states.values()) <= {"completed", "failed"}


def test_a_timeout_that_a_step_sets_hits_no_later_step(engine: Engine) -> None:
    instance = engine.run(step("a", "set statement_timeout = '50ms'"), step("b", "select pg_sleep(0.2)", after="{a}"))
    assert engine.states(instance) == {"a": "completed", "b": "completed"}


SHADOWS = """
create schema evil;
create table evil.loot (what text);
grant usage, create on schema evil to public;
create function evil.shadow(text, text) returns boolean language plpgsql as
    $$ begin insert into evil.loot values ('operator'); return true; end $$;
create operator evil.= (leftarg = text, rightarg = text, function = evil.shadow);
create operator evil.<> (leftarg = text, rightarg = text, function = evil.shadow);
create function evil.set_config(text, text, boolean) returns text language plpgsql as
    $$ begin insert into evil.loot values ('set_config'); return ''; end $$;
create function evil.clock_timestamp() returns timestamptz language plpgsql as
    $$ begin insert into evil.loot values ('clock'); return now(); end $$;
create table evil._steps (n int); create table evil.steps (n int); create table evil._instances (n int);
"""


@pytest.mark.parametrize("path", ["evil, pg_catalog", "evil, pg_catalog, pg_temp, df"])
def test_a_schema_before_pg_catalog_cannot_reach_the_engine(database: Database, path: str) -> None:
    database.execute(SHADOWS)
    database.execute(f'alter database "{database.name}" set search_path = {path}')
    with database.connect() as connection:
        engine = Engine(connection)
        instance = engine.begin(
            step("a", "select 1 as n"),
            step("b", "select $a.n as n", after="{a}"),
            step("c", "df.check('select true')", after="{b}"),
            step("each", "select $item.n as n", each="a"),
        )
        connection.execute("call df.work()")
        assert connection.execute("select what from evil.loot").fetchall() == []
        connection.execute("set search_path = pg_catalog")
        assert engine.status(instance) == "completed"


def test_a_temp_table_of_the_caller_cannot_shadow_the_engines(engine: Engine) -> None:
    for table in ("_steps", "steps", "_engine", "_instances", "pg_proc"):
        engine.rows(f"create temp table {table} (n int)")
    instance = engine.run(step("a", "select 1"), step("b", "select $a", after="{a}"))
    assert engine.status(instance) == "completed"


def test_a_deadlock_in_a_step_is_repeated_and_charges_nothing(engine: Engine) -> None:
    engine.rows("create sequence tries")
    text = "do $$ begin if nextval('tries') < 3 then raise deadlock_detected; end if; end $$"
    instance = engine.run(step("a", text))
    assert engine.rows("select status, attempt from df.steps where instance_id = %s", instance) == [("completed", 1)]


def test_a_cancel_that_nobody_asked_for_is_undone_and_charges_nothing(engine: Engine) -> None:
    engine.rows("create sequence tries")
    engine.rows("create table seen ()")
    text = (
        "insert into seen default values; do $$ begin if nextval('tries') < 4 then raise query_canceled; end if; end $$"
    )
    instance = engine.run(step("a", text))
    assert engine.rows("select status, attempt from df.steps where instance_id = %s", instance) == [("completed", 1)]
    assert engine.value("select count(*) from seen") == 1


def test_a_step_that_ends_its_own_session_is_charged_alone_and_quarantined(engine: Engine, database: Database) -> None:
    superuser = psycopg.connect(database.superuser_dsn, autocommit=True)
    body = "select pg_terminate_backend(pg_backend_pid())"
    superuser.execute(f"create function die() returns void language sql security definer as '{body}'".encode())
    bad = engine.begin(step("a", "select die()"))
    good = engine.begin(step("a", "select 1"))
    deaths = 0
    while engine.states(bad)["a"] != "failed":
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            try:
                connection.execute("call df.work()")
            except psycopg.errors.AdminShutdown:
                deaths += 1
        assert deaths <= 5
    engine.work()
    assert engine.states(bad) == {"a": "failed"}
    assert engine.error(bad, "a")["sqlstate"] == "PD410"
    assert engine.states(good) == {"a": "completed"}
    superuser.close()


def test_it_returns_its_position_and_finds_later_work_from_there(engine: Engine) -> None:
    first = engine.begin(step("a", "select 1"))
    [(pos, done)] = engine.rows("call df.work()")
    second = engine.begin(step("a", "select 1"))
    [(pos, again)] = engine.rows("call df.work(pos => %s)", pos)
    assert (done, again) == (1, 1)
    assert [engine.status(first), engine.status(second)] == ["completed", "completed"]
    assert engine.rows("select df.has_work(%s)", pos) == [(False,)]


def test_a_start_that_commits_late_is_found(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    with engine.connection.__class__.connect(engine.connection.info.dsn) as late:
        late.execute("select df.start_workflow('w')")
        [(pos, _)] = engine.rows("call df.work()")
        for _ in range(3):
            engine.start("w")
            [(pos, _)] = engine.rows("call df.work(pos => %s)", pos)
        late.commit()
    engine.rows("call df.work(pos => %s)", pos)
    assert engine.column("select status from df.instances") == ["completed"] * 4
