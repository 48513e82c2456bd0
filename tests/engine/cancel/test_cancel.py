"""df.cancel: before, while and after an instance runs."""

from __future__ import annotations

import threading

from engine_room import Engine, refused, step


def cancel(engine: Engine, instance: str) -> None:
    assert engine.value("select df.cancel(%s, 'enough')", instance) == f"Instance {instance} cancelled"


def test_an_instance_cancelled_before_it_runs_does_nothing(engine: Engine) -> None:
    engine.rows("create table seen ()")
    instance = engine.begin(step("a", "insert into seen default values"), step("b", "select 1", after="{a}"))
    cancel(engine, instance)
    assert engine.rows("select status, is_cancelling from df.instances") == [("pending", True)]
    engine.work()
    assert engine.rows("select status, is_cancelling from df.instances") == [("cancelled", False)]
    assert engine.states(instance) == {"a": "cancelled", "b": "cancelled"}
    assert engine.rows("select * from seen") == []
    events = "select kind, actor, reason from df.events where kind = 'cancel'"
    assert engine.rows(events) == [("cancel", "pgdurable", "enough")]


def test_a_cancel_that_is_rolled_back_never_was(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    with engine.connection.transaction(force_rollback=True):
        cancel(engine, instance)
    engine.work()
    assert engine.status(instance) == "completed"


def test_a_cancel_locks_nothing_that_the_engine_needs(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"), step("b", "select 1", after="{a}"))
    with engine.connection.__class__.connect(engine.connection.info.dsn) as other:
        other.execute("select df.cancel(%s)", [instance])
        engine.work()
        assert engine.status(instance) == "completed"


def test_a_running_step_is_stopped_its_effects_undone_and_nothing_follows(engine: Engine) -> None:
    engine.rows("create table seen ()")
    instance = engine.begin(
        step("a", "insert into seen default values; select pg_sleep(60)"),
        step("b", "select 1", after="{a}", rule="all_done"),
    )
    connect = engine.connection.__class__.connect
    dsn = engine.connection.info.dsn

    def session() -> None:
        with connect(dsn, autocommit=True) as connection:
            connection.execute("call df.work()")

    thread = threading.Thread(target=session)
    thread.start()
    while engine.rows("select 1 from df.running where pid is not null") == []:
        assert thread.is_alive()
    cancel(engine, instance)
    while thread.is_alive():
        engine.work()
        engine.rows("call df.tick()")
        engine.rows("select df.signal_stops()")
        thread.join(0.2)
    assert engine.status(instance) == "cancelled"
    assert engine.states(instance) == {"a": "cancelled", "b": "cancelled"}
    assert engine.rows("select * from seen") == []
    assert engine.rows("select * from df._stops") == []
    assert engine.rows("select attempt, status, error ->> 'sqlstate' from df.attempts") == [(0, "cancelled", "PD499")]


def test_retrying_and_mapped_steps_are_cancelled_where_they_wait(engine: Engine) -> None:
    instance = engine.begin(
        step("src", "select g as n from generate_series(1, 3) g"),
        step("each", "df.python('m:f')", each="src"),
        step("again", "select 1 / 0", retries="3"),
    )
    engine.work()
    cancel(engine, instance)
    engine.work()
    assert engine.states(instance) == {
        "src": "completed",
        "each": "cancelled",
        "each[0]": "cancelled",
        "each[1]": "cancelled",
        "each[2]": "cancelled",
        "again": "cancelled",
    }
    engine.pass_time("1 hour")
    assert engine.work() == 0


def test_a_finished_instance_cannot_be_cancelled(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1"))
    assert refused(engine, "select df.cancel(%s)", instance) == (
        "PD409",
        f"instance {instance} is already completed",
        None,
        None,
    )
    again = engine.begin(step("a", "select 1"))
    cancel(engine, again)
    cancel(engine, again)
    engine.work()
    assert refused(engine, "select df.cancel(%s)", again)[1] == f"instance {again} is already cancelled"


def test_an_instance_is_found_by_the_first_digits_of_its_name(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    assert engine.value("select df.cancel(%s)", instance[:6]) == f"Instance {instance} cancelled"
    assert refused(engine, "select df.cancel('ffffffffffff')") == (
        "PD404",
        "there is no instance ffffffffffff",
        None,
        None,
    )
    assert refused(engine, "select df.cancel('abc')") == (
        "PD400",
        "'abc' is no instance id",
        None,
        "Twelve hex digits, or the first four or more.",
    )
    assert refused(engine, "select df.cancel(null)")[:2] == ("PD400", "null is no instance id")


def obey(engine: Engine) -> None:
    """Work until no command waits: a call looks for them at intervals."""
    while engine.rows("select 1 from df._commands") != []:
        engine.work("idle_seconds => 0.3")


def events(engine: Engine) -> list[tuple[object, ...]]:
    return engine.rows(
        "select kind, reason, detail from df.events where kind similar to '(cancel|retry)%' order by event_id"
    )


def test_a_cancel_takes_back_a_retry_that_waits(engine: Engine) -> None:
    engine.rows("create table seen ()")
    instance = engine.run(step("a", "insert into seen default values; select 1 / 0"))
    before = engine.rows("select * from df.instances"), engine.rows("select * from df.steps")
    engine.value("select df.retry_instance(%s, 'again')", instance)
    cancel(engine, instance)
    assert refused(engine, "select df.cancel(%s)", instance)[1] == f"instance {instance} is already failed"
    obey(engine)
    engine.check(instance)
    assert (engine.rows("select * from df.instances"), engine.rows("select * from df.steps")) == before
    assert engine.rows("select * from df._commands") == []
    assert events(engine) == [
        ("retry_refused", "again", {"answer": "taken back by a cancel"}),
        ("cancel", "enough", None),
    ]


def test_a_retry_behind_the_cancel_that_took_one_back_runs(engine: Engine) -> None:
    engine.rows("create table broken (yes boolean)")
    instance = engine.run(step("a", "select 1 / (select 1 - count(*) from broken where yes)"))
    assert engine.status(instance) == "completed"
    engine.rows("insert into broken values (true)")
    instance = engine.run(step("b", "select 1 / (select 1 - count(*) from broken where yes)"))
    assert engine.status(instance) == "failed"
    engine.rows("delete from broken")
    for call in ("retry_instance", "retry_instance", "cancel", "retry_instance"):
        engine.value(f"select df.{call}(%s, null)", instance)
    obey(engine)
    assert engine.status(instance) == "completed"
    assert [kind for kind, *_ in events(engine)] == ["retry_refused", "retry_refused", "cancel", "retry"]


def test_a_cancel_of_a_retry_under_way_cancels_the_instance(engine: Engine) -> None:
    """The retry was waiting when the cancel was asked for, and was obeyed before that was committed."""
    instance = engine.run(step("a", "select 1 / 0", retries="1", retry_delay="1 hour"))
    engine.pass_time("2 hours")
    engine.work()
    assert engine.status(instance) == "failed"
    engine.value("select df.retry_instance(%s)", instance)
    with engine.connection.__class__.connect(engine.connection.info.dsn) as other:
        other.execute("select df.cancel(%s, 'enough')", [instance])
        obey(engine)
        assert engine.states(instance) == {"a": "retrying"}
        other.commit()
    obey(engine)
    assert (engine.status(instance), engine.states(instance)) == ("cancelled", {"a": "cancelled"})
    assert [kind for kind, *_ in events(engine)] == ["retry", "cancel"]


def test_a_cancel_sees_only_a_retry_that_is_committed_or_its_own(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1 / 0"))
    with engine.connection.__class__.connect(engine.connection.info.dsn) as other:
        other.execute("select df.retry_instance(%s)", [instance])
        assert refused(engine, "select df.cancel(%s)", instance)[1] == f"instance {instance} is already failed"
        other.execute("select df.cancel(%s)", [instance])
        other.commit()
        obey(engine)
        assert [kind for kind, *_ in events(engine)] == ["retry_refused", "cancel"]
        engine.value("select df.retry_instance(%s)", instance)
        other.execute("select df.cancel(%s)", [instance])
        other.rollback()
    obey(engine)
    assert [kind for kind, *_ in events(engine)] == ["retry_refused", "cancel", "retry"]
    assert engine.status(instance) == "failed"
