"""Session and autonomous SQL against a real server; the engine's side is one function that records the answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server import Database
from worker_steps import KeptLog, attempt, claim

from pgdurable_core.worker.claims import Abandoned, Attempt, Completed, Failed, Outcome, Reported
from pgdurable_core.worker.secrets import Masker
from pgdurable_core.worker.sql_steps import SqlExecutor

ENGINE = """
create schema df;
grant usage on schema df to public;
create table df.answers (token bigint primary key, result json);
create function df.complete_step(
    instance_id text, scope_id bigint, step int, token bigint, result json, row_count bigint
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if token = 409 then
        raise exception 'the claim is lost' using errcode = 'PD409';
    end if;
    insert into df.answers values (token, result);
    return 'completed';
end $$;
"""


class Runs:
    """Runs steps on a database, as its owner unless told otherwise."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.role = database.owner
        self.logins: dict[str, str] = {}
        self.log = KeptLog()

    def attempt(self, *texts: str, **fields: Any) -> Attempt:
        stated = {"kind": "sql", "class": "session", "role": self.role, "sql": list(texts), "settings": {}} | fields
        return attempt(claim(**stated))

    def run(self, *texts: str, **fields: Any) -> Outcome:
        return self.execute(self.attempt(*texts, **fields))

    def execute(self, running: Attempt) -> Outcome:
        executor = SqlExecutor(self.database.dsn, self.role, self.logins, Masker())
        outcome = executor.run(running, self.log)
        self.log.flush()
        return outcome

    def answer(self) -> str | None:
        rows = self.database.execute("select result::text from df.answers where token = 77")
        return None if not rows or rows[0][0] is None else str(rows[0][0])

    def count(self, table: str = "t") -> int:
        return int(str(self.database.execute(f"select count(*) from {table}")[0][0]))


@pytest.fixture
def runs(empty_database: Database) -> Iterator[Runs]:
    empty_database.execute(ENGINE)
    empty_database.execute("create table t (x int)")
    return Runs(empty_database)


def refusal(outcome: Outcome) -> tuple[object, bool]:
    assert isinstance(outcome, Failed), outcome
    return outcome.error["sqlstate"], outcome.retryable


def test_effects_and_answer_commit_together(runs: Runs) -> None:
    assert runs.run("insert into t values (1); insert into t values (2)", "select count(*) as n from t") == (
        Reported("completed")
    )
    assert (runs.answer(), runs.count()) == ('[{"n":2}]', 2)


def test_a_lost_claim_undoes_the_effects(runs: Runs) -> None:
    outcome = runs.run("insert into t values (1)", token=409)
    assert outcome == Abandoned("the claim is lost")
    assert runs.count() == 0


def test_a_failing_statement_undoes_the_ones_before_it(runs: Runs) -> None:
    outcome = runs.run("insert into t values (1); select 1/0; insert into t values (2)")
    assert refusal(outcome) == ("22012", True)
    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "division by zero"
    assert (runs.answer(), runs.count()) == (None, 0)


def test_a_constraint_that_fails_at_commit_fails_the_step(runs: Runs) -> None:
    runs.database.execute("alter table t add constraint one unique (x) deferrable initially deferred")
    outcome = runs.run("insert into t values (1), (1)")
    assert refusal(outcome) == ("23505", True)
    assert (runs.answer(), runs.count()) == (None, 0)


def test_the_result_is_the_last_statement_that_returned_rows(runs: Runs) -> None:
    runs.run("select 1 as a; select 'x' as b, null as c; create table u (y int); select 1 as d into v")
    assert runs.answer() == '[{"b":"x","c":null}]'


def test_text_that_returns_nothing_has_no_result(runs: Runs) -> None:
    runs.run("insert into t values (1)")
    assert runs.answer() is None
    assert runs.database.execute("select count(*) from df.answers where result is null") == [(1,)]


VALUES = """
select 186375.00 as n, 1::int8 as i, 1.5::float8 as f, 'NaN'::float8 as nan, true as yes, e'a"\\\\b\\n' as t,
       date '2026-01-02' as d, timestamptz '2026-01-02 03:04:05+00' as at, array[1,2] as ar, null::oid[] as r,
       '{"k": 1.50}'::jsonb as j, interval '1 day' as iv, '\\x00ff'::bytea as by, 1 as n
"""


def test_values_look_as_the_servers_own_row_to_json_writes_them(runs: Runs) -> None:
    settings = {"TimeZone": "UTC", "DateStyle": "ISO, MDY"}
    runs.run(VALUES, settings=settings)
    with runs.database.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        [(expected,)] = connection.execute(f"select row_to_json(q)::text from ({VALUES}) q".encode()).fetchall()
    assert runs.answer() == f"[{expected}]"


def test_an_anonymous_record_stays_text(runs: Runs) -> None:
    runs.run("select row(1, 'a') as r")
    assert runs.answer() == '[{"r":"(1,a)"}]'


def test_captured_settings_are_in_force_and_percent_signs_survive(runs: Runs) -> None:
    runs.database.execute("create schema elsewhere; create table elsewhere.u (x int)")
    outcome = runs.run(
        "insert into u values (1); select current_setting('timezone') as tz, '100 %s' as p",
        settings={"search_path": "elsewhere", "TimeZone": "Europe/Berlin"},
    )
    assert outcome == Reported("completed")
    assert runs.answer() == '[{"tz":"Europe/Berlin","p":"100 %s"}]'
    assert runs.count("elsewhere.u") == 1


def test_notices_are_logged_though_the_step_fails(runs: Runs) -> None:
    runs.run("do $$ begin raise notice 'half way'; raise exception 'no' using hint = 'try'; end $$")
    assert runs.log.sent == [("notice", "NOTICE: half way")]


def test_a_result_over_the_limit_fails_and_undoes(runs: Runs) -> None:
    outcome = runs.run("insert into t values (1); select generate_series(1, 100000)", max_rows=10)
    assert refusal(outcome) == ("PD413", False)
    assert runs.count() == 0
    assert runs.run("select generate_series(1, 10)", max_rows=10) == Reported("completed")


@pytest.mark.parametrize(
    "text", ["copy t from stdin", "copy t to stdout", "insert into t values (1); copy t from stdin"]
)
def test_copy_from_and_to_the_client_is_refused(runs: Runs, text: str) -> None:
    assert refusal(runs.run(text)) == ("PD501", False)
    assert runs.count() == 0


@pytest.mark.parametrize("text", ["insert into t values (1); commit", "commit; begin; insert into t values (1)"])
def test_text_that_ends_its_transaction_is_refused_and_says_so(runs: Runs, text: str) -> None:
    assert refusal(runs.run(text)) == ("PD501", False)
    assert runs.answer() is None


def stop_while_running(runs: Runs, running: Attempt, stop: Callable[[], object]) -> Outcome:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(runs.execute(running)))
    thread.start()
    deadline = time.monotonic() + 10
    asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    while runs.database.execute(asleep) != [(1,)]:
        assert time.monotonic() < deadline
    stop()
    thread.join(20)
    deadline = time.monotonic() + 2
    while runs.database.execute(asleep) != [(0,)]:
        assert time.monotonic() < deadline
    return outcomes[0]


