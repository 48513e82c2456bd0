"""Letting old instances go."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from commands import Pgdurable, Said
from server import Database

Run = Callable[..., Said]


@pytest.fixture
def on(pgdurable: Pgdurable, database: Database) -> Run:
    """The command on a database with five instances that ended forty days ago, and one that ended now."""
    for name in ("one", "two"):
        database.execute(f"select df.create_workflow('{name}', steps => array[df.step('a', 'select 1')])")
    database.execute("select df.start_workflow('one', run_key => n::text) from generate_series(1, 3) n")
    database.execute("select df.start_workflow('two') from generate_series(1, 2) n")
    database.execute("call df.work()")
    database.execute("update df._instances set finished_at = finished_at - interval '40 days'")
    database.execute("select df.start_workflow('one', run_key => 'new')")
    database.execute("call df.work()")
    return lambda *arguments, **more: pgdurable(*arguments, "--dsn", database.dsn, **more)


def left(database: Database) -> list[tuple[object, ...]]:
    return database.execute("select workflow, count(*) from df.instances group by 1 order by 1")


def test_a_dry_run_prints_what_would_go_and_changes_nothing(on: Run, database: Database) -> None:
    said = on("purge", "--older-than", "30d", "--dry-run")
    assert said.status == 0
    lines = [re.sub(r"oldest \S+ \S+", "oldest …", line) for line in said.out.splitlines()]
    assert lines == [
        "        3 instances  default/one   oldest …",
        "        2 instances  default/two   oldest …",
    ]
    assert left(database) == [("one", 4), ("two", 2)]
    counts = [
        (row["what"], row["count"]) for row in on("purge", "--older-than", "30d", "--dry-run", "--format", "json").json
    ]
    assert counts == [("instances", 3), ("instances", 2)]


def test_it_says_what_goes_and_asks(on: Run, pgdurable: Pgdurable, database: Database) -> None:
    refused = on("purge", "--older-than", "30d")
    assert (refused.status, "nobody is there to say yes" in refused.err) == (2, True)
    no = pgdurable.typed("n", "purge", "--older-than", "30d", "--dsn", database.dsn)
    assert (no.status, "removes   3 instances of default/one" in no.out) == (1, True)
    assert left(database) == [("one", 4), ("two", 2)]
    yes = pgdurable.typed("y", "purge", "--older-than", "30d", "--dsn", database.dsn)
    assert yes.status == 0
    assert re.sub(r"\x1b\S*?m", "", yes.out).endswith("Purged    5 instances\n")
    assert left(database) == [("one", 1)]


def test_one_workflow(on: Run, database: Database) -> None:
    said = on("purge", "--older-than", "30d", "--workflow", "two", "--yes", "--format", "json")
    assert said.json == {
        "instances": 2,
        "run_keys": 0,
        "versions": 0,
        "plans": 0,
        "modules": 0,
        "is_over": True,
    }
    assert left(database) == [("one", 4)]


def test_without_an_age_the_rules_hold_and_without_rules_it_says_what_to_do(on: Run, database: Database) -> None:
    none = on("purge", "--yes")
    assert none.status == 1
    assert "nothing says how long finished instances are kept" in none.err
    database.execute("select df.set_retention('30 days', 'one')")
    assert on("purge", "--yes").status == 0
    assert left(database) == [("one", 1), ("two", 2)]


def test_an_age_that_is_none_is_refused(on: Run) -> None:
    said = on("purge", "--older-than", "soon")
    assert said.status == 2
    assert "'soon' is no duration" in said.err


def test_a_run_key_of_what_was_purged_starts_nothing_and_says_how_that_ended(on: Run, database: Database) -> None:
    [(first,)] = database.execute("select instance_id from df.instances where run_key = '1'")
    on("purge", "--older-than", "30d", "--yes")
    again = on("start", "one", "--run-key", "1")
    assert (again.status, again.out) == (0, f"{first}\n")
    assert "had this run key; it is completed, and purged" in again.err
    assert left(database) == [("one", 1)]
    gone = on("purge", "--older-than", "30d", "--keep-keys", "30d", "--yes")
    assert "Purged    0 instances, 3 run keys\n" in gone.err
    assert on("start", "one", "--run-key", "1").out != again.out
