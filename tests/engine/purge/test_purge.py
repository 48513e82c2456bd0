"""df.purge: what has ended leaves with everything that is keyed by it, and nothing else does."""

from __future__ import annotations

import psycopg
import pytest
from engine_people import People
from engine_room import Engine, refused, step
from engine_worker import Worker
from server import Database

KEYED = ("_instances", "_steps", "_joins", "_scopes", "_attempts", "_events", "_logs", "_purging")
NOTHING = dict.fromkeys(("instances", "run_keys", "versions", "plans", "modules"), 0) | {"is_over": True}


def purge(engine: Engine, options: str = "'0'") -> dict[str, object]:
    """Purge and return what went."""
    [(gone,)] = engine.rows(f"call df.purge({options})")
    assert isinstance(gone, dict)
    return gone


def rows_of(engine: Engine, instance: str) -> dict[str, int]:
    """How many rows of each table are keyed by an instance; tables without any are left out."""
    found = {name: engine.value(f"select count(*) from df.{name} where instance_id = %s", instance) for name in KEYED}
    return {name: count for name, count in found.items() if count}


def rich(engine: Engine) -> str:
    """Run an instance that leaves rows in every table: mapped, joined, failed once, with a log and an event."""
    instance = engine.begin(
        step("rows", "select g from generate_series(1, 3) g"),
        step("item", "select $item.g", each="rows"),
        step("broken", "select 1 / 0", retries="1", retry_delay="1 min"),
        step("say", "df.shell('echo')"),
        step("last", "select 1", after="{item,broken,say}", rule="all_done"),
        step("watcher", "select 1 / 0", after="{last}"),
    )
    engine.work()
    worker = Worker(engine)
    claim = worker.must_claim("shell")
    worker.call("log", claim, "stdout", ["a", "b"])
    worker.call("complete_step", claim)
    engine.pass_time("2 min")
    engine.work()
    assert engine.status(instance) == "failed"
    return instance


def test_an_instance_leaves_with_everything_that_is_keyed_by_it(engine: Engine) -> None:
    instance = rich(engine)
    assert set(rows_of(engine, instance)) == set(KEYED) - {"_purging"}
    assert purge(engine) == NOTHING | {"instances": 1}
    assert rows_of(engine, instance) == {}
    assert purge(engine) == NOTHING


def test_what_ended_later_stays(engine: Engine) -> None:
    old = engine.run(step("a", "select 1"))
    engine.rows("update df._instances set finished_at = finished_at - interval '31 days'")
    young = engine.run(step("a", "select 1"))
    assert purge(engine, "'30 days'")["instances"] == 1
    assert (rows_of(engine, old), rows_of(engine, young)) == ({}, {"_instances": 1, "_steps": 1})


def test_nothing_of_what_has_not_ended_is_touched(engine: Engine) -> None:
    pending = engine.begin(step("a", "select 1"))
    engine.rows("update df._steps set lane = 2")
    retrying = engine.begin(step("a", "select 1 / 0", retries="1"), step("b", "select 1", after="{a}"))
    engine.rows("update df._steps set lane = 1 where instance_id = %s", retrying)
    running = engine.begin(step("a", "df.shell('true')"))
    engine.rows("update df._steps set lane = 3 where instance_id = %s", pending)
    engine.work()
    Worker(engine).must_claim("shell")
    before = [engine.rows(f"select x::text from df.{name} x order by 1") for name in KEYED]
    assert engine.column("select status from df.instances order by 1") == ["pending", "running", "running"]
    assert purge(engine) == NOTHING
    assert [engine.rows(f"select x::text from df.{name} x order by 1") for name in KEYED] == before
    assert {pending, retrying, running} == set(engine.column("select instance_id from df.instances"))


