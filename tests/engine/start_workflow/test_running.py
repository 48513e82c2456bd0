"""df.start_workflow, and how an instance runs to its end whatever its shape."""

from __future__ import annotations

import json

import pytest
from engine_room import Engine, labels, refused, step

COMPLETED = "completed"


def test_a_chain_runs_in_order(engine: Engine) -> None:
    instance = engine.run(
        step("a", "select 1 as n"),
        step("b", "select $a.n + 1 as n", after="{a}"),
        step("c", "select $b.n + 1 as n", after="{b}"),
    )
    assert engine.status(instance) == COMPLETED
    assert [engine.result(instance, key) for key in "abc"] == [[{"n": 1}], [{"n": 2}], [{"n": 3}]]


def test_a_diamond_joins_once(engine: Engine) -> None:
    engine.rows("create table seen (key text)")
    run = "insert into seen values ('{step}')"
    instance = engine.run(
        step("a", run),
        step("b", run, after="{a}"),
        step("c", run, after="{a}"),
        step("d", run, after="{b,c}"),
        step("e", after="{d}"),
    )
    assert engine.states(instance) == dict.fromkeys("abcde", COMPLETED)
    assert sorted(engine.column("select key from seen")) == ["a", "b", "c", "d"]


def test_an_instance_of_empty_steps_ends_when_it_starts(engine: Engine) -> None:
    instance = engine.begin(step("a"), step("b", after="{a}"), step("c", after="{a,b}"))
    engine.check(instance)
    assert (engine.status(instance), engine.states(instance)) == (COMPLETED, dict.fromkeys("abc", COMPLETED))
    assert engine.work() == 0


def test_the_end_is_failed_only_when_a_sink_is(engine: Engine) -> None:
    instance = engine.run(
        step("bad", "select 1 / 0"),
        step("strict", "select 1", after="{bad}"),
        step("done", "select 1", after="{bad,strict}", rule="all_done"),
    )
    assert engine.states(instance) == {"bad": "failed", "strict": "upstream_failed", "done": COMPLETED}
    assert engine.status(instance) == COMPLETED


def test_every_rule_decides_what_airflow_decides(engine: Engine) -> None:
    rules = {
        "all_success": "upstream_failed",
        "all_failed": "skipped",
        "all_done": COMPLETED,
        "all_done_min_one_success": "skipped",
        "one_success": COMPLETED,
        "one_failed": COMPLETED,
        "one_done": COMPLETED,
        "none_failed": "upstream_failed",
        "none_failed_min_one_success": "upstream_failed",
        "none_skipped": "skipped",
        "all_skipped": "skipped",
        "always": COMPLETED,
    }
    instance = engine.run(
        step("good", "select 1"),
        step("bad", "select 1 / 0"),
        step("choose", "df.branch('select null')"),
        step("skipped", "select 1", after="{choose}"),
        *(step(rule, "select 1", after="{good,bad,skipped}", rule=rule) for rule in rules),
    )
    assert {key: state for key, state in engine.states(instance).items() if key in rules} == rules
    assert engine.status(instance) == "failed"


def test_a_step_decided_early_runs_before_its_other_upstreams(engine: Engine) -> None:
    instance = engine.begin(
        step("fast", "select 1"),
        step("slow", "df.python('m:f')"),
        step("early", "select 1", after="{fast,slow}", rule="one_success"),
        step("late", "select 1", after="{early}"),
    )
    engine.work()
    assert engine.states(instance) == {"fast": COMPLETED, "slow": "ready", "early": COMPLETED, "late": COMPLETED}
    assert engine.status(instance) == "running"
    worker = engine.value("select df.register_worker('w', 'h', 1, '0')")
    claim = engine.value("select df.claim_step(%s, '{python}')", worker)
    engine.rows("select df.complete_step(%s, 0, %s, %s, '1')", instance, claim["step"], claim["token"])
    engine.check(instance)
    assert engine.status(instance) == COMPLETED


def test_a_wide_fan_in_counts_every_arrival_under_every_rule(engine: Engine) -> None:
    rules = {"all_success": "upstream_failed", "all_done": COMPLETED, "none_failed_min_one_success": "upstream_failed"}
    many = [step(f"s{n}", "select 1 / 0" if n == 7 else "select 1") for n in range(150)]
    keys = ",".join(f"s{n}" for n in range(150))
    instance = engine.run(
        *many,
        *(step(rule, "select 1", after=f"{{{keys}}}", rule=rule) for rule in rules),
        *(step(f"after_{rule}", "select 1", after=f"{{{rule}}}") for rule in rules),
    )
    states = {f"s{n}": "failed" if n == 7 else COMPLETED for n in range(150)}
    after = {f"after_{rule}": state for rule, state in rules.items()}
    assert engine.states(instance) == {**states, **rules, **after}


