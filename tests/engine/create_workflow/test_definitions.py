"""df.create_workflow: what a definition may be, what it becomes, and how a wrong one is refused."""

from __future__ import annotations

import itertools
import json

import pytest
from engine_room import Engine, quoted, refused, refused_definition, step

from pgdurable_core.graph.analysis import cycles
from pgdurable_core.graph.model import Graph, Sql, Step

_numbers = itertools.count(1)

NO_TRANSACTIONS = "Take BEGIN and COMMIT out, or split the step where the text commits."
NO_ROLES = "State run_as => 'role' on the step."


def test_a_cycle_is_refused_with_its_path(pure: Engine) -> None:
    cycle = "the steps form a cycle: a -> b -> c -> a"
    assert refused_definition(
        pure,
        step("top", "select 1"),
        step("a", "select 1", after="{top,c}"),
        step("b", "select 1", after="{a}"),
        step("c", "select 1", after="{b}"),
        step("below", "select 1", after="{c}"),
    ) == ("PD400", f"w: 1 problem: {cycle}", cycle, "Take one of these edges out.")


def test_a_step_after_itself_is_a_cycle(pure: Engine) -> None:
    assert refused_definition(pure, step("a", after="{a}"))[2] == "the steps form a cycle: a -> a"


def test_every_knot_is_named_once_by_a_shortest_cycle_as_the_graph_room_names_it(pure: Engine) -> None:
    after = {
        "between": ("c", "start"),
        "a": ("d", "b"),
        "b": ("a", "c"),
        "c": ("b",),
        "d": ("c",),
        "start": (),
        "x": ("y", "between"),
        "y": ("x",),
        "self": ("self", "y"),
        "below": ("self",),
    }
    steps = [step(key, "select 1", after=f"{{{','.join(up)}}}") for key, up in after.items()]
    told = (refused_definition(pure, *steps)[2] or "").splitlines()
    assert told == [
        "the steps form a cycle: a -> b -> a",
        "the steps form a cycle: x -> y -> x",
        "the steps form a cycle: self -> self",
    ]
    graph = Graph("w", tuple(Step(key, Sql("select 1"), after=up) for key, up in after.items()))
    assert told == [f"the steps form a cycle: {' -> '.join(cycle)}" for cycle in cycles(graph)]


def test_cycles_and_all_other_problems_are_told_at_once(pure: Engine) -> None:
    state, message, detail, _ = refused_definition(
        pure,
        step("a", "select 1", after="{b,nobody}"),
        step("b", "select $later.x", after="{a}", source="b.sql:2"),
        step("later", "select 1", after="{b}", rule="sometimes"),
        step("c", "commit"),
        step("d", "df.branch('select 1')", each="later", pool="big"),
        options=", timezone => 'Mars/Olympus', start_date => 'soon', end_date => '2026-13-01'",
    )
    assert (state, message) == ("PD400", "w: 9 problems: unknown timezone Mars/Olympus")
    date = "is no date: write 2026-01-01 00:00 Europe/Berlin, or an ISO date with an offset"
    assert (detail or "").splitlines() == [
        "unknown timezone Mars/Olympus",
        "step later: unknown rule sometimes",
        "step a: upstream nobody is no step of this workflow",
        f"start_date: 'soon' {date}",
        f"end_date: '2026-13-01' {date}",
        "the steps form a cycle: a -> b -> a",
        "step c: a step is one transaction: COMMIT cannot stand in its text",
        "step b (b.sql:2): it reads $later, which is not upstream of it",
        "step d: a branch cannot be mapped, its choice would have no effect",
    ]