def test_timeout_cancels_the_statement_within_a_second(runs: Runs) -> None:
    running = runs.attempt("insert into t values (1); select pg_sleep(30)")
    outcome = stop_while_running(runs, running, lambda: running.stop("timeout"))
    assert refusal(outcome) == ("PD408", True)
    assert runs.count() == 0


def test_a_statement_that_will_not_be_cancelled_loses_its_connection(runs: Runs) -> None:
    stubborn = (
        "do $$ begin loop begin perform pg_sleep(30); exception when query_canceled then null; end; end loop; end $$"
    )
    running = runs.attempt(stubborn)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(runs.execute(running)))
    thread.start()
    time.sleep(0.5)
    running.stop("cancel")
    thread.join(20)
    assert refusal(outcomes[0]) == ("PD499", False)
    assert time.monotonic() - began < 10
    asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    deadline = time.monotonic() + 5
    while runs.database.execute(asleep) != [(0,)]:
        assert time.monotonic() < deadline


def test_a_cancel_that_nobody_ordered_is_undone_and_run_again(runs: Runs) -> None:
    running = runs.attempt("insert into t values (1); select pg_sleep(2); select 'done' as done")
    cancel = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(runs.execute(running)))
    thread.start()
    while not runs.database.execute(cancel):
        time.sleep(0.05)
    thread.join(20)
    assert outcomes == [Reported("completed")]
    assert (runs.answer(), runs.count()) == ('[{"done":"done"}]', 1)


