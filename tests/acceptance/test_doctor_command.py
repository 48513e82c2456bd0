"""`pgdurable doctor`: what this side finds, beside what df.doctor says (tests/engine/doctor)."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tzdata
from commands import Pgdurable
from server import Database

from pgdurable_core.cli.doctor import clock, zones
from pgdurable_core.engine import Client

OURS = ["connection", "pooler", "clock", "time zones", "schema"]


def levels(pgdurable: Pgdurable, dsn: str) -> dict[str, str]:
    return {row["check"]: row["level"] for row in pgdurable("doctor", "--dsn", dsn, "--format", "json").json["checks"]}


def test_every_check_has_a_line_and_what_is_bad_ends_with_1(pgdurable: Pgdurable, database: Database) -> None:
    database.execute("update df._engine set draining = true")
    said = pgdurable("doctor", "--dsn", database.dsn)
    assert said.status == 1
    lines = said.out.splitlines()
    upgrade = next(number for number, line in enumerate(lines) if line.startswith("bad   upgrade "))
    assert lines[upgrade + 1].split() == ["->", "pgdurable", "init", "--dsn", "…"]
    shown = [re.split(r"\s{2,}", line[6:])[0] for line in lines if re.match("ok|warn|bad", line)]
    assert shown[:5] == OURS
    assert len(shown) == len(levels(pgdurable, database.dsn)) == 29
    assert re.fullmatch(r"\d+ bad, \d+ to look at, \d+ ok", lines[-1])


def test_a_database_in_good_order_ends_with_0(fresh: Pgdurable) -> None:
    assert fresh("init").status == 0
    said = fresh("doctor", "--format", "json")
    assert (said.status, said.json["is_well"]) == (0, True)
    not_ok = [row["check"] for row in said.json["checks"] if row["level"] != "ok"]
    # The server of the wheel and the machine need not have the same time zone data.
    assert set(not_ok) <= {"time zones"}


def test_a_remedy_names_the_database_that_it_is_for(pgdurable: Pgdurable, database: Database, tmp_path: Path) -> None:
    (tmp_path / "pgdurable.toml").write_text(f'[environments.dev]\ndsn = "{database.dsn}"\n')
    database.execute("select df.create_workflow('w', steps => array[df.step('a', run => 'select 1')])")
    [(instance,)] = database.execute("select df.start_workflow('w')")
    database.execute("update df._steps set ready_at = ready_at - interval '10 minutes'")
    checks = {row["check"]: row for row in pgdurable("doctor", "--env", "dev", "--format", "json").json["checks"]}
    assert checks["workers"]["remedy"] == "pgdurable worker --env dev"
    assert checks["queue"]["remedy"].startswith(
        f"pgdurable explain {instance} --env dev; more sessions: pgdurable worker"
    )


def test_a_function_changed_by_hand_and_a_schema_of_another_version_are_bad(
    pgdurable: Pgdurable, database: Database
) -> None:
    assert levels(pgdurable, database.dsn)["schema"] == "ok"
    database.execute("comment on function df.version() is 'mine'")
    assert levels(pgdurable, database.dsn)["schema"] == "bad"
    assert pgdurable("init", "--dsn", database.dsn, "--yes").status == 0
    assert levels(pgdurable, database.dsn)["schema"] == "ok"
    for version in (0, 999):
        database.execute(f"update df._engine set schema_version = {version}")
        assert levels(pgdurable, database.dsn)["schema"] == "bad"


def test_who_may_not_ask_is_told_who_may(pgdurable: Pgdurable, database: Database) -> None:
    role = database.server.create_role()
    database.server.run("grant {} to {}", role, database.owner)
    database.execute(f"select df.grant_usage('{role}')")
    said = pgdurable("doctor", "--dsn", database.dsn_as(role))
    assert said.status == 0
    assert f"not asked: {role} is neither owner of df nor operator" in said.out
    assert f"select df.grant_operator('{role}')" in said.out
    assert "only pgdurable, the owner of df, may" in said.out
    database.execute(f"select df.grant_operator('{role}')")
    assert "durability" in levels(pgdurable, database.dsn_as(role))


def test_an_engine_without_the_function_is_to_be_upgraded(pgdurable: Pgdurable, database: Database) -> None:
    database.execute("drop function df.doctor()")
    said = pgdurable("doctor", "--dsn", database.dsn)
    assert (said.status, "this schema has no df.doctor yet" in said.out) == (1, True)


def test_no_engine_and_no_server_end_with_3(pgdurable: Pgdurable, empty_database: Database) -> None:
    assert pgdurable("doctor", "--dsn", empty_database.dsn).status == 3
    assert pgdurable("doctor", "--dsn", "host=127.0.0.1 port=1").status == 3


@pytest.mark.parametrize(
    ("off", "level", "words"),
    [
        (timedelta(0), "ok", "agree within"),
        (timedelta(seconds=10), "warn", "10.0 s ahead of the server"),
        (timedelta(hours=-1), "bad", "1:00:00 behind the server"),
    ],
)
def test_a_clock_that_is_off_is_found(client: Client, off: timedelta, level: str, words: str) -> None:
    row = clock(client, lambda: datetime.now(UTC) + off)
    assert (row.level, words in row.detail) == (level, True)


@pytest.fixture
def python_zones(tmp_path: Path) -> Iterator[Path]:
    """A folder that Python takes for its time zone data, in which Europe/Berlin knows no summer."""
    kept = zoneinfo.TZPATH
    data = [*map(Path, kept), Path(tzdata.__file__).parent / "zoneinfo"]
    for name in ("Asia/Kolkata", "Europe/Berlin"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        there = [folder / ("Africa/Lagos" if name == "Europe/Berlin" else name) for folder in data]
        file.write_bytes(next(path for path in there if path.exists()).read_bytes())
    zoneinfo.reset_tzpath([tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    yield tmp_path
    zoneinfo.reset_tzpath(kept)
    zoneinfo.ZoneInfo.clear_cache()


def test_zones_that_python_and_the_server_know_differently_are_found(
    client: Client, database: Database, python_zones: Path
) -> None:
    names = ["Asia/Kolkata", "Europe/Berlin"]
    row = zones(client, names)
    assert (row.level, row.detail) == (
        "warn",
        "server and Python differ on Europe/Berlin; no workflow is scheduled in them",
    )
    assert zones(client, ["Asia/Kolkata"]).level == "ok"
    database.execute(
        "select df.create_workflow('w', schedule => '0 6 * * *', timezone => 'Europe/Berlin',"
        " steps => array[df.step('a', run => 'select 1')])"
    )
    row = zones(client, names)
    assert (row.level, row.detail.endswith("workflows are scheduled in Europe/Berlin")) == ("bad", True)


def test_a_zone_that_the_server_lost_is_bad(client: Client, database: Database) -> None:
    database.execute(
        "select df.create_workflow('w', schedule => '0 6 * * *', timezone => 'Europe/Berlin',"
        " steps => array[df.step('a', run => 'select 1')]);"
        "update df._workflow_versions set timezone = 'Europe/Atlantis'"
    )
    row = zones(client)
    assert (row.level, row.detail) == (
        "bad",
        "the server does not know Europe/Atlantis, which workflows are scheduled in",
    )