def test_every_problem_of_the_document_is_told_at_once(pure: Engine) -> None:
    state, message, detail, _ = refused_definition(
        pure,
        step("a b", "select 1"),
        step("x", "select 1", after="{nobody}", source="x.sql:3"),
        step("x", "select 1", each="nothing"),
        step("y", "select 1", rule="sometimes", retries="-1"),
        step("z", "select 1", result_name="9z"),
        options=""", timezone => 'Mars/Olympus', modules => '{"m": "md5:1"}', defaults => '{"colour": 1}',
            params => '{"n": 5}'""",
    )
    assert (state, message) == ("PD400", "w: 11 problems: unknown option colour in defaults")
    assert (detail or "").splitlines() == [
        "unknown option colour in defaults",
        "unknown timezone Mars/Olympus",
        "module m: 'md5:1' is not sha256: and 64 hex digits",
        "param n: 5 is no JSON Schema object",
        "step 1: the key 'a b' is not 1 to 250 of A-Z a-z 0-9 _ . -",
        "step y: unknown rule sometimes",
        "step y: retries is no whole number",
        "step z: the result name 9z is no identifier, or taken",
        "step x is defined 2 times",
        "step x (x.sql:3): upstream nobody is no step of this workflow",
        "step x: upstream nothing is no step of this workflow",
    ]


def test_every_problem_of_the_steps_texts_is_told_at_once(pure: Engine) -> None:
    state, message, detail, hint = refused_definition(
        pure,
        step("a", "begin; select 1; commit", source="a.sql:1"),
        step("b", "select 'open"),
        step("c", "select $d.x"),
        step("d", "-- nothing"),
        step("e", "select 1", pool="big"),
    )
    assert (state, message) == (
        "PD400",
        "w: 5 problems: step a (a.sql:1): a step is one transaction: BEGIN cannot stand in its text",
    )
    assert hint == NO_TRANSACTIONS
    assert (detail or "").splitlines() == [
        "step a (a.sql:1): a step is one transaction: BEGIN cannot stand in its text",
        "step b: the SQL text ends inside a string literal",
        "step c: it reads $d, which is not upstream of it",
        "step d: the SQL text holds no statement",
        "step e: this version has no pools",
    ]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"steps": []}, "the workflow has no steps"),
        ({"steps": {"a": 1}}, "the workflow has no steps"),
        ({"steps": ["a"]}, "step 1 is no object"),
        ({"steps": [{"key": "a", "run": "select 1"}]}, "step a: run is no object"),
        ({"steps": [{"key": "a", "after": "b"}]}, "step a: after is no list of keys"),
        ({"steps": [{"key": "a", "retries": "many"}]}, "step a: retries is no whole number"),
        ({"steps": [{"key": "a", "retries": 1.5}]}, "step a: retries is no whole number"),
        ({"steps": [{"key": "a", "bind": ["x"]}]}, "step a: bind is no object"),
        ({"steps": [{"key": "a", "run": {"kind": "sql"}}]}, "step a: its sql is no text"),
        ({"steps": [{"key": "a", "run": {"kind": "magic"}}]}, "step a: unknown kind magic"),
        ({"steps": [{"key": "a", "colour": 1}]}, "step a: unknown option colour"),
        ({"steps": [{"run": {"kind": "empty"}}]}, "step 1: the key null is not 1 to 250 of A-Z a-z 0-9 _ . -"),
        ({"steps": [{"key": "a"}], "colour": 1}, "unknown option colour"),
        ({"steps": [{"key": "a"}], "pgdurable_graph": 2}, "this engine reads graph documents of version 1, not 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_document_of_the_wrong_shape_is_refused_in_words(pure: Engine, document: object, problem: str) -> None:
    state, message, detail, _ = refused(pure, "select df.create_workflow('w', graph => %s)", json.dumps(document))
    assert (state, message, detail) == ("PD400", f"w: 1 problem: {problem}", problem)


@pytest.mark.parametrize("name", ["''", "'a b'", "'ü'", "repeat('a', 251)", "null"])
def test_a_name_that_is_none_is_refused(pure: Engine, name: str) -> None:
    state, message, *_ = refused(pure, f"select df.create_workflow({name}, steps => array[df.step('a')])")
    assert (state, message.endswith("is not 1 to 250 of A-Z a-z 0-9 _ . -")) == ("PD400", True)


def test_steps_and_graph_exclude_each_other(pure: Engine) -> None:
    hint = "df.create_workflow('name', steps => array[df.step('a', 'select 1')])"
    expected = ("PD400", "df.create_workflow: give either steps or graph", None, hint)
    assert refused(pure, "select df.create_workflow('w')") == expected
    assert refused(pure, "select df.create_workflow('w', steps => array[df.step('a')], graph => '{}')") == expected


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("begin; select 1; commit;", "a step is one transaction: BEGIN cannot stand in its text", NO_TRANSACTIONS),
        ("select 1; Commit", "a step is one transaction: COMMIT cannot stand in its text", NO_TRANSACTIONS),
        ("start transaction", "a step is one transaction: START cannot stand in its text", NO_TRANSACTIONS),
        ("end", "a step is one transaction: END cannot stand in its text", NO_TRANSACTIONS),
        ("savepoint a", "a step is one transaction: SAVEPOINT cannot stand in its text", NO_TRANSACTIONS),
        ("/* c */ rollback to a", "a step is one transaction: ROLLBACK cannot stand in its text", NO_TRANSACTIONS),
        ("prepare transaction 'x'", "a step is one transaction: PREPARE cannot stand in its text", NO_TRANSACTIONS),
        ("set role bob", "a step cannot change its role", NO_ROLES),
        ("SET LOCAL ROLE bob", "a step cannot change its role", NO_ROLES),
        ("set session authorization bob", "a step cannot change its role", NO_ROLES),
        ("reset role", "a step cannot change its role", NO_ROLES),
        ("reset session authorization", "a step cannot change its role", NO_ROLES),
        ("set -- c\n role bob", "a step cannot change its role", NO_ROLES),
    ],
)
def test_transactions_and_roles_in_a_text_are_refused_with_what_to_do(
    pure: Engine, text: str, problem: str, hint: str
) -> None:
    expected = ("PD400", f"w: 1 problem: step a: {problem}", f"step a: {problem}", hint)
    assert refused_definition(pure, step("a", text)) == expected


