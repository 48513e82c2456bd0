"""df.signal_stops: only backends that still execute a claim with a committed stop row are signalled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from engine_people import People
from engine_room import Engine, step
from server import Database

STOP = """
insert into df._stops (token, session_id, instance_id, reason, created_at)
select 77, session_id, '000000000000', 'cancel', clock_timestamp() - %s::interval from df._sessions"""


@contextmanager
def advertised(database: Database, owner: Engine, since: str = "0 s", login: str | None = None) -> Iterator[int]:
    """A session in a transaction that executes claim 77, which has a stop row; says its pid."""
    with database.connect(login, autocommit=False) as busy:
        pid = busy.info.backend_pid
        busy.execute("select pg_advisory_xact_lock((57089::bigint << 48) | 77)")
        known = busy.execute("select pid, backend_start, usename from pg_stat_activity where pid = pg_backend_pid()")
        owner.rows("insert into df._sessions (pid, backend_start, login) values (%s, %s, %s)", *known.fetchone() or ())
        owner.rows(STOP, since)
        yield pid
        with suppress(psycopg.OperationalError):  # it was ended
            busy.rollback()


def test_nobody_is_signalled_without_a_stop_row(engine: Engine) -> None:
    engine.run(step("a", "select 1"))
    assert engine.value("select df.signal_stops()") == 0


def test_a_session_that_has_moved_on_is_not_signalled(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1"))
    session = (
        "insert into df._sessions (pid, backend_start, login) select pid, backend_start, 'x' from pg_stat_activity"
    )
    number = engine.value(session + " where pid = pg_backend_pid() returning session_id")
    stop = "insert into df._stops (token, session_id, instance_id, reason)"
    stop += " select seq, %s, instance_id, 'cancel' from df._steps"
    engine.rows(stop, number)
    assert engine.value("select df.signal_stops()") == 0
    assert engine.status(instance) == "completed"


def test_a_stop_is_signalled_once_in_200_ms_whoever_watches(engine: Engine, database: Database) -> None:
    with database.connect() as connection, advertised(database, engine):
        other = Engine(connection)
        assert [who.value("select df.signal_stops()") for who in (engine, other, engine)] == [1, 0, 0]
        engine.rows("select pg_sleep(0.21)")
        assert [who.value("select df.signal_stops()") for who in (other, engine)] == [1, 0]


def test_a_stop_that_its_session_is_ending_is_not_signalled(engine: Engine, database: Database) -> None:
    with advertised(database, engine), database.connect(autocommit=False) as ending:
        ending.execute("delete from df._stops")
        assert engine.value("select df.signal_stops()") == 0
        ending.rollback()
        assert engine.value("select df.signal_stops()") == 1


@pytest.mark.parametrize(("since", "there"), [("4 s", 1), ("6 s", 0)])
def test_a_session_that_does_not_listen_for_five_seconds_is_ended(
    engine: Engine, database: Database, since: str, there: int
) -> None:
    with advertised(database, engine, since) as pid:
        assert engine.value("select df.signal_stops()") == 1
        engine.rows("select pg_sleep(0.2)")
        assert engine.value("select count(*) from pg_stat_activity where pid = %s", pid) == there


def test_a_watchdog_passes_over_what_it_may_not_signal_and_leaves_it_to_who_may(people: People) -> None:
    alice, _ = people.user()
    working, own = people.worker(alice)
    _, watching = people.worker(alice)
    with advertised(people.database, people.owner, login=working):
        assert watching.value("select df.signal_stops()") == 0
        assert own.value("select df.signal_stops()") == 1
