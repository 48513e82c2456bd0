"""df.revoke_usage: what a role had of df is gone, and its instances stay."""

from __future__ import annotations

from engine_people import People
from engine_room import refused, step


def test_a_role_that_lost_df_can_do_nothing_and_can_be_dropped(people: People) -> None:
    role, engine = people.user()
    instance = engine.begin(step("a", "select 1"))
    people.owner.rows("select df.revoke_usage(%s)", role)
    for statement in ("select df.version()", "select * from df.instances", "select df.start_workflow('w')"):
        assert refused(engine, statement)[0] == "42501"
    people.owner.work()
    assert people.owner.states(instance) == {"a": "ready"}
    assert (
        people.owner.rows(
            "select proname from pg_proc where pronamespace = 'df_runners'::regnamespace and proowner = %s::regrole",
            role,
        )
        == []
    )
    engine.connection.close()
    people.superuser.execute(f"revoke create on schema public from {role}; drop role {role}".encode())


def test_a_worker_of_the_role_serves_it_no_longer(people: People) -> None:
    role, engine = people.user()
    _, worker = people.worker(role)
    engine.begin(step("a", "select 1"))
    people.owner.rows("select df.revoke_usage(%s)", role)
    assert worker.work() == 0


def test_the_owner_keeps_its_own_and_only_the_owner_revokes(people: People) -> None:
    role, engine = people.user()
    assert refused(people.owner, "select df.revoke_usage('pgdurable')")[:2] == (
        "PD403",
        "the owner of df cannot lose its use",
    )
    assert refused(engine, f"select df.revoke_usage('{role}')")[0] == "42501"
    assert refused(people.owner, "select df.revoke_usage('nobody at all')")[0] == "PD404"
