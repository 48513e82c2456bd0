"""A copied database, as the person who copied it meets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from commands import Pgdurable, Said
from server import Database

Run = Callable[..., Said]


@pytest.fixture
def clone(database: Database) -> Iterator[Database]:
    """A clone of a database in which one instance is open."""
    database.execute("create table effects (x int)")
    step = "df.step('a', 'insert into effects values ($params.x)')"
    params = """'{"x": {"default": 1}}'"""
    database.execute(f"select df.create_workflow('w', steps => array[{step}], params => {params})")
    database.execute("select df.start_workflow('w')")
    clone = Database(database.server, f"{database.name}_clone", database.owner)
    database.server.run("create database {} owner {} template {}", clone.name, clone.owner, database.name)
    yield clone
    clone.drop()


@pytest.fixture
def on(pgdurable: Pgdurable, clone: Database) -> Run:
    return lambda *arguments, **more: pgdurable(*arguments, "--dsn", clone.dsn, **more)


def test_a_worker_and_a_start_are_refused_and_looking_says_why(on: Run, clone: Database) -> None:
    for command in (["worker", "--until-idle"], ["start", "w"]):
        said = on(*command)
        assert said.status == 3, said.err
        assert f"database {clone.name} is a copy of test: it was made in database number " in said.err
        assert "pgdurable adopt move" in said.err
    for command in (["status"], ["workflows"]):
        said = on(*command)
        assert "Copy      this database is a copy of test: it was made in database number " in said.err
        assert "w" in said.out
    assert clone.execute("select count(*) from effects") == [(0,)]


def test_as_a_copy_it_cancels_what_is_open_and_then_works(on: Run, clone: Database, database: Database) -> None:
    refused = on("adopt", "copy", "--as", "staging")
    assert (refused.status, "open      1 instances are cancelled" in refused.err) == (2, True)
    said = on("adopt", "copy", "--as", "staging", "--yes")
    assert said.status == 0
    assert "Adopted   this is a copy of test named staging, 1 open instances cancelled\n" in said.err
    after = on("status")
    assert "Copy " not in after.err
    on("start", "w")
    assert on("worker", "--until-idle").status == 0
    assert clone.execute("select status, count(*) from df.instances group by 1 order by 1") == [
        ("cancelled", 1),
        ("completed", 1),
    ]
    assert clone.execute("select environment, endpoint is not null from df._engine") == [("staging", True)]
    database.execute("call df.work()")
    assert database.execute("select status from df.instances") == [("completed",)]


def test_as_a_move_it_goes_on(on: Run, clone: Database) -> None:
    said = on("adopt", "move", "--yes", "--format", "json")
    assert said.json == {"what": "move", "environment": None, "said": "this is test now, 1 steps queued again"}
    assert on("worker", "--until-idle").status == 0
    assert clone.execute("select status, (select count(*) from effects) from df.instances") == [("completed", 1)]


def test_it_must_be_said_which(on: Run) -> None:
    assert on("adopt").status == 2
