"""Databases as people copy them: a dump restored on another server, a clone beside its original."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from server import OWNER, SETTINGS, Database, TestServer, _prepared

from pgdurable_core.embedded import private_server
from pgdurable_core.schema import verify

EFFECTS = """
create table public.effects (instance_id text, step text, who text);
grant insert on public.effects to public;
"""
EFFECT = "insert into public.effects values (''{instance_id}'', ''{step}'', current_user)"
STEPS = f"""
select df.create_workflow('w', steps => array[
  df.step('one', '{EFFECT}'), df.step('two', '{EFFECT}', after => '{{one}}', retries => 1, retry_delay => '1 s'),
  df.step('outside', df.shell('true'), after => '{{two}}')])
"""


@pytest.fixture(scope="module")
def other() -> Iterator[TestServer]:
    """A second server, on which roles have other numbers."""
    with tempfile.TemporaryDirectory(prefix="pgdurable-other-", ignore_cleanup_errors=True) as folder:
        server = private_server(Path(folder) / "postgres", settings=SETTINGS)
        made = TestServer(server.dsn(), server)
        for _ in range(3):
            made.create_role()
        yield _prepared(made)
        server.remove()


def restored(database: Database, other: TestServer, *roles: str, options: tuple[str, ...] = ()) -> Database:
    """Dump a database and restore it on another server: as an administrator, or with options as the owner would."""
    assert database.server.private is not None
    programs = database.server.private.binaries
    there = Database(other, other.create_database().name, OWNER)
    for role in roles:
        other.run("create role {} login", role)
        other.run("grant {} to {}", role, OWNER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dump"
        subprocess.run([programs / "pg_dump", "-Fc", "-f", file, database.superuser_dsn], check=True)
        restore = [
            programs / "pg_restore",
            "--exit-on-error",
            *options,
            "-d",
            there.dsn if options else there.superuser_dsn,
            file,
        ]
        subprocess.run(restore, check=True)
    return there


@pytest.fixture
def alice(database: Database) -> str:
    """A role with steps of its own, beside the owner's."""
    role = database.server.create_role()
    database.server.run("grant {} to {}", role, database.owner)
    database.execute(f"{EFFECTS} select df.grant_usage('{role}')")
    database.execute(STEPS.replace("'w'", "'hers'"), role)
    database.execute(STEPS)
    return role


def start_and_stop_half_way(database: Database, alice: str) -> list[str]:
    """Leave instances in every state, with a worker that holds a step."""
    database.execute("select df.start_workflow('w')")
    database.execute("call df.work()")
    database.execute("select df.register_worker('w', 'h', 1, '0')")
    database.execute("select df.claim_step(worker_id) from df.workers")
    database.execute("select df.start_workflow('w') from generate_series(1, 3)")
    database.execute("select df.start_workflow('hers') from generate_series(1, 2)", alice)
    assert database.execute(
        "select status, count(*) from df.steps where status <> 'waiting' group by 1 order by 1"
    ) == [
        ("completed", 2),
        ("ready", 5),
        ("running", 1),
    ]
    return [str(one) for (one,) in database.execute("select instance_id from df.instances order by 1")]


def finish(database: Database) -> None:
    """Work as a worker does, after those that are gone, until nothing is open."""
    database.execute("update df._workers set lease_until = '-infinity'")
    database.execute("call df.tick()")
    database.execute("call df.work()")
    with database.connect() as connection:
        [(number,)] = connection.execute("select df.register_worker('w', 'h', 1, '0')")
        while (claim := connection.execute("select df.claim_step(%s)", [number]).fetchone()) != (None,):
            assert claim is not None
            where = [claim[0][name] for name in ("instance_id", "scope_id", "step", "token")]
            connection.execute("select df.complete_step(%s, %s, %s, %s)", where)


def effects(database: Database) -> list[tuple[object, ...]]:
    return database.execute(
        "select who, step, count(*), count(distinct instance_id) from effects group by 1, 2 order by 1, 2"
    )


def refusal(database: Database, statement: str) -> str:
    with pytest.raises(psycopg.Error) as caught:
        database.execute(statement)
    assert caught.value.sqlstate == "PD500"
    return str(caught.value.diag.message_primary)