def test_many_sinks_end_once(engine: Engine) -> None:
    instance = engine.run(step("root", "select 1"), *(step(f"s{n}", "select 1", after="{root}") for n in range(150)))
    assert engine.status(instance) == COMPLETED
    assert set(engine.states(instance).values()) == {COMPLETED}


CHAIN = """
select df.create_workflow('chain', steps => array[df.step('choose', df.branch('select ''other'''))]
    || df.step('other', 'select 1', after => '{choose}')
    || array(select df.step('s' || g, 'select 1', after => array[case when g > 1 then 's' || (g - 1) else 'choose' end])
             from generate_series(1, 3000) g)
    || df.step('end', 'select 1', after => '{s3000,other}', rule => 'none_failed_min_one_success'))
"""


def test_a_skip_runs_down_three_thousand_steps_in_bounded_transactions(engine: Engine) -> None:
    engine.rows(CHAIN)
    instance = engine.start("chain")
    engine.work()
    engine.check(instance)
    counts = "select status, count(*) from df.steps where instance_id = %s group by 1 order by 1"
    assert engine.rows(counts, instance) == [(COMPLETED, 3), ("skipped", 3000)]
    # no transaction wrote them all
    assert engine.value("select max(n) < 2500 from (select count(*) n from df._steps group by enq::text) x")


@pytest.mark.parametrize("server", [18], indirect=True)
def test_a_failure_runs_down_three_thousand_steps(engine: Engine) -> None:
    engine.rows(CHAIN.replace("df.branch('select ''other''')", "'select 1 / 0'"))
    instance = engine.start("chain")
    engine.work()
    engine.check(instance)
    counts = "select status, count(*) from df.steps where instance_id = %s group by 1 order by 1"
    assert engine.rows(counts, instance) == [("failed", 1), ("upstream_failed", 3002)]


