"""Hazards 1, 2: a step that takes the server down is counted and set aside, and nobody else pays for it."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, start, value, workflow
from server import Database, TestServer

# Only a superuser may run programs, so the step calls a function of his. $PPID of the shell is the backend.
POISON = """
create function public.poison() returns void language plpgsql security definer as $$
begin
    copy (select 1) to program 'echo x >> {trace}; kill -9 $PPID; sleep 2';
end $$;
"""


@pytest.mark.parametrize("mortal", [18, 16], indirect=True)
def test_a_step_that_crashes_the_server_is_quarantined_and_innocents_are_not_charged(
    mortal: TestServer, mortal_database: Database
) -> None:
    assert mortal.private is not None
    trace = Path(mortal.private.data, "poison.trace")
    with psycopg.connect(mortal_database.superuser_dsn, autocommit=True) as superuser:
        superuser.execute(POISON.format(trace=trace).encode())
    with mortal_database.connect() as owner:
        owner.execute(EFFECTS.encode())
        slow = f"{EFFECT}; select pg_sleep(0.04)"
        owner.execute(workflow("innocent", f"df.step('s', run => $run${slow}$run$)").encode())
        owner.execute(workflow("poison", "df.step('s', run => $$select public.poison()$$)").encode())
        start(owner, "innocent", 30)
        [poison] = start(owner, "poison")
        start(owner, "innocent", 29)
    with Crew(mortal_database, 6) as crew:
        crew.finish(90)
    with mortal_database.connect() as owner:
        executions = len(trace.read_text().split())
        state, error, charged = owner.execute(
            "select state, error, charged from df._steps where instance_id = %s", [poison]
        ).fetchone() or ("", "", 0)
        assert (state, json.loads(json.dumps(error))["sqlstate"], charged) == ("failed", "PD410", 3)
        assert executions <= 5
        innocents = owner.execute(
            "select state, count(*), sum(charged), max(attempt) from df._steps where instance_id <> %s group by 1",
            [poison],
        ).fetchall()
        assert innocents == [("completed", 59, 0, 1)]
        assert value(owner, "select count(*) from df.events where kind = 'step_quarantined'") == 1
        assert_once(owner)
        assert_consistent(owner)


def test_a_step_that_ends_only_its_own_backend_is_quarantined_too(mortal_database: Database) -> None:
    with mortal_database.connect() as owner:
        owner.execute(EFFECTS.encode())
        owner.execute(workflow("innocent", f"df.step('s', run => $run${EFFECT}$run$)").encode())
        suicide = "select pg_terminate_backend(pg_backend_pid())"
        owner.execute(workflow("suicide", f"df.step('s', run => $run${suicide}$run$)").encode())
        [instance] = start(owner, "suicide")
        start(owner, "innocent", 20)
    with Crew(mortal_database, 3) as crew:
        crew.finish(60)
    with mortal_database.connect() as owner:
        lost = value(owner, "select count(*) from df.attempts where instance_id = %s and status = 'lost'", instance)
        sqlstate = value(owner, "select error ->> 'sqlstate' from df._steps where instance_id = %s", instance)
        assert (sqlstate, lost <= 5) == ("PD410", True)
        assert value(owner, "select max(charged) from df._steps where instance_id <> %s", instance) == 0
        assert_once(owner)
        assert_consistent(owner)
