"""A step runs as somebody: with that somebody's settings and rights, and nobody else's."""

from __future__ import annotations

import threading

import psycopg
import pytest
from engine_people import People
from engine_room import refused, step

ESCAPES = [
    "do $$ begin execute 'reset role'; end $$",
    "do $$ begin execute 'set role {worker}'; end $$",
    "do $$ begin execute 'set session authorization {worker}'; end $$",
    "do $$ begin execute 'reset session authorization'; end $$",
    "select set_config('role', 'none', false)",
    "select set_config('role', '{worker}', true)",
    "select set_config('session_authorization', '{worker}', false)",
]


def test_a_step_runs_as_the_role_that_defined_it_and_owns_what_it_makes(people: People) -> None:
    alice, engine = people.user()
    instance = engine.begin(
        step("a", "create table mine (n int); select current_user::text as who, session_user::text as login")
    )
    people.owner.work()
    people.owner.check(instance)
    assert people.owner.result(instance, "a") == [{"who": alice, "login": "pgdurable"}]
    assert engine.result(instance, "a") == [{"who": alice, "login": "pgdurable"}]
    owner = "select relowner::regrole::text from pg_class where relname = 'mine'"
    assert people.owner.value(owner) == alice


def test_a_step_has_no_right_that_its_role_lacks(people: People) -> None:
    people.owner.rows("create table secret (n int)")
    _, engine = people.user()
    instance = engine.begin(
        step("a", "select * from secret"), step("b", "select * from df._engine"), step("c", "drop schema df cascade")
    )
    people.owner.work()
    assert [people.owner.error(instance, key)["sqlstate"] for key in "abc"] == ["42501"] * 3


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_step_cannot_become_somebody_else(people: People, escape: str) -> None:
    alice, engine = people.user()
    run = escape.replace("{worker}", people.database.owner)
    instance = engine.begin(
        step("a", run + "; select current_user::text as who"), step("b", "select current_user::text as who")
    )
    people.owner.work()
    assert people.owner.states(instance) == {"a": "failed", "b": "completed"}
    assert people.owner.error(instance, "a")["sqlstate"] in ("42501", "22023")
    assert people.owner.result(instance, "b") == [{"who": alice}]


def test_the_settings_of_the_role_hold_in_its_steps(people: People) -> None:
    settings = {
        "search_path": "hers, public",
        "timezone": "'Asia/Tokyo'",
        "work_mem": "'1234kB'",
        "datestyle": "'German'",
    }
    _, engine = people.user(settings)
    people.superuser.execute(
        "create schema hers; create table hers.t as select 7 as n; grant all on schema hers to public"
    )
    people.superuser.execute("grant select on hers.t to public")
    shown = ", ".join(f"current_setting('{name}') as {name}" for name in settings)
    instance = engine.begin(
        step("a", f"select n, {shown}, now()::text ~ '^[0-9]{{2}}[.]' as is_german from t"),
        step("b", "select $a.n as n", after="{a}"),
    )
    people.owner.work()
    people.owner.check(instance)
    assert people.owner.result(instance, "a") == [
        {
            "n": 7,
            "search_path": "hers, public",
            "timezone": "Asia/Tokyo",
            "work_mem": "1234kB",
            "datestyle": "German, DMY",
            "is_german": True,
        }
    ]


def test_the_settings_of_one_role_do_not_reach_the_next(people: People) -> None:
    _, alice = people.user({"timezone": "'Asia/Tokyo'", "my.secret": "'hers'"})
    _, bob = people.user()
    text = "select current_setting('timezone') as tz, coalesce(current_setting('my.secret', true), '') as secret"
    first, second = alice.begin(step("a", text)), bob.begin(step("a", text))
    people.owner.work()
    assert people.owner.result(first, "a") == [{"tz": "Asia/Tokyo", "secret": "hers"}]
    [row] = people.owner.result(second, "a")
    assert (row["tz"] == "Asia/Tokyo", row["secret"]) == (False, "")


def test_the_settings_are_those_of_the_start(people: People) -> None:
    alice, engine = people.user({"work_mem": "'1234kB'"})
    instance = engine.begin(step("a", "select current_setting('work_mem') as w"))
    people.superuser.execute(f"alter role {alice} set work_mem = '4321kB'".encode())
    people.owner.work()
    assert people.owner.result(instance, "a") == [{"w": "1234kB"}]


def test_the_roles_statement_timeout_is_the_steps_deadline(people: People) -> None:
    _, engine = people.user({"statement_timeout": "'300ms'"})
    instance = engine.begin(step("a", "select pg_sleep(60)"), step("b", "select 1"))
    session = threading.Thread(target=people.login(people.database.owner).work)
    session.start()
    while session.is_alive():
        people.owner.rows("call df.tick()")
        people.owner.rows("select df.signal_stops()")
        session.join(0.2)
    assert people.owner.states(instance) == {"a": "failed", "b": "completed"}
    assert people.owner.error(instance, "a") == {
        "sqlstate": "PD408",
        "message": "the attempt ran longer than its timeout",
    }


