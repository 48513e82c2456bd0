"""df.doctor: what is well, and each check made bad for real; where the remedy is a statement, it heals."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from engine_people import People
from engine_room import Engine, refused, step
from engine_worker import Worker
from server import Database

from pgdurable_core.embedded import private_server
from pgdurable_core.engine import connect
from pgdurable_core.schema import install

Row = tuple[str, str, str | None]

CHECKS = [
    *("server", "durability", "clients", "connections", "triggers", "settings", "upgrade", "limits", "test clock"),
    *("copy", "owner", "runners", "worker roles", "workers", "queue", "timers", "commands", "suspects", "sessions"),
    *("dead rows", "old snapshots", "transaction ids", "counters", "stuck"),
]


def found(engine: Engine, check: str) -> list[Row]:
    """Return level, detail and remedy of a check's rows."""
    return [(row[1], row[2], row[3]) for row in engine.rows("select * from df.doctor()") if row[0] == check]


def one(engine: Engine, check: str) -> Row:
    [row] = found(engine, check)
    return row


def level(engine: Engine, check: str) -> str:
    return one(engine, check)[0]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_database_in_good_order_is_well_in_every_check(engine: Engine) -> None:
    engine.run(step("a", "select 1"), step("b", "select 1"), step("c", "select 1", after="{a,b}"))
    rows = engine.rows("select * from df.doctor()")
    assert [row[0] for row in rows] == CHECKS
    # The tests' own servers run without fsync.
    assert [row for row in rows if row[1] != "ok" and row[0] != "durability"] == []
    assert [row for row in rows if (row[1] == "ok") is not (row[3] is None)] == []


def test_it_reads_only_and_uses_no_transaction_id(engine: Engine) -> None:
    engine.rows("begin read only")
    assert len(engine.rows("select * from df.doctor()")) == len(CHECKS)
    assert engine.value("select pg_current_xact_id_if_assigned()") is None
    engine.rows("commit")


def test_it_is_for_the_owner_of_df_and_operators(people: People) -> None:
    role, user = people.user()
    _, worker = people.worker(role)
    for engine in (user, worker):
        assert refused(engine, "select * from df.doctor()")[:2] == ("42501", "permission denied for function doctor")
    people.owner.rows("select df.grant_operator(%s)", role)
    assert [row[0] for row in user.rows("select * from df.doctor()")][: len(CHECKS)] == CHECKS
    people.owner.rows("select df.revoke_usage(%s)", role)
    assert refused(user, "select * from df.doctor()")[0] == "42501"


def test_a_server_that_may_lose_what_was_committed_is_bad(engine: Engine) -> None:
    off = [name for name in ("fsync", "full_page_writes") if engine.value(f"show {name}") == "off"]
    state, detail, remedy = one(engine, "durability")
    assert (state, "alter system set fsync = on" in (remedy or "")) == (("bad", True) if off else ("ok", False))
    assert all(name in detail for name in off)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("statement_timeout", "1min", "warn"),
        ("idle_in_transaction_session_timeout", "2000", "warn"),
        ("idle_session_timeout", "1h", "warn"),
        ("default_transaction_isolation", "serializable", "warn"),
        ("synchronous_commit", "off", "warn"),
        ("default_transaction_read_only", "on", "bad"),
        ("track_activities", "off", "bad"),
    ],
)
def test_a_setting_that_hinders_work_is_found_on_the_database_and_on_a_worker(
    people: People, name: str, value: str, expected: str
) -> None:
    role, _ = people.user()
    login = people.database.server.create_role()
    people.owner.rows("select df.grant_worker(%s, %s)", login, role)
    before = found(people.owner, "settings")
    for target, whose in (
        (f'database "{people.database.name}"', "for all roles in this database"),
        (f"role {login}", f"for {login} in all databases"),
        (f'role {login} in database "{people.database.name}"', f"for {login} in this database"),
    ):
        target = target.replace('"', "") if people.database.name.islower() else target
        people.superuser.execute(f"alter {target} set {name} = '{value}'".encode())
        state, detail, remedy = one(people.owner, "settings")
        assert (state, detail.startswith(f"{name} is {value} {whose}: ")) == (expected, True)
        assert remedy is not None
        assert remedy.startswith(f"alter {target} set {name} = ")
        people.superuser.execute(remedy.encode())
        assert found(people.owner, "settings") == before