@pytest.mark.parametrize("count", [1, 3, 200, 1000])
def test_a_mapped_step_runs_once_per_row_and_gathers_in_order(engine: Engine, count: int) -> None:
    engine.rows("create table seen (n int)")
    instance = engine.run(
        step("src", f"select g as n from generate_series(1, {count}) g"),
        step("each", "insert into seen values ($item.n) returning n, {map_index} as i", each="src"),
        step("reduce", "select count(*) as c, sum(n) as s, bool_and(i = n - 1) as ok from $each.*", after="{each}"),
    )
    assert engine.states(instance) == {
        "src": COMPLETED,
        "each": COMPLETED,
        **labels("each", range(count)),
        "reduce": COMPLETED,
    }
    assert engine.result(instance, "reduce") == [{"c": count, "s": count * (count + 1) // 2, "ok": True}]
    assert engine.rows("select count(*), count(distinct n) from seen") == [(count, count)]


def test_a_map_over_nothing_is_skipped_and_so_is_what_follows(engine: Engine) -> None:
    instance = engine.run(
        step("src", "select 1 as n where false"),
        step("each", "select $item.n", each="src"),
        step("strict", "select 1", after="{each}"),
        step("loose", "select 1", after="{each}", rule="all_done"),
    )
    assert engine.states(instance) == {"src": COMPLETED, "each": "skipped", "strict": "skipped", "loose": COMPLETED}


def test_a_map_over_a_map_takes_all_its_rows(engine: Engine) -> None:
    instance = engine.run(
        step("src", "select g as n from generate_series(1, 3) g"),
        step("each", "select $item.n * 10 + g as m from generate_series(1, 2) g", each="src"),
        step("again", "select $item.m as m", each="each"),
        step("sum", "select sum(m) as s from $again.*", after="{again}"),
    )
    assert [rows[0]["m"] for rows in engine.results(instance, "again")] == [11, 12, 21, 22, 31, 32]
    assert engine.result(instance, "sum") == [{"s": 129}]


def test_a_failed_item_counts_as_one_failed_upstream_among_the_others(engine: Engine) -> None:
    rules = {
        "all_success": "upstream_failed",
        "all_done": COMPLETED,
        "one_success": COMPLETED,
        "one_failed": COMPLETED,
        "all_failed": "skipped",
        "none_failed_min_one_success": "upstream_failed",
    }
    instance = engine.run(
        step("src", "select g as n from generate_series(0, 2) g"),
        step("each", "select 1 / $item.n", each="src"),
        step("other", "select 1"),
        *(step(rule, "select 1", after="{each,other}", rule=rule) for rule in rules),
    )
    assert engine.states(instance) == {
        "src": COMPLETED,
        "each": "failed",
        "each[0]": "failed",
        "each[1]": COMPLETED,
        "each[2]": COMPLETED,
        "other": COMPLETED,
        **rules,
    }


def test_a_map_whose_source_was_skipped_or_failed_is_not_opened(engine: Engine) -> None:
    instance = engine.run(
        step("choose", "df.branch('select ''x''')"),
        step("x", "select 1", after="{choose}"),
        step("gone", "select 1 as n", after="{choose}"),
        step("over_gone", "select $item.n", each="gone"),
        step("over_gone_anyway", "select 1", each="gone", rule="all_done"),
        step("bad", "select 1 / 0 as n"),
        step("over_bad", "select $item.n", each="bad"),
        step("over_bad_anyway", "select 1", each="bad", rule="all_done"),
    )
    states = engine.states(instance)
    assert [states[key] for key in ("over_gone", "over_gone_anyway", "over_bad", "over_bad_anyway")] == [
        "skipped",
        "skipped",
        "upstream_failed",
        "failed",
    ]


def test_a_map_over_what_is_no_list_and_a_map_too_long_fail_with_words(engine: Engine) -> None:
    engine.rows("update df._engine set max_map_length = 2")
    instance = engine.run(
        step("ddl", "create table made ()"),
        step("over_ddl", "select 1", each="ddl"),
        step("long", "select generate_series(1, 3) as n"),
        step("over_long", "select 1", each="long"),
    )
    assert engine.error(instance, "over_ddl")["message"] == (
        "step over_ddl has nothing to map over: the result of its source is empty"
    )
    assert engine.error(instance, "over_long") == {
        "sqlstate": "PD413",
        "message": "step over_long would open 3 items; the limit is 2",
    }


def test_a_step_is_tried_again_after_its_delay_and_no_sooner(engine: Engine) -> None:
    engine.rows("create sequence tries")
    instance = engine.run(
        step("a", "select 1 / (nextval('tries') / 3) as n, {try_number} as t", retries="2", retry_delay="10 min"),
        step("b", "select 1", after="{a}"),
    )
    assert engine.states(instance) == {"a": "retrying", "b": "waiting"}
    assert engine.value("select due_at - clock_timestamp() between '9 min' and '10 min' from df.steps where key = 'a'")
    engine.pass_time("9 min")
    assert engine.work() == 0
    engine.pass_time("1 min")
    engine.work()
    assert engine.states(instance) == {"a": "retrying", "b": "waiting"}
    engine.pass_time("10 min")
    engine.work()
    engine.check(instance)
    assert engine.states(instance) == {"a": COMPLETED, "b": COMPLETED}
    assert engine.result(instance, "a") == [{"n": 1, "t": 3}]
    attempts = "select attempt, status, error ->> 'sqlstate' from df.attempts where key = 'a' order by attempt"
    assert engine.rows(attempts) == [(1, "failed", "22012"), (2, "failed", "22012"), (3, COMPLETED, None)]


def test_the_last_try_fails_for_good(engine: Engine) -> None:
    instance = engine.run(step("a", "select 1 / 0", retries="1", retry_delay="0 s"))
    engine.work()
    engine.check(instance)
    assert engine.rows("select status, attempt, max_attempts from df.steps") == [("failed", 2, 2)]
    assert engine.column("select status from df.attempts order by attempt") == ["failed", "failed"]


def test_the_same_run_key_is_the_same_instance_also_when_it_is_long_over(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    instance = engine.start("w", ", run_key => 'k'")
    assert engine.start("w", ", run_key => 'k'") == instance
    engine.work()
    assert engine.start("w", ", run_key => 'k', params => '{\"other\": 1}'") == instance
    assert engine.start("w", ", run_key => 'l'") != instance
    engine.define("v", step("a", "select 1"))
    assert engine.start("v", ", run_key => 'k'") != instance
    assert engine.value("select count(*) from df.instances") == 3


def test_a_start_that_is_rolled_back_never_was(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    with engine.connection.transaction(force_rollback=True):
        engine.start("w", ", run_key => 'k'")
    assert engine.work() == 0
    assert engine.rows("select * from df.instances") == []
    assert engine.status(engine.start("w", ", run_key => 'k'")) == "pending"


def test_a_running_instance_keeps_the_plan_it_started_with(engine: Engine) -> None:
    engine.define("w", step("a", "select 'old' as v"), step("b", "select 'old' as v", after="{a}"))
    old = engine.start("w")
    engine.define("w", step("a", "select 'new' as v"))
    new = engine.start("w")
    engine.work()
    assert engine.states(old) == {"a": COMPLETED, "b": COMPLETED}
    assert [engine.result(old, "b"), engine.result(new, "a")] == [[{"v": "old"}], [{"v": "new"}]]
    versions = "select instance_id, version from df.instances order by version"
    assert engine.rows(versions) == [(old, 1), (new, 2)]


def test_what_the_caller_said_is_kept_with_the_instance(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"))
    engine.rows("set df.actor = 'ann@example.org'")
    instance = engine.start(
        "w",
        """, params => '{"x": 1}', logical_date => '2024-01-02', run_key => 'k', label => 'l', reason => 'why',
           traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'""",
    )
    row = "workflow, run_key, label, reason, actor, submitted_by::text, params, traceparent, status"
    assert engine.rows(f"select {row} from df.instances") == [
        (
            "w",
            "k",
            "l",
            "why",
            "ann@example.org",
            "pgdurable",
            {"x": 1},
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "pending",
        )
    ]
    assert (len(instance), set(instance) <= set("0123456789abcdef")) == (12, True)


def test_instance_ids_do_not_repeat(pure: Engine) -> None:
    ids = "select count(distinct df._instance_id(g)), count(*) from generate_series(1, 20000) g"
    assert pure.rows(ids) == [(20000, 20000)]
    # three rounds of a Feistel network can be walked back, so no two numbers share a name
    assert pure.value("select df._instance_id(281474976710655) ~ '^[0-9a-f]{12}$'")


SCHEMAS = {
    "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "default": 5},
    "s": {"type": ["string", "null"], "minLength": 2, "maxLength": 3, "pattern": "^a", "default": None},
    "e": {"enum": ["x", "y"], "default": "x"},
    "r": {"type": "boolean"},
}


def start_with(params: object) -> str:
    return f"select df.start_workflow('w', params => '{json.dumps(params)}')"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "param r is required"),
        ({"r": 1}, "param r: 1 is not of type boolean"),
        ({"r": True, "n": 1.5}, "param n: 1.5 is not of type integer"),
        ({"r": True, "n": 0}, "param n: 0 is out of range"),
        ({"r": True, "n": 10}, "param n: 10 is out of range"),
        ({"r": True, "n": "5"}, 'param n: "5" is not of type integer'),
        ({"r": True, "s": "a"}, 'param s: "a" is too short or too long'),
        ({"r": True, "s": "abcd"}, 'param s: "abcd" is too short or too long'),
        ({"r": True, "s": "ba"}, 'param s: "ba" does not match ^a'),
        ({"r": True, "e": "z"}, 'param e: "z" is none of ["x", "y"]'),
        ([1], "params is not an object"),
    ],
)
def test_params_are_checked_against_their_schema_before_anything_starts(
    pure: Engine, given: object, message: str
) -> None:
    pure.define("w", step("a", "select 1"), options=f", params => '{json.dumps(SCHEMAS)}'")
    state, found, *_ = refused(pure, start_with(given))
    assert (state, found) == ("PD400", message)


def test_params_that_are_not_given_take_their_defaults_null_included(engine: Engine) -> None:
    engine.define(
        "w",
        step("a", "select $params.n as n, $params.s as s, $params.x as x"),
        options=f", params => '{json.dumps(SCHEMAS)}'",
    )
    instance = engine.value(start_with({"r": False, "n": 9.0, "x": "extra"}))
    engine.work()
    assert engine.value("select params from df.instances") == {"n": 9.0, "s": None, "e": "x", "r": False, "x": "extra"}
    assert engine.result(instance, "a") == [{"n": 9.0, "s": None, "x": "extra"}]


def test_an_unknown_workflow_names_the_known_ones(engine: Engine) -> None:
    none = "None is deployed yet: pgdurable deploy FILE."
    assert refused(engine, "select df.start_workflow('x')") == (
        "PD404",
        "there is no workflow 'x' in namespace default",
        None,
        none,
    )
    for name in ("b", "a"):
        engine.define(name, step("a", "select 1"))
    assert refused(engine, "select df.start_workflow('x')")[3] == "Known: a, b"


def test_a_connection_nobody_set_is_refused_at_the_start(engine: Engine) -> None:
    engine.define("w", step("a", "select 1", connection="wh"), step("b", "select 1", connection="lake"))
    assert refused(engine, "select df.start_workflow('w')") == (
        "PD404",
        "connection lake, wh is not known in this database",
        None,
        "select df.set_connection('lake'), or name it in pgdurable.toml and deploy.",
    )


def test_many_sessions_share_the_work_and_no_step_runs_twice(engine: Engine) -> None:
    import threading

    engine.rows("create table seen (key text)")
    dsn = engine.connection.info.dsn
    instances = []
    for _ in range(3):
        middle = [step(f"m{n}", "insert into seen values ('{instance_id}{step}')", after="{a}") for n in range(20)]
        keys = ",".join(f"m{n}" for n in range(20))
        instances.append(engine.begin(step("a", "select 1"), *middle, step("z", "select 1", after=f"{{{keys}}}")))

    def session() -> None:
        with engine.connection.__class__.connect(dsn, autocommit=True) as connection:
            connection.execute("call df.work(idle_seconds => 0.3)")

    threads = [threading.Thread(target=session) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for instance in instances:
        engine.check(instance)
        assert engine.status(instance) == COMPLETED
    assert engine.rows("select count(*), count(distinct key) from seen") == [(60, 60)]
