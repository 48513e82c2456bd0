"""df.retry_instance: what failed runs again, and everything behind it; what is done stays done."""

from __future__ import annotations

import pytest
from engine_room import Engine, labels, refused, step


def mend(engine: Engine) -> None:
    engine.rows("update switch set is_mended = true")


def broken(engine: Engine) -> str:
    """SQL that fails until `mend`, and a table of what ran."""
    engine.rows("create table switch (is_mended boolean)")
    engine.rows("insert into switch values (false)")
    engine.rows("create table seen (key text)")
    return "insert into seen values ('{step}{map_index}'); select 1 / (select is_mended::int from switch) as n"


RAN = "insert into seen values ('{step}{map_index}'); select 1 as n"


def retry(engine: Engine, instance: str) -> None:
    assert engine.value("select df.retry_instance(%s, 'mended')", instance) == instance
    engine.work("idle_seconds => 0.3")
    engine.check(instance)


def seen(engine: Engine) -> list[str]:
    return [key.replace("-1", "") for key in engine.column("select key from seen order by key")]


def test_a_failed_step_and_what_follows_run_again_and_the_rest_does_not(engine: Engine) -> None:
    fails = broken(engine)
    instance = engine.run(
        step("a", RAN),
        step("b", fails, after="{a}"),
        step("c", RAN, after="{b}"),
        step("d", RAN, after="{b}", rule="all_done"),
        step("e", RAN, after="{a}"),
    )
    assert engine.states(instance) == {
        "a": "completed",
        "b": "failed",
        "c": "upstream_failed",
        "d": "completed",
        "e": "completed",
    }
    mend(engine)
    retry(engine, instance)
    assert engine.states(instance) == dict.fromkeys("abcde", "completed")
    assert engine.status(instance) == "completed"
    assert seen(engine) == ["a", "b", "c", "d", "d", "e"]
    attempts = "select key, generation, attempt, status from df.attempts where key in ('b', 'd') order by 1, 2, 3"
    assert engine.rows(attempts) == [
        ("b", 1, 1, "failed"),
        ("b", 2, 2, "completed"),
        ("d", 1, 1, "completed"),
        ("d", 2, 2, "completed"),
    ]
    assert engine.rows("select kind, reason from df.events where kind = 'retry'") == [("retry", "mended")]


