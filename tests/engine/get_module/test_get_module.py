"""df.get_module: a pinned module's source, byte for byte."""

from __future__ import annotations

from engine_people import People
from engine_room import Engine, refused


def test_it_returns_what_was_stored_and_null_for_what_was_not(engine: Engine) -> None:
    source = "x = '''\r\n\ttab é'''\n"
    sha = engine.value("select df.set_module('m', %s)", source)
    assert engine.value("select df.get_module('m', %s)", sha) == source
    assert engine.value("select df.get_module('m', repeat('0', 64))") is None


def test_users_do_not_read_it_and_workers_do(people: People) -> None:
    role, user = people.user()
    _, worker = people.worker(role)
    sha = people.owner.value("select df.set_module('m', 'x')")
    assert refused(user, f"select df.get_module('m', '{sha}')")[0] == "42501"
    assert worker.value("select df.get_module('m', %s)", sha) == "x"
