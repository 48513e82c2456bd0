"""df.grant_usage: a role may define and start workflows, and has a runner."""

from __future__ import annotations

from engine_people import People
from engine_room import refused, step


def test_a_stranger_may_do_nothing(people: People) -> None:
    _, engine = people.stranger()
    for statement in ("select df.version()", "select * from df.instances", "select df.step('a')", "call df.work()"):
        assert refused(engine, statement)[0] == "42501"


def test_a_user_defines_starts_and_looks(people: People) -> None:
    role, engine = people.user()
    instance = engine.begin(step("a", "select 1 as n"))
    people.owner.work()
    assert engine.states(instance) == {"a": "completed"}
    assert engine.rows("select submitted_by::text, actor from df.instances") == [(role, role)]
    assert "completed" in engine.value("select df.explain(%s)", instance)


def test_granting_twice_changes_nothing_and_a_role_with_an_odd_name_is_served(people: People) -> None:
    people.superuser.execute('create role "Odd ""Name" login')
    people.superuser.execute(f'grant "Odd ""Name" to {people.database.owner}'.encode())
    for _ in range(2):
        people.owner.rows("""select df.grant_usage('Odd "Name')""")
    engine = people.login('Odd "Name')
    instance = engine.begin(step("a", "select current_user::text as who"))
    people.owner.work()
    assert people.owner.result(instance, "a") == [{"who": 'Odd "Name'}]
    people.owner.rows("""select df.revoke_usage('Odd "Name')""")
    engine.connection.close()
    people.superuser.execute('drop role "Odd ""Name"')


def test_only_the_owner_of_df_grants(people: People) -> None:
    role, engine = people.user()
    assert refused(engine, f"select df.grant_usage('{role}')")[0] == "42501"
    assert refused(people.owner, "select df.grant_usage('nobody at all')")[:2] == (
        "PD404",
        "there is no role nobody at all",
    )
    assert refused(people.owner, f"select df.grant_usage('{role}', with_grant => true)")[0] == "PD501"


def test_a_role_that_the_owner_may_not_set_is_refused_with_the_grant_it_needs(people: People) -> None:
    role, _ = people.stranger()
    state, message, _, hint = refused(people.owner, f"select df.grant_usage('{role}')")
    assert (state, message.startswith(f"the runner of {role} cannot be made")) == ("PD403", True)
    assert hint is not None
    assert f"grant {role} to {people.database.owner}" in hint