def test_a_step_that_fails_again_has_all_its_tries_again(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1 / 0", retries="1", retry_delay="0 s"))
    engine.work()
    retry(engine, instance)
    engine.work()
    engine.check(instance)
    assert engine.rows("select status, attempt, max_attempts from df.steps") == [("failed", 4, 4)]
    assert engine.column("select attempt from df.attempts order by 1") == [1, 2, 3, 4]


def test_only_the_failed_items_of_a_map_run_again(engine: Engine) -> None:
    broken(engine)
    fails = "select 1 / case when $item.n = 2 or (select is_mended from switch) then 1 else 0 end as n"
    instance = engine.run(
        step("src", "select g as n from generate_series(1, 3) g"),
        step("each", fails, each="src"),
        step("other", RAN),
        step("sum", "select sum(n) as s from $each.*", after="{each,other}"),
    )
    assert engine.states(instance) == {
        "src": "completed",
        "each": "failed",
        "each[0]": "failed",
        "each[1]": "completed",
        "each[2]": "failed",
        "other": "completed",
        "sum": "upstream_failed",
    }
    mend(engine)
    retry(engine, instance)
    assert engine.result(instance, "sum") == [{"s": 3}]
    tries = "select key || coalesce(map_index::text, ''), attempt from df.steps where key in ('each', 'other')"
    assert dict(engine.rows(tries)) == {"each": 0, "each0": 2, "each1": 1, "each2": 2, "other": 1}
    assert seen(engine) == ["other"]
    assert engine.status(instance) == "completed"


def test_a_map_behind_a_failed_source_opens_anew(engine: Engine) -> None:
    fails = broken(engine)
    instance = engine.run(
        step("src", fails),
        step("each", "select $item.n as m", each="src"),
        step("sum", "select sum(m) as s from $each.*", after="{each}"),
    )
    assert engine.states(instance) == {"src": "failed", "each": "upstream_failed", "sum": "upstream_failed"}
    mend(engine)
    retry(engine, instance)
    assert engine.states(instance) == {
        "src": "completed",
        "each": "completed",
        "each[0]": "completed",
        "sum": "completed",
    }


def test_a_large_map_with_failed_items_counts_right_after_a_retry(engine: Engine) -> None:
    broken(engine)
    fails = "select 1 / case when $item.n % 50 <> 0 or (select is_mended from switch) then 1 else 0 end as n"
    instance = engine.run(
        step("src", "select g as n from generate_series(1, 100) g"),
        step("each", fails, each="src"),
        step("sum", "select sum(n) as s from $each.*", after="{each}"),
    )
    assert engine.status(instance) == "failed"
    mend(engine)
    retry(engine, instance)
    assert engine.result(instance, "sum") == [{"s": 100}]
    assert engine.states(instance) == {
        "src": "completed",
        "each": "completed",
        **labels("each", range(100)),
        "sum": "completed",
    }


def test_a_large_fan_in_counts_right_after_a_retry(engine: Engine) -> None:
    fails = broken(engine)
    many = [step(f"s{n}", fails if n % 40 == 0 else "select 1") for n in range(100)]
    keys = ",".join(f"s{n}" for n in range(100))
    instance = engine.run(*many, step("join", "select 1", after=f"{{{keys}}}"))
    mend(engine)
    retry(engine, instance)
    assert set(engine.states(instance).values()) == {"completed"}
    assert engine.status(instance) == "completed"


def test_a_large_fan_out_ends_after_a_retry(engine: Engine) -> None:
    fails = broken(engine)
    instance = engine.run(*(step(f"s{n}", fails if n % 40 == 0 else "select 1") for n in range(100)))
    mend(engine)
    retry(engine, instance)
    assert engine.status(instance) == "completed"


def test_a_step_that_the_branch_skipped_stays_skipped(engine: Engine) -> None:
    fails = broken(engine)
    instance = engine.run(
        step("choose", "df.branch('select ''yes''')"),
        step("yes", "select 1", after="{choose}"),
        step("bad", fails),
        step("no", RAN, after="{choose,bad}", rule="all_done"),
        step("end", "select 1", after="{yes,no,bad}", rule="none_failed_min_one_success"),
    )
    assert engine.states(instance) == {
        "choose": "completed",
        "yes": "completed",
        "bad": "failed",
        "no": "skipped",
        "end": "upstream_failed",
    }
    mend(engine)
    retry(engine, instance)
    assert engine.states(instance) == {
        "choose": "completed",
        "yes": "completed",
        "bad": "completed",
        "no": "skipped",
        "end": "completed",
    }


def test_a_branch_that_failed_decides_anew(engine: Engine) -> None:
    broken(engine)
    query = "select case when 1 / (select is_mended::int from switch) = 1 then 'b' end"
    instance = engine.run(
        step("choose", f"df.branch('{query.replace(chr(39), chr(39) * 2)}')"),
        step("a", RAN, after="{choose}"),
        step("b", RAN, after="{choose}"),
    )
    assert engine.states(instance) == {"choose": "failed", "a": "upstream_failed", "b": "upstream_failed"}
    mend(engine)
    retry(engine, instance)
    assert engine.states(instance) == {"choose": "completed", "a": "skipped", "b": "completed"}


def test_an_early_rule_counts_right_after_a_retry(engine: Engine) -> None:
    fails = broken(engine)
    instance = engine.run(
        step("good", "select 1"),
        step("bad", fails),
        step("one", RAN, after="{good,bad}", rule="one_success"),
        step("always", RAN, after="{good,bad}", rule="always"),
        step("strict", RAN, after="{one,always,bad}"),
    )
    mend(engine)
    retry(engine, instance)
    assert engine.states(instance) == dict.fromkeys(("good", "bad", "one", "always", "strict"), "completed")
    assert engine.status(instance) == "completed"


def test_a_cancelled_instance_goes_on_where_it_was_steps_never_reached_included(engine: Engine) -> None:
    engine.rows("create table seen (key text)")
    instance = engine.begin(
        step("a", RAN),
        step("b", "select 1 / 0", retries="5"),
        step("c", RAN, after="{a,b}"),
        step("d", RAN, after="{c}"),
        step("e", after="{d}"),
    )
    engine.work()
    engine.rows("select df.cancel(%s)", instance)
    engine.work()
    assert engine.states(instance) == dict.fromkeys("bcde", "cancelled") | {"a": "completed"}
    retry(engine, instance)
    assert engine.states(instance) == {
        "a": "completed",
        "b": "retrying",
        "c": "waiting",
        "d": "waiting",
        "e": "waiting",
    }
    assert seen(engine) == ["a"]


def test_an_instance_cancelled_before_its_first_step_runs_after_all(engine: Engine) -> None:
    instance = engine.begin(
        step("src", "select g as n from generate_series(1, 2) g"),
        step("each", "select $item.n as n", each="src"),
        step("z", after="{each}"),
    )
    engine.rows("select df.cancel(%s)", instance)
    engine.work()
    retry(engine, instance)
    assert engine.states(instance) == {
        "src": "completed",
        "each": "completed",
        "each[0]": "completed",
        "each[1]": "completed",
        "z": "completed",
    }


def test_a_map_cancelled_half_way_keeps_its_finished_items(engine: Engine) -> None:
    engine.rows("create table seen (key text)")
    instance = engine.begin(
        step("src", "select g as n from generate_series(1, 3) g"),
        step("each", RAN + " where 1 / ($item.n - 2) is not null", each="src", retries="5"),
        step("z", "select count(*) as c from $each.*", after="{each}"),
    )
    engine.work()
    engine.rows("select df.cancel(%s)", instance)
    engine.work()
    assert engine.states(instance) == {
        "src": "completed",
        "each": "cancelled",
        "each[0]": "completed",
        "each[1]": "cancelled",
        "each[2]": "completed",
        "z": "cancelled",
    }
    retry(engine, instance)
    assert engine.states(instance) == {
        "src": "completed",
        "each": "running",
        "each[0]": "completed",
        "each[1]": "retrying",
        "each[2]": "completed",
        "z": "waiting",
    }
    assert seen(engine) == ["each0", "each2"]


@pytest.mark.parametrize("server", [18], indirect=True)
def test_a_skip_cascade_cut_by_a_cancel_goes_on(engine: Engine) -> None:
    engine.rows(
        "select df.create_workflow('chain', steps => array[df.step('choose', df.branch('select null'))]"
        " || array(select df.step('s' || g, 'select 1',"
        " after => array[case when g > 1 then 's' || (g - 1) else 'choose' end]) from generate_series(1, 2500) g))"
    )
    instance = engine.start("chain")
    engine.work("max_seconds => 0")
    engine.rows("select df.cancel(%s)", instance)
    # the command of the person is older than the cascade's next part
    engine.work()
    if engine.status(instance) == "cancelled":
        retry(engine, instance)
    counts = "select status, count(*) from df.steps where instance_id = %s group by 1 order by 1"
    assert engine.rows(counts, instance) == [("completed", 1), ("skipped", 2500)]
    assert engine.status(instance) == "completed"


def test_what_did_not_fail_cannot_be_retried(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    assert refused(engine, "select df.retry_instance(%s)", instance) == (
        "PD409",
        f"instance {instance} is still pending",
        None,
        f"Cancel it first: select df.cancel('{instance}')",
    )
    engine.work()
    assert refused(engine, "select df.retry_instance(%s)", instance) == (
        "PD409",
        f"instance {instance} is completed; nothing in it failed",
        None,
        "Start a new instance.",
    )


def test_cancel_and_retry_in_one_transaction_mean_both(engine: Engine) -> None:
    instance = engine.begin(step("a", "select 1"))
    with engine.connection.transaction():
        engine.rows("select df.cancel(%s)", instance)
        engine.rows("select df.retry_instance(%s)", instance)
    engine.work("idle_seconds => 0.3")
    engine.check(instance)
    assert engine.status(instance) == "completed"