def test_settings_of_roles_that_only_have_steps_are_their_own(people: People) -> None:
    people.user({"statement_timeout": "'5s'", "idle_session_timeout": "'1h'"})
    assert level(people.owner, "settings") == "ok"


def test_a_standby_is_bad() -> None:
    folder = tempfile.TemporaryDirectory(prefix="pgdurable-test-", ignore_cleanup_errors=True)
    server = private_server(Path(folder.name) / "postgres")
    try:
        with connect(server.dsn()) as connection:
            install(connection)
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        with connect(server.dsn()) as connection:
            engine = Engine(connection)
            assert one(engine, "settings") == (
                "bad",
                "this server is a standby; df.work needs the primary",
                "connect with target_session_attrs=read-write",
            )
            assert refused(engine, "call df.work()")[0] == "PD500"
    finally:
        server.remove()
        folder.cleanup()


def test_connections_that_run_out_are_found(people: People) -> None:
    used = people.owner.value("select count(*) from pg_stat_activity where datname = current_database()")
    people.superuser.execute(f"alter database {people.database.name} connection limit {used}".encode())
    state, detail, remedy = one(people.owner, "connections")
    assert (state, detail.partition(";")[0]) == ("bad", f"{used} of {used} connections of this database are taken")
    assert remedy is not None
    people.superuser.execute(remedy.encode())
    assert level(people.owner, "connections") == "ok"
    login = people.database.server.create_role("login connection limit 1")
    people.owner.rows("select df.grant_worker(%s, %s)", login, people.database.owner)
    people.login(login)
    assert one(people.owner, "connections")[1].startswith(f"1 of 1 connections of role {login}")


def test_triggers_that_could_run_at_commit_are_bad_before_postgresql_18(engine: Engine) -> None:
    engine.rows("create table public.t (x int)")
    engine.rows("create function public.f() returns trigger language plpgsql as 'begin return null; end'")
    engine.rows(
        "create constraint trigger late after insert on public.t deferrable for each row execute function public.f()"
    )
    state, detail, _ = one(engine, "triggers")
    if engine.connection.info.server_version < 180000:
        assert state == "bad"
        assert detail.endswith("public.t late")
        assert engine.error_of("create table public.u ()")["sqlstate"] == "PD403"
    else:
        assert state == "ok"
        engine.result_of("create table public.u ()")


def test_an_upgrade_that_did_not_end_is_bad(engine: Engine) -> None:
    engine.rows("update df._engine set draining = true")
    assert one(engine, "upgrade")[::2] == ("bad", "pgdurable init")
    assert refused(engine, "call df.work()")[0] == "PD503"


def test_results_that_were_too_large_and_limits_beyond_memory_are_found(engine: Engine) -> None:
    engine.rows("update df._engine set max_result_bytes = 1000000000, max_result_rows = 2")
    state, detail, remedy = one(engine, "limits")
    assert (state, "954 MB" in detail, remedy) == ("warn", True, "update df._engine set max_result_bytes = 16777216")
    engine.rows(str(remedy))
    assert level(engine, "limits") == "ok"
    assert engine.error_of("select generate_series(1, 3)")["sqlstate"] == "PD413"
    assert one(engine, "limits")[1].endswith("failed with PD413: 1 of the newest 1000 instances")


def test_a_moved_clock_is_found(engine: Engine) -> None:
    engine.pass_time("1 hour")
    assert one(engine, "test clock") == (
        "warn",
        "the engine's clock is moved by 01:00:00",
        "update df._engine set clock_offset = '0'",
    )
    engine.rows("update df._engine set is_test = false")
    assert level(engine, "test clock") == "bad"


def test_a_copied_database_is_bad(database: Database) -> None:
    server, name = database.server, f"{database.name}_copy"
    server.run("create database {} owner {} template {}", name, database.owner, server.engine_template())
    copy = Database(server, name, database.owner)
    try:
        with copy.connect() as connection:
            state, detail, remedy = one(Engine(connection), "copy")
            assert (state, "a copy of test: the engine was put into database number" in detail) == ("bad", True)
            assert "df.adopt" in (remedy or "")
        copy.say_what_it_is()
        copy.execute("update df._engine set system_identifier = '7'")
        with copy.connect() as connection:
            assert "the engine was put into server 7, this is server " in one(Engine(connection), "copy")[1]
    finally:
        copy.drop()


