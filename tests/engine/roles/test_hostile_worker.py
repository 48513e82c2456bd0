"""A worker's login gets no further than the steps of the roles it serves, whatever it hands to the engine."""

from __future__ import annotations

import pytest
from engine_people import People
from engine_room import Engine, refused, step
from engine_worker import Worker


def array(*words: object) -> str:
    return "array[" + ", ".join("null" if word is None else f"'{word}'" for word in words) + "]::text[]"


def stamp(engine: Engine) -> str:
    """Return what marks the functions of this database: anybody who may work can read it."""
    return str(engine.value("select (df._enter(1, 0, null, null, now()))[27]"))


def claimed(engine: Engine, runner: str) -> str:
    """Forge the state df.work carries between two transactions: a claim that was never made."""
    words: list[object] = [None] * 42
    for at, word in {
        1: "claimed",
        3: 1,
        4: "1:1:",
        13: 0,
        14: 0,
        15: "000000000000",
        16: 0,
        17: 1,
        18: 7,
        19: "sql",
        20: runner,
    }.items():
        words[at - 1] = word
    words[20], words[26], words[29], words[38] = 0, stamp(engine), "fast", ","
    return array(*words)


EVIL = """
    create function {schema}.evil(text, bigint, integer, bigint) returns df._outcome language plpgsql as
    $$ begin raise exception 'ran as %', current_user; end $$"""


def test_forged_state_runs_nothing_as_the_owner_of_df(people: People) -> None:
    alice, _ = people.user()
    worker, engine = people.worker(alice)
    people.superuser.execute(f"grant create on schema public to {worker}".encode())
    engine.rows(EVIL.format(schema="public"))
    assert engine.value(f"select (df._turn({claimed(engine, 'public.evil')}))[1]") == "again"


@pytest.mark.parametrize("role", ["public.evil", "0) as o, public.evil(", "1'; select 1; --"])
def test_a_forged_chain_names_no_function_of_its_own(people: People, role: str) -> None:
    alice, _ = people.user()
    worker, engine = people.worker(alice)
    people.superuser.execute(f"grant create on schema public to {worker}".encode())
    engine.rows(EVIL.format(schema="public"))
    forged = array("ahead", "000000000000", 0, 1, 7, role.replace("'", "''"), 1, None, 0, 0, stamp(engine))
    assert refused(engine, f"select df._ahead({forged})")[0] == "22P02"


def test_a_forged_chain_takes_no_step_of_a_role_that_the_login_does_not_serve(people: People) -> None:
    alice, hers = people.user()
    bob, _ = people.user()
    _, engine = people.worker(bob)
    instance = hers.begin(step("a", "select 1"))
    token = people.owner.value("select seq from df._steps where instance_id = %s", instance)
    for role in (alice, bob):
        oid = people.owner.value("select %s::regrole::oid", role)
        forged = array("ahead", instance, 0, 1, token, oid, 1, None, 0, 0, stamp(engine))
        assert engine.value(f"select (df._ahead({forged}))[1]") is None
    assert hers.states(instance) == {"a": "ready"}
    assert people.owner.value("select count(*) from df._attempts") == 0