def test_a_terminated_backend_fails_the_attempt_with_the_servers_code(runs: Runs) -> None:
    running = runs.attempt("insert into t values (1); select pg_sleep(30)")
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
    outcome = stop_while_running(runs, running, lambda: runs.database.execute(kill))
    assert refusal(outcome) == ("57P01", True)
    assert runs.count() == 0


def test_a_lost_lease_ends_the_session_and_reports_nothing(runs: Runs) -> None:
    running = runs.attempt("insert into t values (1); select pg_sleep(30)")
    outcome = stop_while_running(runs, running, running.lease.revoke)
    assert outcome == Abandoned("the worker's lease ended")
    assert runs.count() == 0


def test_another_role_needs_a_login_of_its_own(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    role = runs.database.server.create_role()
    outcome = runs.run("select current_user::text as who", role=role)
    assert refusal(outcome) == ("PD403", False)
    runs.logins[role] = "env:LOGIN_FOR_STEP"
    assert refusal(runs.run("select 1", role=role)) == ("PD403", False)
    monkeypatch.setenv("LOGIN_FOR_STEP", runs.database.dsn)
    outcome = runs.run("select 1", role=role)
    assert isinstance(outcome, Failed)
    assert f"its login is {runs.role}" in str(outcome.error["message"])
    monkeypatch.setenv("LOGIN_FOR_STEP", runs.database.dsn_as(role))
    assert runs.run("select session_user::text as who", role=role) == Reported("completed")
    assert json.loads(runs.answer() or "") == [{"who": role}]


def test_autonomous_statements_commit_one_by_one_outside_a_transaction(runs: Runs) -> None:
    outcome = runs.run("vacuum t", "create index concurrently t_x on t (x)", **{"class": "autonomous"})
    assert outcome == Completed(None)
    runs.database.execute(
        "create procedure fill() language plpgsql as"
        " $$ begin insert into t values (1); commit; insert into t values (2); end $$"
    )
    assert runs.run("call fill()", "select count(*) as n from t", **{"class": "autonomous"}) == Completed(
        '[{"n":2}]', 1
    )
    failed = runs.run("insert into t values (3)", "select 1/0", **{"class": "autonomous"})
    assert refusal(failed) == ("22012", True)
    assert runs.count() == 3


def test_only_the_closed_list_runs_under_set_role(runs: Runs) -> None:
    owner, server = runs.database.owner, runs.database.server
    role = server.create_role()
    server.run("grant {} to {}", role, owner)
    runs.database.execute(f"grant create on schema public to {role}")
    runs.database.execute(f"create table mine (x int); alter table mine owner to {role}")
    fields = {"class": "autonomous", "role": role}
    assert runs.run("-- every night\n /* ! */ vacuum mine", **fields) == Completed(None)
    assert runs.run("CREATE UNIQUE INDEX CONCURRENTLY i ON public.mine (x)", **fields) == Completed(None)
    assert refusal(runs.run("call evil()", **fields)) == ("PD403", False)
    assert refusal(runs.run("analyze mine", "select 1", **fields)) == ("PD403", False)
    # One message, one statement: what follows a semicolon never runs at top level.
    assert refusal(runs.run("vacuum mine; reset role", **fields)) == ("42601", True)
    stranger = server.create_role()
    assert refusal(runs.run("analyze mine", **(fields | {"role": stranger}))) == ("PD403", False)