def test_a_restored_dump_is_refused_then_moved_and_every_effect_happens_once(
    database: Database, other: TestServer, alice: str
) -> None:
    database.execute("do $$ begin for i in 1..3000 loop perform pg_current_xact_id(); commit; end loop; end $$")
    ids = start_and_stop_half_way(database, alice)
    there = restored(database, other, alice)
    before = effects(there)
    assert before == effects(database)
    for statement in ("call df.work()", "select df.start_workflow('w')", "call df.tick()"):
        said = refusal(there, statement)
        assert said.startswith(f"database {there.name} is a copy of test: it was made on server ")
    assert len(there.execute("select * from df.instances")) == 6
    newer = "select count(*) from df._steps where state = 'ready' and enq > pg_current_xact_id()"
    assert there.execute(newer) == [(5,)], "the other server has not come as far"
    [(said,)] = there.execute("select df.adopt('moved', 'move')")
    assert said == "this is moved now, 6 steps queued again, 2 runners made again"
    finish(there)
    assert there.execute("select status, count(*) from df.instances group by 1") == [("completed", 6)]
    assert [one for (one,) in there.execute("select instance_id from df.instances order by 1")] == ids
    assert effects(there) == sorted((who, step, n, n) for step in ("one", "two") for who, n in ((OWNER, 4), (alice, 2)))
    assert there.execute("select status, df.copied_from() from df.instances limit 1") == [("completed", None)]
    new = there.execute("select df.start_workflow('hers')", alice)
    there.execute("call df.work()")
    assert new[0][0] not in ids


def test_a_restored_dump_as_a_copy_runs_nothing_of_what_was_open(
    database: Database, other: TestServer, alice: str
) -> None:
    start_and_stop_half_way(database, alice)
    there = restored(database, other, alice)
    before = effects(there)
    [(said,)] = there.execute("select df.adopt('staging', 'copy')")
    assert said == "this is a copy of test named staging, 6 open instances cancelled, 2 runners made again"
    finish(there)
    assert (effects(there), there.execute("select distinct status from df.instances")) == (before, [("cancelled",)])
    there.execute("select df.start_workflow('hers')", alice)
    finish(there)
    assert effects(there) == sorted([*before, (alice, "one", 1, 1), (alice, "two", 1, 1)])
    finish(database)
    assert database.execute("select distinct status from df.instances") == [("completed",)], "the original goes on"


def test_a_dump_restored_without_owners_and_rights_has_both_again(
    database: Database, other: TestServer, alice: str
) -> None:
    start_and_stop_half_way(database, alice)
    there = restored(database, other, alice, options=("--no-owner", "--no-acl"))
    there.execute("grant insert on effects to public")
    open_to_all = """
        select count(*) from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = any(array['df', 'df_runners']::regnamespace[]) and a.grantee = 0"""
    assert there.execute(open_to_all) != [(0,)]
    there.execute("select df.adopt('moved', 'move')")
    assert there.execute(open_to_all) == [(0,)]
    finish(there)
    assert effects(there) == sorted((who, step, n, n) for step in ("one", "two") for who, n in ((OWNER, 4), (alice, 2)))
    there.execute("select df.start_workflow('hers')", alice)
    with there.connect() as connection:
        assert verify(connection).differences == ()


def test_a_dump_restored_over_its_own_database_is_a_copy_too(database: Database) -> None:
    database.execute(EFFECTS + STEPS)
    database.execute("select df.start_workflow('w')")
    assert database.server.private is not None
    programs = database.server.private.binaries
    dump = [programs / "pg_dump", "-n", "df", "-n", "df_runners", database.superuser_dsn]
    text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    database.execute("drop schema df, df_runners cascade")
    subprocess.run(
        [programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", database.superuser_dsn],
        input=text,
        text=True,
        check=True,
        capture_output=True,
    )
    assert refusal(database, "call df.work()").endswith(": it was restored from a dump")
    database.execute("select df.adopt(what => 'move')")
    finish(database)
    assert effects(database) == [(OWNER, "one", 1, 1), (OWNER, "two", 1, 1)]


@pytest.mark.parametrize("server", [18, 16], indirect=True)
def test_a_clone_beside_its_original_is_refused_and_adopted(database: Database, alice: str) -> None:
    start_and_stop_half_way(database, alice)
    name = f"{database.name}_clone"
    database.server.run("create database {} owner {} template {}", name, database.owner, database.name)
    clone = Database(database.server, name, database.owner)
    try:
        assert " it was made in database number " in refusal(clone, "call df.work()")
        assert "PD500" not in str(database.execute("call df.work()"))
        [(said,)] = clone.execute("select df.adopt('clone', 'copy')")
        assert said == "this is a copy of test named clone, 6 open instances cancelled"
        before = effects(clone)
        finish(clone)
        finish(database)
        assert effects(clone) == before
        assert database.execute("select distinct status from df.instances") == [("completed",)]
    finally:
        clone.drop()
