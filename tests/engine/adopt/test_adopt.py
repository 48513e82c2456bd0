"""df.adopt: what a copy of a database is; the copies themselves are in tests/schema/test_copies.py."""

from __future__ import annotations

import pytest
from engine_people import People
from engine_room import Engine, refused, step
from engine_worker import Worker

WORDS = "database {} is a copy of test: it was made in database number 7, this is number {}"


def stray(engine: Engine) -> None:
    engine.rows("update df._engine set database_oid = 7")


def test_a_copy_starts_nothing_and_runs_nothing_and_can_be_looked_at(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    worker = Worker(engine)
    stray(engine)
    name, number = engine.rows("select datname, oid::bigint from pg_database where datname = current_database()")[0]
    words = WORDS.format(name, number)
    for statement in (
        "call df.work()",
        "call df.tick()",
        "select df.start_workflow('w')",
        "select df.register_worker('w', 'h', 1, '0')",
    ):
        assert refused(engine, statement)[:2] == ("PD500", words)
    assert worker.number
    assert engine.states(instance) == {"a": "ready"}
    assert "ready" in engine.value("select df.explain(%s)", instance)


@pytest.mark.parametrize("what", ["move", "copy"])
def test_only_the_owner_of_df_says_what_it_is(engine: Engine, people: People, what: str) -> None:
    role, user = people.user()
    engine.rows("select df.grant_operator(%s)", role)
    stray(engine)
    assert refused(user, f"select df.adopt('x', '{what}')")[0] == "42501"
    assert engine.value("select df.copied_from()") is not None


@pytest.mark.parametrize("what", ["null", "'clone'"])
def test_it_must_be_one_of_two_things(engine: Engine, what: str) -> None:
    assert refused(engine, f"select df.adopt('x', {what})")[:2] == (
        "PD400",
        "a database is adopted as a move or as a copy",
    )


def test_a_move_goes_on_where_it_was_and_forgets_who_worked_there(engine: Engine) -> None:
    instance = engine.begin(
        step("a", "df.shell('true')"), step("b", "select 1", after="{a}"), step("c", "select 1 / 0", retries="1")
    )
    worker = Worker(engine)
    claim = worker.must_claim("shell")
    engine.work()
    assert engine.states(instance) == {"a": "running", "b": "waiting", "c": "retrying"}
    stray(engine)
    assert engine.value("select df.adopt('prod2', 'move')") == "this is prod2 now, 1 steps queued again"
    assert engine.value("select df.copied_from()") is None
    assert engine.states(instance) == {"a": "ready", "b": "waiting", "c": "retrying"}
    for table in ("_workers", "_sessions", "_positions", "_stops", "_sleepers"):
        assert engine.rows(f"select * from df.{table}") == []
    assert worker.refused("complete_step", claim)[0] == "PD409"
    new = Worker(engine)
    new.call("complete_step", new.must_claim("shell"))
    engine.pass_time("10 min")
    engine.work()
    assert engine.states(instance) == {"a": "completed", "b": "completed", "c": "failed"}
    engine.check(instance)
    charged = "select max_attempts, attempt, caught, charged from df._steps where step = 1"
    assert engine.rows(charged) == [(None, 1, 0, 0)]


def test_a_copy_cancels_what_is_open_and_pauses_schedules(engine: Engine) -> None:
    done = engine.run(step("a", "select 1"))
    failed = engine.run(step("a", "select 1 / 0"))
    engine.rows("select df.retry_instance(%s)", failed)
    engine.define("s", step("a", "select 1"), options=", schedule => '@daily'")
    engine.rows("update df._workflows set is_paused = false")
    waiting = engine.begin(step("a", "select 1"))
    running = engine.begin(step("a", "df.shell('true')"), step("b", "select 1", after="{a}"))
    Worker(engine).must_claim("shell")
    stray(engine)
    assert engine.value("select df.adopt('staging', 'copy')") == (
        "this is a copy of test named staging, 2 open instances cancelled"
    )
    status = [engine.status(one) for one in (done, failed, waiting, running)]
    assert status == ["completed", "failed", "cancelled", "cancelled"]
    assert engine.rows("select * from df._commands") == []
    assert engine.work() == 0
    assert engine.states(running) == {"a": "cancelled", "b": "cancelled"}
    assert engine.column("select name from df.workflows where is_paused") == ["s"]
    known = "select environment, database_oid = (select oid from pg_database where datname = current_database())"
    assert engine.rows(known + ", adopted_at is not null from df._engine") == [("staging", True, True)]
    engine.rows("select df.retry_instance(%s)", waiting)
    engine.work()
    assert engine.status(waiting) == "completed"


def test_ready_rows_from_before_transaction_numbers_began_again_are_found(engine: Engine) -> None:
    first = engine.begin(step("a", "select 1"))
    second = engine.begin(step("a", "select 1"))
    engine.rows("update df._steps set enq = '9000000000'")
    engine.rows("update df._engine set crash_horizon = '9000000000'")
    engine.rows("insert into df._positions (login, seen) values (current_user, '1|1|9000000000:9000000000:')")
    stray(engine)
    engine.rows("select df.adopt('x', 'move')")
    order = "select instance_id from df._steps order by enq, seq"
    assert engine.column(order) == [first, second]
    assert engine.value("select count(*) from df._steps where enq > pg_current_xact_id()") == 0
    assert engine.value("select crash_horizon <= pg_current_xact_id() from df._engine")
    assert engine.work() == 2


def test_at_home_a_move_is_a_name(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.shell('true')"))
    worker = Worker(engine)
    claim = worker.must_claim("shell")
    assert engine.value("select df.adopt('prod', 'move')") == "this is prod now, which it was before"
    assert worker.call("complete_step", claim) == "completed"
    assert engine.value("select environment from df._engine") == "prod"
    assert engine.status(instance) == "completed"


def test_a_copy_that_cannot_be_told_is_adopted_once_nobody_works_there(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.shell('true')"))
    worker = Worker(engine)
    worker.must_claim("shell")
    assert refused(engine, "select df.adopt('x', 'copy')")[:2] == (
        "PD409",
        "somebody works in this database, and nothing shows that it is a copy",
    )
    worker.run_out()
    said = "this is a copy of test named x, 1 open instances cancelled"
    assert engine.value("select df.adopt('x', 'copy')") == said
    engine.rows("call df.tick()")
    engine.work()
    assert (engine.status(instance), Worker(engine).claim()) == ("cancelled", None)


def test_init_does_not_name_a_copy(engine: Engine) -> None:
    from pgdurable_core.schema import Identity, install

    stray(engine)
    install(engine.connection, identity=Identity(environment="mine"))
    assert engine.value("select environment from df._engine") == "test"
    assert engine.value("select df.copied_from()") is not None


def test_roles_that_have_another_number_get_their_runners_and_settings_again(engine: Engine, people: People) -> None:
    role, user = people.user({"timezone": "'Asia/Tokyo'"})
    engine.rows("select df.set_connection('c', role => %s)", role)
    zone = "select current_user::text as who, current_setting('timezone') as zone"
    own = user.begin(step("a", zone))
    mine = engine.begin(step("a", zone), step("b", zone, connection="c"))
    number = engine.value("select %s::regrole::oid::bigint", role)
    # as a dump brings it: the number of before, here one of nobody's
    for statement in (
        f"alter function df_runners.run_{number}(text, bigint, integer, bigint) rename to run_7",
        f"update df._role_oids set was = 7 where was = {number}",
        f"update df._instances set settings = replace(settings::text, '\"{number}\"', '\"7\"')::jsonb",
        "update df._home set engine_oid = 7",
    ):
        engine.rows(statement)
    assert (
        engine.value("select df.adopt(null, 'move')") == "this is test now, 3 steps queued again, 2 runners made again"
    )
    engine.work()
    expected = {"who": role, "zone": "Asia/Tokyo"}
    assert engine.result(own, "a") == [expected]
    assert engine.result(mine, "b") == [expected]
    assert engine.result(mine, "a") == [{"who": people.database.owner, "zone": "UTC"}]
    names = "select proname from pg_proc where pronamespace = 'df_runners'::regnamespace and proname ~ %s"
    assert engine.column(names, f"_(7|{number})$") == [f"run_{number}"]