def test_run_as_needs_membership_and_then_runs_as_that_role(people: People) -> None:
    alice, engine = people.user()
    bob, _ = people.user()
    run = step("a", "select current_user::text as who", run_as=bob)
    state, message, _, hint = refused(engine, f"select df.create_workflow('w', steps => array[{run}])")
    assert (state, message, hint) == ("PD403", f"{alice} may not run steps as {bob}", f"grant {bob} to {alice}")
    people.superuser.execute(f"grant {bob} to {alice}".encode())
    instance = engine.begin(run, step("b", "select $a.who as who, current_user::text as me", after="{a}"))
    people.owner.work()
    people.owner.check(instance)
    assert people.owner.result(instance, "b") == [{"who": bob, "me": alice}]


def test_a_membership_that_was_taken_away_stops_the_next_start(people: People) -> None:
    alice, engine = people.user()
    bob, _ = people.user()
    people.superuser.execute(f"grant {bob} to {alice}".encode())
    engine.define("w", step("a", "select 1", run_as=bob))
    people.superuser.execute(f"revoke {bob} from {alice}".encode())
    assert refused(engine, "select df.start_workflow('w')")[:2] == ("PD403", f"{alice} may not run steps as {bob}")


def test_nobody_sees_or_touches_anothers_instances(people: People) -> None:
    alice, hers = people.user()
    _, his = people.user()
    hers.define("w", step("a", "select 'secret' as s"))
    instance = hers.start("w")
    people.owner.work()
    assert hers.result(instance, "a") == [{"s": "secret"}]
    for view in (
        "workflows",
        "instances",
        "steps",
        "attempts",
        "events",
        "logs",
        "running",
        "_jobs",
        "_inputs",
        "_map_items",
    ):
        assert his.rows(f"select * from df.{view}") == []
    for call in ("df.cancel", "df.retry_instance"):
        assert refused(his, f"select {call}('{instance}')")[:2] in (
            ("PD403", f"instance {instance} belongs to {alice}"),
            ("PD404", f"there is no instance {instance}"),
        )
    assert refused(his, "select df.start_workflow('w')")[0] == "PD403"
    assert refused(his, "select df.create_workflow('w', steps => array[df.step('a', 'select 1')])")[0] == "PD403"
    assert refused(his, "select df.pause_workflow('w')")[0] == "PD403"
    assert refused(his, f"select df.explain('{instance}')")[0] == "PD404"
    assert refused(his, "select df.explain('w')")[0] == "PD404"


def test_what_a_plan_holds_is_told_to_who_sees_its_workflow(people: People) -> None:
    _, hers = people.user()
    _, his = people.user()
    operator, theirs = people.stranger()
    people.owner.rows("select df.grant_operator(%s)", operator)
    hers.define("w", step("a", "select 1"), step("b", "vacuum", after="{a}", rule="all_done"))
    facts = "select * from df._step_facts where name = 'w' order by key"
    for engine in (hers, theirs, people.owner):
        assert engine.rows(facts)[:2] == [
            ("default", "w", "a", "sql", "plain", "all_success"),
            ("default", "w", "b", "sql", "autonomous", "all_done"),
        ]
        assert engine.value("select df.explain('w')").splitlines()[1].split() == ["a", "plain"]
    assert his.rows(facts) == []


ASKING = "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'df'::regnamespace and p.prosecdef"


def test_a_user_may_call_no_definer_that_could_tell_him_of_others(people: People) -> None:
    _, engine = people.user()
    callable_ones = engine.column(ASKING + " and has_function_privilege(p.oid, 'execute') order by 1")
    # which sessions execute which claims is no secret: pg_locks says it to everybody; nor which database this is
    assert callable_ones == ["df._running()", "df.copied_from()", "df.version()"]


TABLES = (
    "select c.oid::regclass::text from pg_class c where relnamespace = 'df'::regnamespace and relkind in ('r', 'S')"
)


def test_no_base_table_can_be_read_or_written_by_a_user(people: People) -> None:
    _, engine = people.user()
    for table in people.owner.column(TABLES):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            engine.rows(f"select * from {table}")
    assert refused(engine, "update df._roles set is_operator = true")[0] == "42501"
    assert refused(engine, "delete from df._calls")[0] == "42501"


def test_the_caller_cannot_be_forged(people: People) -> None:
    alice, _ = people.user()
    bob, his = people.user()
    forged = f"insert into df._calls (verb, args, caller) values ('start', '{{\"name\": \"w\"}}', '{alice}'::regrole)"
    assert refused(his, forged)[0] == "42501"
    # what he may write is taken as his
    document = """{"pgdurable_graph": 1, "name": "v", "steps": [{"key": "a"}]}"""
    his.rows(
        f'insert into df._calls (verb, args) values (\'define\', \'{{"document": {document}, "actor": "{alice}"}}\')'
    )
    assert people.owner.rows("select created_by::text from df.workflows where name = 'v'") == [(bob,)]


