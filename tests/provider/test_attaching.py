"""Whatever brings a task back, it finds the instance that is there: the engine's memory alone, without Airflow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pgdurable_airflow.provider.attaching import (
    Order,
    attach,
    was_ended_by_earlier_try,
)
from pgdurable_airflow.provider.identity import TaskRun, ends
from server import Database

from pgdurable_core.engine import Client
from pgdurable_core.errors import ConflictError, DefinitionError, NotFoundError

FIRST = TaskRun("orders", "manual__2026", "load", -1, 1, 1, 1)
DOCUMENT = {
    "pgdurable_graph": 1,
    "steps": [
        {"key": "first", "run": {"kind": "sql", "sql": "insert into done values ('first')"}},
        {"key": "second", "after": ["first"], "run": {"kind": "sql", "sql": "select 1 / count(*) from gate"}},
    ],
}
ORDER = Order("airflow.orders.load", "default", {}, document=DOCUMENT)


@pytest.fixture
def engine(client: Client) -> Client:
    client.connection.execute("create table done (what text); create table gate (n int)")
    return client


def work(client: Client) -> None:
    client.connection.execute("call df.work()")


def open_the_gate(client: Client) -> None:
    client.connection.execute("insert into gate values (1)")


def done(client: Client) -> int:
    ((count,),) = client.connection.execute("select count(*) from done").fetchall()
    return int(count)


def later(run: TaskRun, tries: int = 1) -> TaskRun:
    return replace(run, try_number=run.try_number + tries)


def cleared(run: TaskRun) -> TaskRun:
    """Clear a task after a try, as Airflow does: the next try, and as many retries again."""
    return replace(run, try_number=run.try_number + 1, max_tries=run.try_number + run.retries)


def test_the_first_try_starts_and_every_other_one_finds_it(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST)
    others = [attach(engine, ORDER, later(FIRST, tries)) for tries in (0, 1, 5)]
    assert (one.how, [other.how for other in others]) == ("started", ["attached"] * 3)
    assert {other.awaited for other in others} == {one.awaited}
    assert len(engine.open_instances()) == 1


def test_two_workers_at_once_start_one_instance(engine: Client, database: Database) -> None:
    engine.define(ORDER.workflow, DOCUMENT)
    named = replace(ORDER, document=None)
    with database.connect() as elsewhere, engine.connection.transaction():
        one = attach(engine, named, FIRST)
        elsewhere.execute("set lock_timeout = '200ms'")
        with pytest.raises(Exception, match="lock timeout"):
            attach(Client(elsewhere), named, later(FIRST))
    assert attach(engine, named, later(FIRST)).awaited == one.awaited


def test_what_failed_is_continued_and_what_completed_stays(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST).awaited
    work(engine)
    assert engine.instance(one.instance_id).status == "failed"
    open_the_gate(engine)
    again = attach(engine, ORDER, later(FIRST))
    before = engine.progress([one.instance_id])[one.instance_id]
    assert (again.how, again.awaited.instance_id, again.awaited.has_come(before)) == (
        "continued",
        one.instance_id,
        False,
    )
    work(engine)
    after = engine.progress([one.instance_id])[one.instance_id]
    assert (after.status, again.awaited.has_come(after), done(engine)) == ("completed", True, 1)


def test_a_cancel_that_is_not_yet_processed_is_continued_too(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST).awaited
    open_the_gate(engine)
    engine.cancel(one.instance_id, ends(1))
    again = attach(engine, ORDER, later(FIRST))
    assert again.how == "continued"
    engine.connection.execute("call df.work(idle_seconds => 1)")
    row = engine.progress([one.instance_id])[one.instance_id]
    assert (row.status, again.awaited.has_come(row)) == ("completed", True)


def test_a_cancel_of_an_earlier_try_that_comes_late_is_told_from_a_persons(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST).awaited
    second = later(FIRST)
    assert attach(engine, ORDER, second).how == "attached"
    engine.cancel(one.instance_id, ends(1))
    work(engine)
    assert was_ended_by_earlier_try(engine, one.instance_id, second)
    assert not was_ended_by_earlier_try(engine, one.instance_id, FIRST)

    other = attach(engine, ORDER, replace(FIRST, run_id="other")).awaited
    engine.cancel(other.instance_id, "by hand")
    work(engine)
    assert not was_ended_by_earlier_try(engine, other.instance_id, second)


def test_a_result_that_was_lost_on_the_way_is_taken_and_nothing_runs(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST).awaited
    open_the_gate(engine)
    work(engine)
    again = attach(engine, ORDER, later(FIRST))
    assert (again.how, again.awaited) == ("ended", one)
    # The DAG file was changed meanwhile: fewer or more retries make no clear of it.
    assert {attach(engine, ORDER, replace(later(FIRST), retries=retries)).how for retries in (0, 5)} == {"ended"}
    assert done(engine) == 1


def test_a_task_that_was_cleared_after_its_instance_had_completed_runs_again_once(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST).awaited
    open_the_gate(engine)
    work(engine)
    second = cleared(FIRST)
    new = attach(engine, ORDER, second)
    assert (new.how, new.awaited.instance_id != one.instance_id) == ("started", True)
    assert attach(engine, ORDER, later(second)).awaited == new.awaited
    work(engine)
    assert attach(engine, ORDER, later(second)).how == "ended"
    third = attach(engine, ORDER, cleared(later(second)))
    assert third.how == "started"
    keys = sorted(str(row.run_key) for row in engine.instances_of(ORDER.workflow))
    assert keys == ["orders/manual__2026/load", "orders/manual__2026/load@2", "orders/manual__2026/load@3"]


def test_a_clear_that_continued_a_failure_is_not_mistaken_for_one_after_its_end(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST).awaited
    work(engine)
    open_the_gate(engine)
    second = cleared(FIRST)
    assert attach(engine, ORDER, second).how == "continued"
    work(engine)
    # Airflow lost the worker of that try, and asks again.
    again = attach(engine, ORDER, later(second))
    assert (again.how, again.awaited.instance_id, done(engine)) == ("ended", one.instance_id, 1)


def test_a_refused_retry_is_an_end_too(engine: Client) -> None:
    one = attach(engine, ORDER, FIRST).awaited
    work(engine)
    again = attach(engine, ORDER, later(FIRST)).awaited
    engine.connection.execute(
        "insert into df._events (instance_id, kind, actor, submitted_by) select instance_id, 'retry_refused', 'engine',"
        " submitted_by from df._instances"
    )
    row = engine.progress([one.instance_id])[one.instance_id]
    assert (row.status, row.generation, again.has_come(row)) == ("failed", one.generation, True)


def test_a_purged_instance_is_run_again_for_a_clear_alone(engine: Client) -> None:
    engine.define(ORDER.workflow, DOCUMENT)
    open_the_gate(engine)
    attach(engine, ORDER, FIRST)
    work(engine)
    engine.connection.execute("delete from df._instances")
    with pytest.raises(ConflictError, match="was purged; how it ended is not known any more") as refused:
        attach(engine, ORDER, later(FIRST))
    assert refused.value.hint == "Clear the task to run it again."
    assert attach(engine, ORDER, cleared(FIRST)).how == "started"


def test_the_same_definition_makes_no_new_version(engine: Client) -> None:
    for number in range(3):
        attach(engine, ORDER, replace(FIRST, run_id=str(number)))
    assert [row.version for row in engine.workflows()] == [1]
    other = {**DOCUMENT, "steps": DOCUMENT["steps"][:1]}
    attach(engine, replace(ORDER, document=other), replace(FIRST, run_id="changed"))
    assert [row.version for row in engine.workflows()] == [2]


def test_what_is_refused_leaves_nothing_behind(engine: Client) -> None:
    with pytest.raises(NotFoundError, match="no step 'third'") as refused:
        attach(engine, replace(ORDER, result_step="third"), FIRST)
    assert refused.value.hint == "Its steps: first, second"
    with pytest.raises(DefinitionError):
        attach(engine, replace(ORDER, document={"pgdurable_graph": 1, "steps": []}), FIRST)
    assert (engine.workflows(), engine.open_instances()) == ([], [])
