"""df.copied_from: whether this database is where the engine was put."""

from __future__ import annotations

import pytest
from engine_people import People
from engine_room import Engine


def test_at_home_it_answers_nothing(engine: Engine) -> None:
    assert engine.value("select df.copied_from()") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update df._engine set database_oid = 7", "it was made in database number 7, this is number "),
        ("update df._engine set system_identifier = '7'", "it was made on server 7, this is server "),
        ("update df._home set engine_oid = 7", "it was restored from a dump"),
    ],
)
def test_it_says_of_what_and_how_that_shows(engine: Engine, change: str, said: str) -> None:
    engine.rows("update df._engine set endpoint = 'db:5432'")
    engine.rows(change)
    assert engine.value("select df.copied_from()").startswith(f"test at db:5432: {said}")


def test_every_user_may_ask(engine: Engine, people: People) -> None:
    _, user = people.user()
    engine.rows("update df._home set engine_oid = 7")
    assert user.value("select df.copied_from()") == "test: it was restored from a dump"


def test_a_server_that_hides_its_identifier_is_told_by_the_rest(engine: Engine, people: People) -> None:
    people.superuser.execute("revoke execute on function pg_control_system() from public")
    engine.rows("update df._engine set system_identifier = '7'")
    assert engine.value("select df.copied_from()") is None
    engine.rows("update df._engine set database_oid = 7")
    assert engine.value("select df.copied_from()").startswith("test: it was made in database number 7")