def test_the_gate_cannot_be_set_up_elsewhere(people: People) -> None:
    _, engine = people.user()
    engine.rows("create table calls (verb text, args jsonb, caller regrole)")
    assert (
        refused(engine, "create trigger g before insert on calls for each row execute function df._gate()")[0]
        == "42501"
    )
    assert refused(engine, "select df._start('10', '{}')")[0] == "42501"
    people.superuser.execute("create trigger g before insert on calls for each row execute function df._gate()")
    assert refused(engine, "insert into calls values ('start', '{}', '10')")[:2] == (
        "PD403",
        "df._gate belongs to df._calls",
    )


def runner(people: People, role: str) -> str:
    return str(people.owner.value("select df._runner(%s::regrole)::regprocedure::text", role))


def test_nobody_can_call_anothers_runner_or_the_work_of_another(people: People) -> None:
    alice, hers = people.user()
    _, his = people.user()
    instance = hers.begin(step("a", "select current_user"))
    token = people.owner.value("select seq from df._steps where instance_id = %s", instance)
    call = runner(people, alice).split("(")[0] + f"('{instance}', 0, 1, {token})"
    assert refused(his, f"select {call}")[0] == "42501"
    assert refused(his, f"select df._run_as('{instance}', 0, 1, {token})")[0] in ("42501", "PD403")


@pytest.mark.parametrize(
    "change",
    [
        "alter function {runner} security invoker",
        "alter function {runner} set search_path = evil",
        "alter function {runner} reset all",
        "alter function {runner} volatile called on null input",
    ],
)
def test_a_role_gains_nothing_by_changing_its_own_runner(people: People, change: str) -> None:
    alice, engine = people.user()
    statement = change.format(runner=runner(people, alice))
    assert refused(engine, statement)[0] == "42501"
    # and if somebody lets her into the schema
    people.owner.rows(f"grant usage on schema df_runners to {alice}")
    engine.rows(statement)
    instance = engine.begin(step("a", "select current_user::text as who"))
    people.owner.work()
    if people.owner.states(instance)["a"] == "completed":
        assert people.owner.result(instance, "a") == [{"who": alice}]
    else:
        assert people.owner.error(instance, "a")["sqlstate"] == "PD403"


def test_a_runner_that_changed_hands_runs_nothing(people: People) -> None:
    alice, hers = people.user()
    bob, _ = people.user()
    instance = hers.begin(step("a", "select current_user::text as who"))
    people.superuser.execute(f"reassign owned by {alice} to {bob}".encode())
    people.owner.work()
    assert people.owner.states(instance)["a"] in ("failed", "ready")
    assert people.owner.rows("select result from df.steps where result is not null") == []


LOOT = """
create table loot (who text);
create table bait (n int);
create function spring() returns trigger language plpgsql as $$
begin
    if current_user::text <> '{alice}' then
        insert into public.loot values (current_user::text);
        begin
            execute 'set role {victim}';
            insert into public.loot values ('became {victim}');
        exception when others then null;
        end;
    end if;
    if new.n < 5 then
        execute 'set constraints all deferred';
        insert into public.bait values (new.n + 1);
    end if;
    return null;
end $$;
grant all on loot, bait to public;
create constraint trigger spring after insert on bait deferrable initially deferred
    for each row execute function spring();
"""


def test_a_deferred_trigger_that_defers_itself_again_takes_no_loot(people: People) -> None:
    alice, engine = people.user()
    victim, _ = people.user()
    engine.rows(LOOT.format(alice=alice, victim=victim))
    instance = engine.begin(step("a", "insert into bait values (1)"))
    people.owner.work()
    assert people.owner.rows("select who from loot") == []
    if engine.connection.info.server_version >= 180000:
        assert people.owner.states(instance) == {"a": "completed"}
        assert people.owner.column("select n from bait order by n") == [1, 2, 3, 4, 5]
    else:
        assert people.owner.error(instance, "a") == {
            "sqlstate": "PD403",
            "message": "this database holds deferrable constraint triggers;"
            " before PostgreSQL 18 they could run as the worker",
            "hint": "Make them not deferrable, or upgrade to PostgreSQL 18.",
        }
        assert people.owner.rows("select n from bait") == []


def test_a_cursor_that_outlives_its_step_runs_nothing_as_the_worker(people: People) -> None:
    alice, engine = people.user()
    engine.rows("create table loot (who text)")
    engine.rows("grant all on loot to public")
    body = f"if current_user::text <> '{alice}' then insert into loot values (current_user::text); end if; return 1;"
    engine.rows(f"create function peek() returns int language plpgsql as $$ begin {body} end $$")
    instance = engine.begin(step("a", "declare c cursor with hold for select peek()"))
    people.owner.work()
    assert people.owner.states(instance) == {"a": "completed"}
    assert people.owner.rows("select * from loot") == []