def test_what_belongs_to_somebody_else_and_who_may_create_beside_it_are_bad(people: People) -> None:
    role = people.role()
    people.superuser.execute(f"alter function df.version() owner to {role}".encode())
    people.superuser.execute(b"grant create on schema df_runners to public")
    rows = found(people.owner, "owner")
    assert [(row[0], row[2]) for row in rows] == [
        ("bad", "alter function df.version() owner to pgdurable"),
        ("bad", "revoke create on schema df_runners from public"),
    ]
    for _, _, remedy in rows:
        people.superuser.execute(str(remedy).encode())
    assert level(people.owner, "owner") == "ok"


@pytest.mark.parametrize(
    ("harm", "words", "remedy"),
    [
        ("alter function {runner} owner to {other}", "belongs to {other}", "alter function {runner} owner to {role}"),
        ("alter function {runner} security invoker", "no longer SECURITY DEFINER", None),
        ("drop function {runner}", "{role} has no runner", "select df.grant_usage('{role}')"),
    ],
)
def test_a_runner_that_cannot_run_its_roles_steps_is_bad(
    people: People, harm: str, words: str, remedy: str | None
) -> None:
    role, other = people.user()[0], people.role()
    number = people.owner.value("select %s::regrole::oid", role)
    names = {"role": role, "other": other, "runner": f"df_runners.run_{number}(text,bigint,integer,bigint)"}
    people.superuser.execute(harm.format(**names).encode())
    state, detail, advice = one(people.owner, "runners")
    assert (state, words.format(**names) in detail) == ("bad", True)
    assert remedy is None or advice == remedy.format(**names)
    people.superuser.execute(b"set role pgdurable" if "grant_usage" in str(advice) else b"reset role")
    people.superuser.execute(str(advice).encode())
    people.superuser.execute(b"reset role")
    assert level(people.owner, "runners") == "ok"


def test_a_role_that_was_dropped_leaves_nothing_that_is_not_named(people: People) -> None:
    role, worker = people.user()[0], people.database.server.create_role()
    people.owner.rows("select df.grant_worker(%s, %s)", worker, role)
    number = people.owner.value("select %s::regrole::oid", role)
    for connection in people.connections:
        connection.close()
    people.connections.clear()
    people.superuser.execute(f"drop owned by {role}; drop role {role}".encode())
    rows = found(people.owner, "runners") + found(people.owner, "worker roles")
    assert [row[1] for row in rows if row[0] == "bad"] == [
        f"role number {number} of df._roles is gone",
        f"role number {number} of df._worker_roles is gone",
    ]
    for _, _, remedy in rows:
        people.superuser.execute(str(remedy).encode())
    assert (level(people.owner, "runners"), level(people.owner, "worker roles")) == ("ok", "ok")


def test_a_runner_that_nobody_uses_is_named(people: People) -> None:
    role = people.user()[0]
    people.owner.rows("delete from df._roles where role = %s::regrole", role)
    state, detail, remedy = one(people.owner, "runners")
    assert (state, "runs steps of a role that may not use df" in detail) == ("warn", True)
    people.superuser.execute(str(remedy).encode())
    assert level(people.owner, "runners") == "ok"


def test_a_worker_that_lost_a_right_or_cannot_be_seen_is_named(people: People) -> None:
    role = people.user()[0]
    login, _ = people.worker(role)
    assert one(people.owner, "worker roles")[::2] == ("warn", f"grant {login} to pgdurable")
    people.superuser.execute(f"grant {login} to pgdurable".encode())
    assert level(people.owner, "worker roles") == "ok"
    number = people.owner.value("select %s::regrole::oid", role)
    people.superuser.execute(
        f"revoke execute on function df_runners.run_{number}(text, bigint, integer, bigint) from {login}".encode()
    )
    state, detail, remedy = one(people.owner, "worker roles")
    assert (state, detail) == ("bad", f"{login} works for {role} and may not call its runner")
    people.owner.rows(str(remedy))
    assert level(people.owner, "worker roles") == "ok"