PLAIN = {
    "select 1": "r",
    "(select 1) union (select 2)": "r",
    "values (1)": "r",
    "table t": "r",
    "show all": "r",
    "explain select 1": "r",
    "explain (analyze) insert into t values (1)": "r",
    "insert into t values (1)": "e",
    "Insert INTO t select 1": "e",
    "insert/**/into t select 1": "e",
    "insert into t values (1) returning n": "r",
    "update t set n = 1 returning *": "r",
    "with w as (delete from t returning n) select * from w": "m",
    "with w as (select 1 as n) insert into t select n from w": "m",
    "with w as (select 1 as n) INSERT  INTO t select n from w": "m",
    "merge into t using u on t.n = u.n when matched then delete": "e",
    "call p()": "m",
    "do $$ begin perform 1; commit; end $$": "e",
    "create table t (n int)": "e",
    "create table t as select 1 as n": "e",
    "create table atomic (n int); select 1": "er",
    "create index on t (n)": "e",
    "comment on table t is 'select; into'": "e",
    "analyze t": "e",
    "truncate t": "e",
    "copy t from program 'true'": "e",
    "refresh materialized view concurrently m": "e",
    "set local work_mem = '4MB'": "e",
    "set session characteristics as transaction read write": "e",
    "select 1; select 2": "rr",
    "insert into t values (1); select 2;": "er",
    "select ';'": "r",
    "select ';' as \"a;b\" -- ;": "r",
    "select E'a\\';b'": "r",
    "select E'a''\\';b'; select 2": "rr",
    "select E'a' '\\'; select 2": "rr",
    "select 'a\\'; select 2": "rr",
    "select /* ; /* ; */ ; */ 1": "r",
    "select $$;$$": "r",
    "select $a$;$b$;$a$": "r",
    "select $$a$b$$; select 2": "rr",
    "select $$'$$; select 2 -- '": "rr",
    "select a$b$c, d$b$e from t; select 2": "rr",
    "select 1 -- it's\n; select 2": "rr",
    "select 1 -- it's\r; select 2": "rr",
    "select 1;;; ;": "r",
    "-- first\nselect 1": "r",
    "/* into */ select 1": "r",
    "create rule r as on insert to t do also (select 1; select 2); select 3": "er",
    "create function f() returns int begin atomic select 1; select 2; end; select 3": "er",
    "create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end": "e",
    "create procedure p() begin atomic insert into t values (1) returning n; end": "e",
    "create function f() returns int language sql as 'select 1; select 2'": "e",
    "create table t (a int": "e",
}