def test_a_forged_chain_neither_skips_a_check_nor_ends_a_step_that_is_not_claimed(people: People) -> None:
    alice, hers = people.user()
    _, engine = people.worker(alice)
    instance = hers.begin(
        step("a", "select 1"), step("b", "df.check('select false')", after="{a}"), step("c", "select 1", after="{b}")
    )
    oid = people.owner.value("select %s::regrole::oid", alice)
    token = people.owner.value("select seq from df._steps where instance_id = %s", instance)
    forged = array("ahead", instance, 0, 1, token, oid, 1, None, 0, 0, stamp(engine))
    assert engine.value(f"select (df._ahead({forged}))[1]") == "redo"
    assert hers.states(instance) == {"a": "ready", "b": "waiting", "c": "waiting"}
    people.owner.rows("insert into df._sessions (pid, backend_start, login) values (1, now(), 'other')")
    session = people.owner.value("select max(session_id) from df._sessions")
    people.owner.rows("update df._steps set state = 'completed' where instance_id = %s", instance)
    people.owner.rows(
        "insert into df._steps (instance_id, step, plan_id, state, holder) "
        "select instance_id, 2, plan_id, 'running', %s from df._instances where instance_id = %s",
        session,
        instance,
    )
    token = people.owner.value("select seq from df._steps where instance_id = %s and step = 2", instance)
    forged = array("ahead", instance, 0, 2, token, oid, session, None, 0, 0, stamp(engine))
    assert engine.value(f"select (df._ahead({forged}))[1]") == "redo"
    assert hers.states(instance) == {"a": "completed", "b": "running", "c": "waiting"}
    people.owner.rows("delete from df._sessions; delete from df._steps; delete from df._instances")


def test_a_forged_list_of_roles_claims_nothing_of_theirs(people: People) -> None:
    alice, _ = people.user()
    bob, his = people.user()
    _, engine = people.worker(alice)
    instance = his.begin(step("a", "select 1"))
    words: list[object] = [None] * 42
    oid = people.owner.value("select %s::regrole::oid", bob)
    for at, word in {
        1: "done",
        2: 1,
        3: 1,
        4: "1:1:",
        10: instance,
        11: 0,
        12: 1,
        13: 0,
        14: 0,
        22: 0,
        24: 0,
        25: 0,
    }.items():
        words[at - 1] = word
    words[22], words[26], words[35], words[36], words[38] = 0, stamp(engine), f",{oid},", "0", ","
    assert engine.value(f"select (df._turn({array(*words)}))[1]") == "again"
    assert his.states(instance) == {"a": "ready"}


def test_a_forged_chain_skips_no_check_that_was_decided_early(people: People) -> None:
    alice, hers = people.user()
    worker, engine = people.worker(alice)
    instance = hers.begin(
        step("a", "select 1"),
        step("slow", "select 1"),
        step("b", "df.check('select false')", after="{a,slow}", rule="one_success"),
        step("c", "select 1", after="{b}"),
    )
    session = people.owner.value(
        "insert into df._sessions (pid, backend_start, login) values (%s, now(), %s) returning session_id",
        engine.value("select pg_backend_pid()"),
        worker,
    )
    token = people.owner.value(
        "insert into df._steps (instance_id, step, plan_id, state, holder, is_settled) "
        "select i.instance_id, p.step, i.plan_id, 'running', %s, false from df._instances i "
        "join df._plan_steps p on p.plan_id = i.plan_id and p.key = 'b' where i.instance_id = %s returning seq",
        session,
        instance,
    )
    number = people.owner.value("select step from df._steps where seq = %s", token)
    oid = people.owner.value("select %s::regrole::oid", alice)
    forged = array("ahead", instance, 0, number, token, oid, session, None, 0, 0, stamp(engine))
    assert engine.value(f"select (df._ahead({forged}))[1]") == "redo"
    assert hers.states(instance)["b"] == "running"
    people.owner.rows("delete from df._sessions; delete from df._steps; delete from df._instances")


def test_the_calls_between_commits_are_refused_inside_a_step(people: People) -> None:
    alice, hers = people.user()
    _, engine = people.worker(alice)
    people.owner.rows("select df.grant_worker(%s, %s)", alice, alice)
    for call in ("df._turn(null)", "df._ahead(null)", "df._leave(null)"):
        instance = hers.begin(step("a", f"select {call}"))
        engine.work()
        assert hers.error(instance, "a")["message"] == "this is for df.work alone"
    engine.rows("begin isolation level repeatable read")
    assert refused(engine, "select df._ahead(null)")[1] == "this is for df.work alone"
    engine.rows("rollback")