def test_steps_that_wait_with_no_worker_alive_are_bad(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    assert (level(engine, "workers"), level(engine, "queue")) == ("ok", "ok")
    engine.rows("update df._steps set ready_at = ready_at - interval '2 minutes'")
    assert one(engine, "workers") == ("bad", "no worker is alive; steps that wait: 1", "pgdurable worker")
    state, detail, remedy = one(engine, "queue")
    assert (state, detail) == ("warn", f"steps that wait: 1, the oldest for 120 s ({instance})")
    assert f"pgdurable explain {instance}" in str(remedy)
    engine.rows("update df._steps set ready_at = ready_at - interval '4 minutes'")
    assert level(engine, "queue") == "bad"
    engine.work()
    assert (level(engine, "workers"), level(engine, "queue")) == ("ok", "ok")


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        ("0.0.9", "on its host: pip install --upgrade pgdurable, then restart it"),
        ("0.10.0", "pgdurable init"),
        ("mine", "pgdurable init"),
    ],
)
def test_a_worker_of_another_version_is_named(engine: Engine, version: str, remedy: str) -> None:
    engine.rows("update df._engine set version = '0.1.0'")
    engine.rows("select df.register_worker('w', 'h', 7, %s)", version)
    assert found(engine, "workers") == [("warn", f"worker w (h) is pgdurable {version}, the engine 0.1.0", remedy)]


def test_a_role_whose_steps_no_live_worker_may_run_is_bad(people: People) -> None:
    alice, hers = people.user()
    bob, _ = people.user()
    login, worker = people.worker(bob)
    Worker(worker)
    hers.begin(step("a", "select 1"))
    people.owner.rows("update df._steps set ready_at = ready_at - interval '2 minutes'")
    rows = found(people.owner, "workers")
    assert rows == [
        (
            "bad",
            f"no worker may run the SQL steps of {alice}; steps that wait: 1",
            f"select df.grant_worker('...', '{alice}')",
        )
    ]
    people.owner.rows("select df.grant_worker(%s, %s)", login, alice)
    assert level(people.owner, "workers") == "ok"


def test_a_timer_that_nobody_woke_is_bad_until_the_remedy(engine: Engine) -> None:
    engine.begin(step("a", "select 1/0", retries="1", retry_delay="1 minute"))
    engine.work()
    assert level(engine, "timers") == "ok"
    engine.pass_time("10 minutes")
    state, detail, remedy = one(engine, "timers")
    assert (state, detail.startswith("timers that are over and woke nobody: 1, the first for 5")) == ("bad", True)
    engine.rows(str(remedy).partition(",")[0])
    assert level(engine, "timers") == "ok"


def test_a_command_that_nobody_took_is_bad(engine: Engine) -> None:
    engine.rows("select df.cancel(%s)", engine.begin(step("a", "select 1")))
    assert level(engine, "commands") == "ok"
    engine.rows("update df._commands set created_at = created_at - interval '2 minutes'")
    assert one(engine, "commands")[:2] == ("bad", "commands (cancel, retry) that wait for somebody who works: 1")
    engine.work()
    assert level(engine, "commands") == "ok"


def test_a_session_that_died_and_the_step_it_ran_are_named(database: Database, engine: Engine) -> None:
    engine.define("w", step("nap", "select pg_sleep(60)"))
    engine.start("w")

    def work() -> None:
        with database.connect() as other, pytest.raises(psycopg.OperationalError):
            other.execute("call df.work()")

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: bool(engine.column("select pid from df._sessions")))
    until(lambda: engine.column("select status from df.steps") == ["running"])
    assert (level(engine, "sessions"), level(engine, "suspects")) == ("ok", "ok")
    [(_, detail, remedy)] = engine.rows(SPACE.format("p_age => '0'", "old snapshots"))
    instance = engine.value("select instance_id from df.instances")
    assert f"runs step nap of {instance}) keeps dead rows" in detail
    assert remedy == f"pgdurable cancel {instance}, unless it may go on"
    engine.rows("select pg_terminate_backend(pid, 5000) from df._sessions")
    thread.join()
    state, detail, remedy = one(engine, "sessions")
    assert (state, detail) == ("warn", "sessions that ended and did not give back what they held: 1")
    engine.rows(str(remedy))
    assert level(engine, "sessions") == "ok"
    state, detail, _ = one(engine, "suspects")
    assert (state, detail) == ("warn", "ran when a session died, and run again one at a time: w.nap")


SPACE = "select level, detail, remedy from df._doctor_space({}) where \"check\" = '{}'"