def test_a_cancelled_instance_stays_until_its_running_step_has_stopped(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.shell('true')"), step("b", "df.shell('true')"))
    worker = Worker(engine)
    claim = worker.must_claim("shell")
    engine.rows("select df.cancel(%s)", instance)
    engine.work()
    assert engine.status(instance) == "cancelled"
    assert purge(engine) == NOTHING
    worker.call("fail_step", claim, '{"sqlstate": "57014"}')
    assert purge(engine)["instances"] == 1
    assert rows_of(engine, instance) == {}


def test_an_instance_that_is_to_run_again_stays(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1 / $params.x"), params={"x": 0})
    engine.rows("select df.retry_instance(%s)", instance)
    assert purge(engine) == NOTHING
    engine.work()
    assert purge(engine)["instances"] == 1


def test_an_instance_larger_than_a_transaction_goes_at_once_and_its_rows_in_shares(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1"))
    lines = "select df._now(), %s, 0, 1, 1, 1, 'stdout', 'x' from generate_series(1, 45000)"
    engine.rows(
        "insert into df._logs (at, instance_id, scope_id, step, attempt, token, stream, line) " + lines, instance
    )
    other = engine.run(step("a", "select 1"))
    engine.rows("call df.purge('0', max_seconds => 0)")
    assert rows_of(engine, instance) == {"_steps": 1, "_logs": 25000, "_purging": 1}
    assert engine.rows("select * from df.steps where instance_id = %s", instance) == []
    assert purge(engine)["instances"] == 1
    assert (rows_of(engine, instance), rows_of(engine, other)) == ({}, {})


def test_a_run_key_outlives_its_instance_by_a_time_of_its_own(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    start = "select df.start_workflow('w', run_key => 'monday')"
    first = engine.value(start)
    engine.work()
    ended = engine.value("select finished_at from df.instances")
    assert purge(engine, "'0', keep_keys => '7 days'") == NOTHING | {"instances": 1}
    assert engine.value(start) == first
    assert engine.rows("select * from df.instances") == []
    known = "select workflow, run_key, instance_id, status, purged_end_at from df.run_keys"
    assert engine.rows(known) == [("w", "monday", first, "completed", ended)]
    engine.pass_time("8 days")
    assert purge(engine, "'0', keep_keys => '7 days'") == NOTHING | {"run_keys": 1}
    second = engine.value(start)
    assert second != first
    assert engine.column("select instance_id from df.instances") == [second]


def test_a_key_of_an_instance_that_is_kept_is_never_forgotten(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    start = "select df.start_workflow('w', run_key => 'k')"
    first = engine.value(start)
    engine.work()
    engine.pass_time("1 day")
    assert purge(engine, "'2 days', keep_keys => '0'") == NOTHING
    assert engine.value(start) == first


def test_old_versions_and_their_plans_go_when_no_instance_has_them(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    first = engine.start("w")
    engine.define("w", step("a", "select 2"))
    engine.define("w", step("a", "select 3"))
    versions = "select version from df._workflow_versions order by 1"
    plans = "select count(*), (select count(distinct plan_id) from df._plan_steps) from df._plans"
    engine.define("other", step("a", "select 3"))
    assert purge(engine) == NOTHING | {"versions": 1, "plans": 1}
    assert (engine.column(versions), engine.rows(plans)) == ([1, 1, 3], [(2, 2)])
    engine.work()
    assert engine.status(first) == "completed"
    assert purge(engine) == NOTHING | {"instances": 1, "versions": 1, "plans": 1}
    assert (engine.column(versions), engine.rows(plans)) == ([1, 3], [(1, 1)])
    third = engine.start("w")
    engine.work()
    assert (engine.status(third), engine.result(third, "a")) == ("completed", [{"?column?": 3}])


def test_a_version_superseded_a_moment_ago_stays(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    engine.define("w", step("a", "select 2"))
    assert purge(engine, "'1 hour'") == NOTHING


def test_modules_that_no_version_pins_are_hidden_then_removed_and_come_back(engine: Engine) -> None:
    old = engine.value("select df.set_module('m', 'x = 1')")
    new = engine.value("select df.set_module('m', 'x = 2')")
    pinned = f""", modules => '{{"m": "sha256:{new}"}}'"""
    engine.define("w", step("a", "df.python('m:f')"), options=pinned)
    assert purge(engine) == NOTHING
    assert engine.column("select sha256 from df.modules") == [new]
    assert engine.value("select df.get_module('m', %s)", old) == "x = 1"
    engine.value("select df.set_module('m', 'x = 1')")
    assert set(engine.column("select sha256 from df.modules")) == {old, new}
    purge(engine)
    engine.pass_time("25 h")
    assert purge(engine) == NOTHING | {"modules": 1}
    assert engine.column("select sha256 from df._modules") == [new]


def test_a_module_that_is_pinned_again_is_seen_again(engine: Engine) -> None:
    old = engine.value("select df.set_module('m', 'x = 1')")
    purge(engine)
    assert engine.column("select sha256 from df.modules") == []
    engine.define("w", step("a", "df.python('m:f')"), options=f""", modules => '{{"m": "sha256:{old}"}}'""")
    assert engine.column("select sha256 from df.modules") == [old]
    engine.pass_time("25 h")
    assert purge(engine) == NOTHING


def test_one_workflow_or_one_namespace_can_be_purged(engine: Engine) -> None:
    for namespace, name in (("a", "one"), ("a", "two"), ("b", "one")):
        engine.rows(f"select set_config('df.namespace', '{namespace}', false)")
        engine.define(name, step("a", "select 1"))
        engine.start(name)
    engine.work()
    left = "select namespace || '/' || workflow from df.instances order by 1"
    assert purge(engine, "'0', 'one', 'a'")["instances"] == 1
    assert engine.column(left) == ["a/two", "b/one"]
    engine.rows("set df.namespace = 'b'")
    assert purge(engine, "'0', 'one'")["instances"] == 1
    assert engine.column(left) == ["a/two"]
    assert purge(engine, "'0', namespace => 'b'")["instances"] == 0
    assert purge(engine, "'0', namespace => 'a'")["instances"] == 1


def test_batches_and_time_are_bounded_and_the_next_call_goes_on(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    engine.rows("select df.start_workflow('w') from generate_series(1, 30)")
    engine.work()
    assert purge(engine, "'0', batch => 10, max_seconds => 0") == NOTHING | {"instances": 10, "is_over": False}
    assert engine.value("select count(*) from df.instances") == 20
    assert purge(engine, "'0', batch => 7") == NOTHING | {"instances": 20}


def test_what_an_old_snapshot_keeps_is_walked_over_once(engine: Engine, database: Database) -> None:
    engine.define("w", step("a", "select 1"))
    engine.rows("select df.start_workflow('w') from generate_series(1, 1000)")
    engine.work()
    read = "select idx_tup_read from pg_stat_user_indexes where indexrelname = '_instances_ended'"
    with database.connect(autocommit=False) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select count(*) from df.instances")
        engine.rows("select pg_stat_force_next_flush()")
        before = engine.value(read)
        assert purge(engine, "'0', batch => 20")["instances"] == 1000
        engine.rows("select pg_stat_force_next_flush()")
        assert engine.value(read) - before < 3500, "fifty batches, each from the beginning, would read 25,000"
        assert old.execute("select count(*) from df.instances").fetchone() == (1000,)


def test_it_is_told_who_purged_what(engine: Engine) -> None:
    engine.run(step("a", "select 1"))
    engine.rows("select set_config('df.actor', 'anna', false)")
    purge(engine)
    [(actor, detail)] = engine.rows("select actor, detail from df.events where kind = 'purged'")
    assert (actor, detail["instances"], detail["older_than"]) == ("anna", 1, "00:00:00")


def test_the_owner_and_operators_may_and_nobody_else(engine: Engine, people: People) -> None:
    _, user = people.user()
    role, operator = people.user()
    engine.rows("select df.grant_operator(%s)", role)
    user.begin(step("a", "select 1"))
    engine.work()
    said = ("PD403", "may not say what is kept")
    for statement in ("call df.purge('0')", "select * from df.purgeable('0')", "select df.set_retention('1 day')"):
        code, message, *_ = refused(user, statement)
        assert (code, message.partition(" ")[2]) == said
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        people.stranger()[1].rows("call df.purge('0')")
    assert engine.value("select count(*) from df.instances") == 1
    assert purge(operator)["instances"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", ("PD400", "nothing says how long finished instances are kept")),
        ("'-1 s'", ("PD400", "what ends in the future cannot be purged")),
        ("'0', batch => 0", ("PD400", "batch 0 is not between 1 and 10000")),
        ("'0', 'nothing'", ("PD404", "there is no workflow 'nothing' in namespace default")),
    ],
)
def test_what_makes_no_sense_is_refused(engine: Engine, options: str, said: tuple[str, str]) -> None:
    assert refused(engine, f"call df.purge({options})")[:2] == said


def test_it_cannot_run_inside_a_transaction_or_above_read_committed(engine: Engine, database: Database) -> None:
    with database.connect(autocommit=False) as connection:
        with pytest.raises(psycopg.errors.InvalidTransactionTermination):
            connection.execute("call df.purge('0')")
        connection.rollback()
        connection.execute("set transaction isolation level repeatable read")
        ask = 'select df._ask(\'purge\', \'{"older_than": "0", "max_seconds": 1}\')'
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(ask)
    assert caught.value.sqlstate == "PD500"


def test_a_database_that_defaults_to_serializable_is_purged_too(engine: Engine) -> None:
    engine.run(step("a", "select 1"))
    engine.rows("set default_transaction_isolation = serializable")
    assert purge(engine)["instances"] == 1
