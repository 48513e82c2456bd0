"""df.set_connection: where a connection name points."""

from __future__ import annotations

from engine_people import People
from engine_room import Engine, refused, step


def test_a_step_runs_as_the_role_of_its_connection(people: People) -> None:
    alice, hers = people.user()
    bob, _ = people.user()
    people.superuser.execute(f"grant {bob} to {alice}".encode())
    hers.rows("select df.set_connection('wh', role => %s)", bob)
    instance = hers.begin(
        step("a", "select current_user::text as who", connection="wh"),
        step("b", "select $a.who as who", after="{a}", connection="wh"),
    )
    people.owner.work()
    people.owner.check(instance)
    assert people.owner.result(instance, "b") == [{"who": bob}]


def test_only_a_member_may_point_at_a_role_and_only_its_setter_may_change_it(people: People) -> None:
    alice, hers = people.user()
    bob, his = people.user()
    foreign = f"select df.set_connection('wh', role => '{bob}')"
    assert refused(hers, foreign)[:2] == ("PD403", f"{alice} is no member of {bob}")
    his.rows("select df.set_connection('wh', role => %s)", bob)
    assert refused(hers, "select df.set_connection('wh')")[:2] == ("PD403", "connection wh was set by another role")
    assert people.owner.value("select role::text from df.connections") == bob


def test_another_database_and_a_dsn_in_clear_are_refused(engine: Engine) -> None:
    assert refused(engine, "select df.set_connection('wh', kind => 'postgres')")[0] == "PD501"
    assert refused(engine, "select df.set_connection('wh', login => 'host=x password=y')")[0] == "23514"
    engine.rows("select df.set_connection('wh', login => 'env:WH_DSN')")
    assert engine.rows("select name, kind, login from df.connections") == [("wh", "here", "env:WH_DSN")]
    nobody = "select df.set_connection('x', role => 'nobody at all')"
    assert refused(engine, nobody)[:2] == ("PD404", "there is no role nobody at all")
