"""Hazards 20, 38-42: what the engine leaves behind, burns, and refuses."""

from __future__ import annotations

import subprocess
import sys
import time

import psycopg
import pytest
from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, chain, start, until, value, workflow
from server import Database

from pgdurable_core.engine import Connection, translated
from pgdurable_core.errors import SetupError


def test_steps_under_load_make_no_multixacts(
    database: Database, connection: Connection, superuser: psycopg.Connection
) -> None:
    connection.execute(chain("ten", 10, "select 1").encode())
    before = superuser.execute("select next_multixact_id::text::bigint from pg_control_checkpoint()").fetchone()
    with Crew(database, 6, idle=0.02) as crew:
        start(connection, "ten", 200)
        crew.finish()
    superuser.execute("checkpoint")
    after = superuser.execute("select next_multixact_id::text::bigint from pg_control_checkpoint()").fetchone()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] < 20
    assert_consistent(connection)


def test_a_row_that_refers_to_a_ready_step_does_not_hide_it(database: Database, connection: Connection) -> None:
    connection.execute(chain("one", 1, "select 1").encode())
    [instance] = start(connection, "one")
    with database.connect(autocommit=False) as reader:
        reader.execute("select from df._steps where instance_id = %s for key share", [instance])
        connection.execute("call df.work(2)")
        assert value(connection, "select state from df._instances") == "completed"
        reader.rollback()


def test_idle_polling_assigns_no_transaction_ids(database: Database, connection: Connection) -> None:
    connection.execute(chain("one", 1, "select 1").encode())
    start(connection, "one")
    connection.execute("call df.work(2)")
    with Crew(database, 4, ticker=True, idle=0.2) as crew:
        time.sleep(0.5)
        before = value(connection, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        time.sleep(2)
        after = value(connection, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    assert crew.errors == []
    # Autovacuum of the whole server may take a few; four sessions polling every 20 ms would take 400.
    assert after - before < 10


def test_an_orphan_session_ends_soon_after_its_client_was_killed(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    connection.execute(chain("long", 300, f"{EFFECT}; select pg_sleep(0.05)").encode())
    start(connection, "long")
    # The server arms this check when a statement begins, so df.work's own setting only helps from the second call on.
    options = "options='-c client_connection_check_interval=500'"
    program = "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True).execute('call df.work(60)')"
    client = subprocess.Popen([sys.executable, "-c", program, f"{database.dsn} {options}"])
    until(lambda: value(connection, "select count(*) from public.effects") > 3)
    client.kill()
    client.wait()
    at_death = value(connection, "select count(*) from public.effects")
    until(lambda: value(connection, "select count(*) from pg_stat_activity where query like 'call df.work%%'") == 0, 5)
    assert value(connection, "select count(*) from public.effects") - at_death < 40
    with Crew(database, 2) as crew:
        crew.finish(60)
    assert_once(connection)
    assert_consistent(connection)


def test_a_sleeper_is_woken_by_what_is_ready_for_it_and_nobody_is_notified_when_none_sleeps(
    database: Database, connection: Connection
) -> None:
    connection.execute(workflow("shell", "df.step('s', run => df.shell('true'))").encode())
    with database.connect() as listener:
        listener.execute("listen df")
        start(connection, "shell")
        assert [note.payload for note in listener.notifies(timeout=0.3)] == []
        worker = value(connection, "select df.register_worker('w', 'h', 1, '1', '1 minute')")
        connection.execute("select df.sleep_worker(%s, '{shell}')", [worker])
        start(connection, "shell")
        assert "shell" in [note.payload for note in listener.notifies(timeout=2, stop_after=1)]


@pytest.mark.parametrize("how", ["begin; call df.work()", "set work_mem = '4MB'; call df.work()"])
def test_work_refuses_to_run_where_it_cannot_commit(database: Database, how: str) -> None:
    with database.connect() as connection, pytest.raises(SetupError) as caught, translated():
        connection.execute(how.encode())
    assert "call df.work()" in str(caught.value.hint)


def test_work_runs_inside_a_top_level_do_block(connection: Connection) -> None:
    connection.execute(chain("one", 1, "select 1").encode())
    start(connection, "one")
    connection.execute("do $$ declare p text; d bigint; begin call df.work(5, 0, null, p, d); end $$")
    assert value(connection, "select state from df._instances") == "completed"


def test_steps_leave_nothing_in_the_session(database: Database, connection: Connection) -> None:
    connection.execute(EFFECTS.encode())
    dirty = (
        "set work_mem = '77MB'; create temp table left_over (n int); select pg_advisory_lock(4711); "
        "prepare left_plan as select 1; listen something"
    )
    probe = (
        "select current_setting('work_mem') <> '77MB' and to_regclass('pg_temp.left_over') is null "
        "and not exists (select from pg_prepared_statements where name = 'left_plan') "
        "and not exists (select from pg_locks where locktype = 'advisory' and objid = 4711) "
        "and not exists (select from pg_listening_channels())"
    )
    connection.execute(
        workflow(
            "dirty",
            f"df.step('a', run => $run${dirty}$run$)",
            f"df.step('b', after => '{{a}}', run => df.check($run${probe}$run$))",
        ).encode()
    )
    with Crew(database, 1) as crew:
        start(connection, "dirty", 5)
        crew.finish()
    assert connection.execute("select state, error::text, count(*) from df._steps group by 1, 2").fetchall() == [
        ("completed", None, 10)
    ]
    assert_consistent(connection)


def test_two_logins_that_serve_different_roles_lose_nothing_to_each_other(
    database: Database, connection: Connection, superuser: psycopg.Connection
) -> None:
    connection.execute(EFFECTS.encode())
    roles, workers = [], []
    for _ in range(2):
        role, worker = database.server.create_role(), database.server.create_role()
        superuser.execute(f"grant {role} to {database.owner} with admin option".encode())
        superuser.execute(f"grant create on database {database.name} to {role}".encode())
        connection.execute("select df.grant_usage(%s)", [role])
        connection.execute("select df.grant_worker(%s, %s)", [worker, role])
        connection.execute(chain(f"of_{role}", 3).replace("run =>", f"run_as => '{role}', run =>").encode())
        roles.append(role)
        workers.append(worker)
    with (
        Crew(database, 3, role=workers[0], ticker=False, idle=0.02) as one,
        Crew(database, 3, role=workers[1], idle=0.02, ticker=False) as two,
    ):
        for _ in range(60):
            for role in roles:
                start(connection, f"of_{role}", 2)
            time.sleep(0.01)
        one.finish(15)
    assert one.errors + two.errors == []
    assert connection.execute("select state, count(*) from df._instances group by 1").fetchall() == [("completed", 240)]
    assert_once(connection)
    assert_consistent(connection)