def test_dead_rows_are_counted_and_vacuum_is_the_remedy(engine: Engine) -> None:
    engine.rows("alter table df._steps set (autovacuum_enabled = off)")
    engine.run(step("a", "select 1"), step("b", "select 1"))
    for _ in range(12):
        engine.rows("update df._steps set reason = 'x'")
    engine.rows("select pg_stat_force_next_flush()")
    [(state, detail, remedy), _] = engine.rows(SPACE.format("p_dead => 10", "dead rows"))
    assert (state, detail.startswith("df._steps has ")) == ("warn", True)
    engine.rows(remedy.partition(";")[0])
    engine.rows("select pg_stat_force_next_flush()")
    assert one(engine, "dead rows") == (
        "warn",
        "autovacuum is off for df._steps",
        "alter table df._steps reset (autovacuum_enabled)",
    )
    engine.rows("alter table df._steps reset (autovacuum_enabled)")
    assert engine.column(SPACE.format("p_dead => 10", "dead rows")) == ["ok"]
    assert level(engine, "dead rows") == "ok"


def test_who_holds_an_old_snapshot_is_named_and_can_be_ended(database: Database, engine: Engine) -> None:
    other = database.connect()
    other.execute("begin isolation level repeatable read")
    pid = Engine(other).value("select pg_backend_pid()")
    [(state, detail, remedy)] = engine.rows(SPACE.format("p_age => '0'", "old snapshots"))
    assert (state, remedy) == ("bad", f"select pg_terminate_backend({pid})")
    assert detail.startswith(f"pid {pid} (pgdurable, pgdurable test, idle in transaction) keeps dead rows")
    [(state, _, _)] = engine.rows(SPACE.format("p_age => '1 hour', p_xids => -1", "old snapshots"))
    assert state == "bad"
    assert level(engine, "old snapshots") == "ok"
    engine.rows(remedy)
    until(lambda: engine.column(SPACE.format("p_age => '0'", "old snapshots")) == ["ok"])
    other.close()


def test_transaction_ids_near_their_end_are_found(engine: Engine) -> None:
    [(state, detail, remedy)] = engine.rows(SPACE.format("p_frozen => 1", "transaction ids"))
    assert (state, detail.startswith("the oldest transaction id is ")) == ("warn", True)
    assert f"vacuum (freeze) in database {engine.value('select current_database()')}" in remedy


def test_counters_that_do_not_agree_with_their_steps_are_bad(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1"), step("b", "select 1"), step("c", "select 1", after="{a,b}"))
    assert one(engine, "counters") == ("ok", "agree with the steps; instances looked at: 1", None)
    engine.rows("update df._joins set s = s - 1 where n = 2")
    state, detail, remedy = one(engine, "counters")
    assert (state, detail.partition(": ")[2]) == (
        "bad",
        "c counted {1,0,0,0,0} of 2, its upstreams are {2,0,0,0,0} of 2",
    )
    assert f"pgdurable explain {instance}" in str(remedy)
    engine.rows("update df._joins set s = s + 1 where n = 2")
    engine.rows("update df._steps set state = 'ready', finished_at = null where step = 1")
    assert "has ended and holds 1 in state ready" in one(engine, "counters")[1]


def test_what_really_happened_is_never_called_miscounted(engine: Engine) -> None:
    engine.run(
        step("rows", "select generate_series(1, 3) as n"),
        step("item", "select 1 / ($item.n - 2)", each="rows"),
        step("pick", "df.branch('select ''left''')"),
        step("left", "select 1", after="{pick}"),
        step("right", "select 1", after="{pick}"),
        step("early", "select 1", after="{left,right,item}", rule="one_success"),
        step("late", "select 1", after="{item,left}", rule="all_done"),
        step("behind", "select 1", after="{item,late}"),
    )
    instance = engine.run(step("a", "select 1/0"), step("b", "select 1"), step("c", "select 1", after="{a,b}"))
    engine.rows("select df.retry_instance(%s)", instance)
    engine.work()
    assert one(engine, "counters")[:2] == ("ok", "agree with the steps; instances looked at: 2")
    assert engine.column("select detail from df._doctor_counters(p_seconds => -1) where \"check\" = 'counters'") == [
        "agree with the steps; instances looked at: 0"
    ]


def test_an_open_instance_of_which_nothing_can_go_on_is_bad(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"), step("b", "select 1", after="{a}"))
    engine.rows("delete from df._steps")
    state, detail, remedy = one(engine, "stuck")
    assert (state, detail.endswith(f"{instance} is open and nothing of it can go on")) == ("bad", True)
    assert f"pgdurable cancel {instance}" in str(remedy)
