"""df.set_module: Python source under its own hash, by those who may."""

from __future__ import annotations

import hashlib

from engine_people import People
from engine_room import Engine, refused

SOURCE = "def f():\n    return 'é'\n"
SHA = hashlib.sha256(SOURCE.encode()).hexdigest()


def test_a_module_is_stored_once_under_its_hash(engine: Engine) -> None:
    for _ in range(2):
        assert engine.value("select df.set_module('p.m', %s)", SOURCE) == SHA
    assert engine.rows("select name, sha256, bytes from df.modules") == [("p.m", SHA, len(SOURCE.encode()))]


def test_to_use_df_is_not_to_write_modules(people: People) -> None:
    role, engine = people.user()
    state, message, _, hint = refused(engine, "select df.set_module('m', 'x')")
    assert (state, message) == ("PD403", f"{role} may not store modules: they run on the workers")
    assert "may_write_modules" in (hint or "")
    people.owner.rows("update df._roles set may_write_modules = true where role = %s::regrole", role)
    assert len(engine.value("select df.set_module('m', 'x')")) == 64


def test_a_bad_name_and_a_huge_module_are_refused(engine: Engine) -> None:
    assert refused(engine, "select df.set_module('a b', 'x')")[:2] == ("PD400", "'a b' is no module name")
    huge = "select df.set_module('m', repeat('x', 4194305))"
    assert refused(engine, huge)[:2] == ("PD413", "module m is larger than 4 MiB")