def compiled(pure: Engine, text: str, **options: str) -> tuple[str, str]:
    """The class of a text, and for each statement whether it returns rows."""
    name = f"compiled{next(_numbers)}"
    pure.define(name, step("a", text, **options))
    found = pure.rows(
        "select p.statement_class, p.modes from df._plan_steps p join df._workflow_versions v on v.plan_id = p.plan_id"
        " join df._workflows w using (workflow_id) where w.name = %s and p.key = 'a'",
        name,
    )
    return (found[0][0], found[0][1])


def test_every_text_is_split_into_statements_as_postgres_splits_it(pure: Engine) -> None:
    assert {text: compiled(pure, text) for text in PLAIN} == {text: ("plain", modes) for text, modes in PLAIN.items()}


OTHERS = {
    "copy t from stdin": "session",
    "copy (select 1) to stdout": "session",
    "select 1 into t": "session",
    "select n into temp t from u": "session",
    "with w as (select 1 as n) select n into t from w": "session",
    "select 1; copy t from stdin; select 2": "session",
    "vacuum": "autonomous",
    "vacuum (analyze) t": "autonomous",
    "create index concurrently on t (n)": "autonomous",
    "create unique index concurrently if not exists i on t (n)": "autonomous",
    "drop index concurrently i": "autonomous",
    "reindex table concurrently t": "autonomous",
    "reindex (verbose) database x": "autonomous",
    "alter table t detach partition u concurrently": "autonomous",
    "alter system set work_mem = '4MB'": "autonomous",
    "create database d": "autonomous",
    "drop database d": "autonomous",
    "create tablespace t location '/x'": "autonomous",
    "cluster": "autonomous",
    "cluster verbose": "autonomous",
}


def test_what_execute_refuses_is_left_to_a_session_of_its_own(pure: Engine) -> None:
    assert {text: compiled(pure, text)[0] for text in OTHERS} == OTHERS


def test_the_author_may_ask_for_more_than_the_text_says_and_not_for_less(pure: Engine) -> None:
    assert compiled(pure, "call commits()", **{"class": "autonomous"})[0] == "autonomous"
    assert compiled(pure, "select 1", **{"class": "session"})[0] == "session"
    assert refused_definition(pure, step("a", "vacuum", **{"class": "plain"}))[1] == (
        "w: 1 problem: step a: class plain cannot take this text; it needs autonomous"
    )


@pytest.mark.parametrize("builder", ["check", "branch"])
def test_a_check_or_branch_must_be_plain(pure: Engine, builder: str) -> None:
    state, message, *_ = refused_definition(pure, step("a", f"df.{builder}('copy t to stdout')"))
    assert (state, message) == ("PD501", f"w: 1 problem: step a: a {builder} must be plain SQL, this text is session")