def test_a_worker_cannot_end_anothers_session(people: People) -> None:
    alice, _ = people.user()
    _, engine = people.worker(alice)
    people.owner.rows("insert into df._sessions (pid, backend_start, login) values (1, now(), 'other')")
    session = people.owner.value("select max(session_id) from df._sessions")
    engine.rows(f"select df._leave(('{{end,{session},1,1:1:}}'::text[]) || array_fill(null::text, array[38]))")
    assert people.owner.value("select count(*) from df._sessions where session_id = %s", session) == 1
    people.owner.rows("delete from df._sessions")


def test_a_session_works_in_the_name_of_its_own_logins_worker_alone(people: People) -> None:
    alice, hers = people.user()
    _, engine = people.worker(alice)
    own = Worker(engine).number
    other = Worker(people.worker(alice)[1]).number
    instance = hers.begin(step("a", "select 1"))
    for number in (other, own + 1000):
        answer = refused(engine, f"call df.work(worker => {number})")[:2]
        assert answer == ("PD403", f"worker {number} is not registered by this login")
    assert hers.states(instance) == {"a": "ready"}
    assert engine.work(f"worker => {own}") == 1


def test_a_step_of_a_role_that_is_not_served_waits_for_who_serves_it(people: People) -> None:
    alice, hers = people.user()
    bob, _ = people.user()
    people.superuser.execute(f"grant {bob} to {alice}".encode())
    instance = hers.begin(step("x", "select 1"), step("y", "select 2", after="{x}", run_as=bob))
    _, for_alice = people.worker(alice)
    _, for_bob = people.worker(bob)
    for_alice.work()
    assert people.owner.value("select state from df._steps where instance_id = %s and step = 2", instance) == "ready"
    for_bob.work()
    people.owner.check(instance)
    assert people.owner.value("select status from df.instances where instance_id = %s", instance) == "completed"


def test_granting_usage_again_leaves_the_role_its_workers(people: People) -> None:
    alice, hers = people.user()
    _, worker = people.worker(alice)
    people.owner.rows("select df.grant_usage(%s)", alice)
    instance = hers.begin(step("a", "select 1"))
    worker.work()
    assert people.owner.value("select status from df.instances where instance_id = %s", instance) == "completed"


@pytest.mark.parametrize("key", ["x'); drop table victim; --", "a\nb", "$(id)", "a--b"])
def test_a_run_key_that_could_be_more_than_a_name_is_refused(people: People, key: str) -> None:
    _, hers = people.user()
    hers.rows("select df.create_workflow('w', steps => array[df.step('a', 'select ''{run_id}''')])")
    assert refused(hers, "select df.start_workflow('w', run_key => %s)", key)[0] == "PD400"


def test_only_the_owner_of_df_says_how_workers_log_in(people: People) -> None:
    _, hers = people.user()
    assert refused(hers, "select df.set_connection('wh', login => 'cmd:id')")[0] == "PD403"


def test_a_variable_belongs_to_who_set_it_whatever_name_it_gives_itself(people: People) -> None:
    _, hers = people.user()
    _, his = people.user()
    hers.rows("select df.set_variable('v', 'hers')")
    his.rows("set df.actor = 'owner'")
    assert refused(his, "select df.set_variable('v', 'his')")[0] == "PD403"
    assert people.owner.value("select value from df._variables where name = 'v'") == "hers"


def test_an_advisory_lock_of_a_stranger_does_not_hold_the_engine(people: People) -> None:
    _, stranger = people.stranger()
    first = people.owner.value("select nextval('df._queue_seq')")
    stranger.rows(
        "select pg_advisory_lock((57089::bigint << 48) | n) from generate_series(%s::bigint, %s::bigint) n",
        first,
        first + 200,
    )
    instance = people.owner.begin(step("a", "select 1"))
    people.owner.work()
    assert people.owner.value("select status from df.instances where instance_id = %s", instance) == "completed"
