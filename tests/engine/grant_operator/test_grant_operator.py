"""df.grant_operator: a role that sees and acts on everybody's instances."""

from __future__ import annotations

from engine_people import People
from engine_room import refused, step


def test_an_operator_sees_cancels_and_retries_what_others_started(people: People) -> None:
    _, hers = people.user()
    role = people.role()
    people.owner.rows("select df.grant_operator(%s)", role)
    operator = people.login(role)
    instance = hers.begin(step("a", "select 1 / 0"))
    people.owner.work()
    assert operator.states(instance) == {"a": "failed"}
    operator.rows("select df.retry_instance(%s, 'again')", instance)
    people.owner.work("idle_seconds => 0.3")
    events = "select actor, reason from df.events where kind = 'retry'"
    assert hers.rows(events) == [(role, "again")]
    assert refused(operator, "update df._roles set may_write_modules = true")[0] == "42501"


def test_only_the_owner_names_operators(people: People) -> None:
    role, engine = people.user()
    assert refused(engine, f"select df.grant_operator('{role}')")[0] == "42501"
    assert refused(people.owner, "select df.grant_operator('nobody at all')")[:2] == (
        "PD404",
        "there is no role nobody at all",
    )