@pytest.mark.parametrize(("kind", "run"), [("shell", "df.shell('echo {x}')"), ("python", "df.python('m:f')")])
def test_names_are_computed_for_sql_alone(pure: Engine, kind: str, run: str) -> None:
    state, message, _, hint = refused_definition(pure, step("a", run, bind='\'{"x": "1 + 1"}\''))
    said = f"w: 1 problem: step a: this version computes names for SQL alone, not for {kind}"
    assert (state, message) == ("PD501", said)
    assert hint == 'Select the value in a SQL step before it, and hand it over: {"xcom": "that step"}.'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("select 'a", "a string literal"),
        ("select E'a\\'", "a string literal"),
        ('select "a', "a quoted identifier"),
        ("select 1 /* /* */", "a comment"),
        ("select $x$ a $y$", "a dollar-quoted body $x$"),
    ],
)
def test_a_text_that_ends_inside_something_says_inside_what(pure: Engine, text: str, what: str) -> None:
    assert refused_definition(pure, step("a", text))[1:] == (
        f"w: 1 problem: step a: the SQL text ends inside {what}",
        f"step a: the SQL text ends inside {what}",
        "Close it, or check where the text was cut.",
    )


@pytest.mark.parametrize(
    ("steps", "problem", "hint"),
    [
        (
            (step("a", "select 1 as n"), step("b", "select $a.n")),
            "step b: it reads $a, which is not upstream of it",
            "Add it to after, or the value may not be there yet.",
        ),
        (
            (step("a", "select $b.n"), step("b", "select 1 as n", after="{a}")),
            "step a: it reads $b, which is not upstream of it",
            "Add it to after, or the value may not be there yet.",
        ),
        (
            (step("a", "select $a.n"),),
            "step a: it reads $a, which is not upstream of it",
            "Add it to after, or the value may not be there yet.",
        ),
        (
            (step("a", "select 1 as n"), step("b", 'df.python(\'m:f\', \'{"x": {"xcom": "a"}}\')')),
            "step b: it reads $a, which is not upstream of it",
            "Add it to after, or the value may not be there yet.",
        ),
        (
            (step("b", 'df.python(\'m:f\', \'{"x": [{"xcom": "nobody"}]}\')'),),
            "step b: the arguments name nobody, which is no step",
            None,
        ),
        ((step("a", "select {x}", bind='\'{"x": "1; drop table t"}\''),), "step a: bind x is not one expression", None),
        ((step("a", "select 1", bind='\'{"9x": "1"}\''),), "step a: the bind name '9x' is no identifier", None),
        ((step("a", "select 1", bind="'{\"x\": null}'"),), "step a: bind x is not one expression", None),
        ((step("a", "select 1", run_as="nobody at all"),), "step a: there is no role nobody at all", None),
        (
            (step("a", "select 1", timeout="1 fortnight"),),
            "step a: timeout: '1 fortnight' is no duration",
            "Write a number and a unit: 10 s, 5 min, 1.5 h, 2 days.",
        ),
        (
            (step("a", "select 1", retry_delay="1 month"),),
            "step a: retry_delay: '1 month' is no duration",
            "Write a number and a unit: 10 s, 5 min, 1.5 h, 2 days.",
        ),
        (
            (step("a", "select 1", retry_delay="-5 min"),),
            "step a: retry_delay: '-5 min' is no duration",
            "Write a number and a unit: 10 s, 5 min, 1.5 h, 2 days.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_step_reads_and_binds_is_checked(
    pure: Engine, steps: tuple[str, ...], problem: str, hint: str | None
) -> None:
    state, *rest = refused_definition(pure, *steps)
    assert rest == [f"w: 1 problem: {problem}", problem, hint]
    assert state in ("PD400", "PD404")


def test_a_step_may_read_any_ancestor(pure: Engine) -> None:
    steps = (step("a", "select 1 as n"), step("b", "select 1", after="{a}"), step("c", "select $a.n", after="{b}"))
    assert pure.define("ancestor", *steps) == "ancestor v1 created"


def test_defining_the_same_again_changes_nothing(engine: Engine) -> None:
    steps = (step("a", "select 1", source="x:1"), step("b", "select 2", after="{a}"))
    assert engine.define("w", *steps) == "w v1 created"
    assert engine.define("w", *steps) == "w v1 unchanged"
    moved = (step("a", "select 1", source="x:9", doc="why"), step("b", "select 2", after="{a}"))
    assert engine.define("w", *moved, options=", doc => 'new', tags => '{a}', owner => 'me'") == "w v1 unchanged"
    assert engine.define("w", *steps, options=', params => \'{"n": {"default": 1}}\'') == "w v2 changed"
    assert engine.define("w", step("a", "select 3")) == "w v3 changed"
    assert engine.define("w", *steps) == "w v4 changed"
    assert engine.rows("select version, step_count, doc, tags from df.workflows") == [(4, 2, None, [])]
    # what is not hashed is still the newest text
    assert engine.define("w", *moved, options=", doc => 'new'") == "w v4 unchanged"
    assert engine.rows("select version, doc from df.workflows") == [(4, "new")]
    assert engine.rows("select kind, detail from df.events order by event_id") == [
        ("workflow_created", {"version": 1}),
        *(("workflow_changed", {"version": version}) for version in (2, 3, 4)),
    ]


def test_a_plan_is_stored_once_for_all_workflows_with_the_same_steps(engine: Engine) -> None:
    steps = (step("a", "select 1"), step("b", "select $a", after="{a}"))
    for name in ("one", "two"):
        engine.define(name, *steps)
    engine.define("three", step("a", "select 1"))
    engine.define("three", *steps)
    assert engine.value("select count(*) from df._plans") == 2
    plans = (
        "select count(distinct plan_id) from df._workflow_versions v join df._workflows w using (workflow_id, version)"
    )
    assert engine.value(plans) == 1


def test_two_that_store_the_same_plan_at_once_do_not_wait_for_each_other(engine: Engine) -> None:
    with engine.connection.__class__.connect(engine.connection.info.dsn) as other:
        other.execute("select df.create_workflow('one', steps => array[df.step('a', 'select 1')])")
        engine.rows("set statement_timeout = '5s'")
        assert engine.define("two", step("a", "select 1")) == "two v1 created"
        other.rollback()
    assert engine.column("select name from df.workflows") == ["two"]


def test_a_workflow_with_a_schedule_starts_paused(engine: Engine) -> None:
    options = """, schedule => '@daily', timezone => 'Europe/Berlin', start_date => '2026-03-29 02:30',
        end_date => '2026-12-31 00:00+01'"""
    assert engine.define("w", step("a", "select 1"), options=options) == "w v1 created, paused"
    assert engine.rows(
        "select is_paused, schedule, timezone, start_date at time zone 'UTC', end_date at time zone 'UTC'"
        " from df.workflows"
    ) == engine.rows(
        "select true, '@daily', 'Europe/Berlin', timestamp '2026-03-29 01:30', timestamp '2026-12-30 23:00'"
    )


def test_steps_and_document_define_the_same_workflow(engine: Engine) -> None:
    steps = f"array[{step('a', 'select 1', retries='2')}, {step('b', df_python(), after='{a}')}]"
    engine.rows(f"select df.create_workflow('w', steps => {steps})")
    document = engine.value(f"select jsonb_build_object('steps', to_jsonb({steps}))::text")
    assert engine.value("select df.create_workflow('w', graph => %s)", document) == "w v1 unchanged"


def test_null_in_a_document_means_inherited(engine: Engine) -> None:
    absent = (
        "after",
        "each",
        "bind",
        "retries",
        "retry_delay",
        "rule",
        "timeout",
        "class",
        "run_as",
        "result_name",
        "doc",
    )
    document = {"schedule": None, "params": None, "steps": [{"key": "a", "run": {"kind": "sql", "sql": "select 1"}}]}
    engine.rows("select df.create_workflow('w', graph => %s)", json.dumps(document))
    document["steps"][0] |= dict.fromkeys(absent)  # type: ignore[index, union-attr]
    assert engine.value("select df.create_workflow('w', graph => %s)", json.dumps(document)) == "w v1 unchanged"
    instance = engine.start("w")
    engine.work()
    assert engine.states(instance) == {"a": "completed"}


def test_defaults_hold_for_steps_that_do_not_state_them(engine: Engine) -> None:
    engine.define(
        "w",
        step("a", "select 1"),
        step("b", "select 1", retries="0", retry_delay="1 s", timeout="2 s"),
        options=""", defaults => '{"retries": 3, "retry_delay": "10 s", "timeout": "1 h"}'""",
    )
    assert engine.rows(
        "select key, retries, retry_delay::text, timeout::text from df._plan_steps where kind = 'sql' order by step"
    ) == [("a", 3, "00:00:10", "01:00:00"), ("b", 0, "00:00:01", "00:00:02")]


def test_a_workflow_of_another_namespace_is_another_workflow(engine: Engine) -> None:
    engine.define("w", step("a", "select 1 as n"))
    assert engine.define("w", step("a", "select 2 as n"), options=", namespace => 'staging'") == "w v1 created"
    instances = [engine.start("w"), engine.start("w", ", namespace => 'staging'")]
    engine.work()
    assert [engine.result(instance, "a") for instance in instances] == [[{"n": 1}], [{"n": 2}]]


def test_a_definition_that_is_rolled_back_never_was(engine: Engine) -> None:
    with engine.connection.transaction(force_rollback=True):
        engine.define("w", step("a", "select 1"))
    assert engine.rows("select * from df.workflows") == []


def df_python() -> str:
    return "df.python('m:f', '{\"x\": 1.50}')"


LARGE = """
select df.create_workflow('large', steps => array(
    select df.step('s' || g, {run}, after => case when g > 1 then array['s' || (g - 1)] end)
    from generate_series(1, {count}) g))
"""


@pytest.mark.parametrize("server", [18], indirect=True)
def test_an_array_of_five_thousand_steps_that_read_each_other_compiles(engine: Engine) -> None:
    run = "case when g > 2 then 'select $s' || (g - 2) || '.n + 1 as n' else 'select 1 as n' end"
    assert engine.value(LARGE.format(run=run, count=5000)) == "large v1 created"
    assert engine.rows("select step_count from df.workflows") == [(5000,)]


@pytest.mark.parametrize("server", [18], indirect=True)
def test_a_graph_of_a_hundred_thousand_steps_compiles(engine: Engine) -> None:
    steps = """select jsonb_agg(jsonb_build_object('key', 's' || g, 'run', '{"kind": "sql", "sql": "select 1"}'::jsonb)
        || case when g > 1 then jsonb_build_object('after', array['s' || (g - 1)]) else '{}' end)
        from generate_series(1, 100000) g"""
    assert (
        engine.value(f"select df.create_workflow('large', graph => jsonb_build_object('steps', ({steps})))")
        == "large v1 created"
    )
    plan = "select count(*), max(cardinality(succ)), sum(n) from df._plan_steps"
    assert engine.rows(plan) == [(100_002, 1, 100_000)]


@pytest.mark.parametrize("server", [18], indirect=True)
def test_a_graph_of_more_than_a_hundred_thousand_steps_is_refused(engine: Engine) -> None:
    many = "select jsonb_agg(jsonb_build_object('key', 's' || g)) from generate_series(1, 100001) g"
    state, message, *_ = refused(
        engine, f"select df.create_workflow('w', graph => jsonb_build_object('steps', ({many})))"
    )
    assert (state, message) == ("PD400", "w: 1 problem: 100001 steps are more than 100000")


def test_a_text_of_more_than_a_mebibyte_is_refused(pure: Engine) -> None:
    text = quoted("select 1 --" + "x" * 1_048_576)
    assert (
        refused_definition(pure, f"df.step('a', {text})")[1]
        == "w: 1 problem: step a: the SQL text is larger than 1 MiB"
    )
