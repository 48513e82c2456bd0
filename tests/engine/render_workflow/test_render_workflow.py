"""df.render_workflow: what a run would execute, told without one, and nobody's text run as somebody else."""

from __future__ import annotations

from typing import Any

import pytest
from engine_people import People
from engine_room import Engine, refused, step
from engine_worker import Worker

DAY = "2024-03-01"


def rendered(engine: Engine, options: str = "", name: str = "w") -> dict[str, list[str]]:
    """Return the texts of every step."""
    texts: dict[str, list[str]] = {}
    for key, text in engine.rows(f"select key, text from df.render_workflow('{name}'{options})"):
        texts.setdefault(key, []).append(text)
    return texts


def seen(engine: Engine, options: str = "", name: str = "w") -> list[tuple[Any, ...]]:
    return engine.rows(f"select key, text, open_names, problem from df.render_workflow('{name}'{options})")


def bind(name: str, expression: str) -> str:
    return "jsonb_build_object('" + name + "', '" + expression.replace("'", "''") + "')"


def test_names_of_the_date_and_of_the_parameters_are_put_in(engine: Engine) -> None:
    engine.define(
        "w",
        step("a", "select '{ds}', {ds_nodash}, $params.n; select '{cutoff}'", bind=bind("cutoff", "df.ds_add(ds, -1)")),
        step("b", "df.check('select $params.n > 1')", source="w.sql:7"),
        step("c"),
        options=', params => \'{"n": {"default": 7}}\'',
    )
    assert engine.rows(
        "select key, statement, kind, class, role, source, text, open_names, problem"
        " from df.render_workflow('w', logical_date => '2024-03-01')"
    ) == [
        ("a", 1, "sql", "plain", "pgdurable", None, "select '2024-03-01', 20240301, 7", [], None),
        ("a", 2, "sql", "plain", "pgdurable", None, " select '2024-02-29'", [], None),
        ("b", 1, "check", "plain", "pgdurable", "w.sql:7", "select 7 > 1", [], None),
        ("c", None, "empty", None, "pgdurable", None, None, [], None),
    ]
    assert rendered(engine, ", step => 'b', params => '{\"n\": 9}'") == {"b": ["select 9 > 1"]}


def test_names_that_only_a_run_knows_stay_as_they_are_written(engine: Engine) -> None:
    text = "select $src.n, $src?, $item.n, $item, '{instance_id}', '{ds}', '{unknown}' from $src.*, $item.*"
    engine.define("w", step("src", "select 1 as n"), step("a", text, each="src"))
    open_names = ["$src.n", "$src?", "$item.n", "$item", "{instance_id}", "{ds}", "$src.*", "$item.*"]
    assert seen(engine, ", step => 'a'") == [("a", text, open_names, None)]
    assert seen(engine, ", step => 'a', logical_date => '2024-03-01'") == [
        ("a", text.replace("{ds}", DAY), [name for name in open_names if name != "{ds}"], None)
    ]


@pytest.mark.parametrize("expression", ["run_id || ds", "df.ds_add(ds, try_number)", "$src.n + 1", "item ->> ''n''"])
def test_a_bind_that_names_what_only_a_run_knows_stays_open(engine: Engine, expression: str) -> None:
    engine.define(
        "w",
        step("src", "select 1 as n"),
        step("a", "select '{x}'", each="src", bind=bind("x", expression.replace("''", "'"))),
    )
    assert seen(engine, ", step => 'a', logical_date => '2024-03-01'") == [("a", "select '{x}'", ["{x}"], None)]


def test_what_a_worker_gets_is_filled_in_as_far_as_it_is_known(engine: Engine) -> None:
    engine.define(
        "w",
        step("src", "select 1 as n"),
        step(
            "p",
            "df.python('m:f', '"
            """{"rows": {"xcom": "src"}, "day": "{ds} {run_id}", "n": {"param": "n"}, "i": {"item": "x"}}')""",
            after="{src}",
        ),
        step("s", """df.shell('load {ds} {try_number}', env => '{"D": "{ds}"}', cwd => '/data/{ds}')"""),
        options=', params => \'{"n": {"default": 1.50}}\'',
    )
    rows = engine.rows(
        "select key, text::jsonb, detail, open_names from df.render_workflow('w', 'p', '2024-03-01')"
        " union all select key, to_jsonb(text), detail, open_names from df.render_workflow('w', 's', '2024-03-01')"
    )
    args = {"rows": {"xcom": "src"}, "day": "2024-03-01 {run_id}", "n": 1.5, "i": None}
    assert [(key, text, detail, names) for key, text, detail, names in rows] == [
        ("p", args, {"callable": "m:f", "runtime": "python"}, ['{"xcom": "src"}', "{run_id}"]),
        ("s", "load 2024-03-01 {try_number}", {"cwd": "/data/2024-03-01", "env": {"D": DAY}}, ["{try_number}"]),
    ]


def test_it_equals_what_a_run_executes(engine: Engine) -> None:
    """Every context name, every way to put one in: the text that a session step is handed is the one rendered."""
    names = (
        "ds ds_nodash ts ts_nodash ts_nodash_with_tz logical_date data_interval_start data_interval_end"
        " workflow step map_index"
    )
    text = "; ".join(
        [
            "copy (select 1) to stdout",
            *(f"select '{{{name}}}'" for name in names.split()),
            "select $params.a, $params, $params.none, $item, '{day}', '{none}', '{zone}' -- {ds}",
        ]
    )
    binds = (
        """'{"day": "to_char(logical_date, ''Day DD'') || (params ->> ''a'')", "none": "null","""
        """ "zone": "current_setting(''TimeZone'') || logical_date"}'"""
    )
    for at in ("2024-02-29", "2026-03-29T01:30:00+01:00", "1999-12-31T23:59:59.123456+00:00"):
        instance = engine.begin(step("a", text, bind=binds), params={"a": "it's {ds}"}, at=at)
        worker = Worker(engine)
        claim = worker.must_claim("session")
        executed = worker.call("session_text", claim)
        worker.call("complete_step", claim, "[]", 0)
        workflow = engine.value("select workflow from df.instances where instance_id = %s", instance)
        options = f", logical_date => '{at}', params => '{{\"a\": \"it''s {{ds}}\"}}'"
        assert rendered(engine, options, workflow) == {"a": executed}
        assert len(executed) == len(names.split()) + 2


def test_settings_of_the_role_hold_for_binds_and_nothing_stays_of_them(people: People) -> None:
    _, hers = people.user({"timezone": "'Asia/Tokyo'", "work_mem": "'1234kB'", "search_path": "hers, public"})
    people.superuser.execute("create schema hers; grant all on schema hers to public")
    hers.rows("create function hers.mine() returns text language sql as $$ select current_setting('work_mem') $$")
    hers.define("w", step("a", "select '{x}'", bind=bind("x", "mine() || ' ' || logical_date")))
    before = hers.rows("select name, setting from pg_settings order by name")
    hers.rows("begin; set local search_path = pg_catalog; set local timezone = 'UTC'; set local work_mem = '4MB'")
    inside = hers.rows("select name, setting from pg_settings order by name")
    assert rendered(hers, ", logical_date => '2024-03-01'") == {"a": ["select '1234kB 2024-03-01 09:00:00+09'"]}
    assert hers.rows("select name, setting from pg_settings order by name") == inside
    hers.rows("commit")
    assert hers.rows("select name, setting from pg_settings order by name") == before


def test_what_a_bind_writes_is_undone(engine: Engine) -> None:
    engine.rows("create table t (n int)")
    engine.rows("create function w() returns int language sql as $$ insert into t values (1) returning n $$")
    engine.define("w", step("a", "select {x}", bind=bind("x", "w()")))
    assert rendered(engine) == {"a": ["select 1"]}
    assert engine.rows("select * from t") == []
    before = engine.rows("select (select count(*) from df._instances), (select count(*) from df._events)")
    rendered(engine)
    assert engine.rows("select (select count(*) from df._instances), (select count(*) from df._events)") == before


def test_a_bind_that_fails_is_a_problem_and_its_name_stays(engine: Engine) -> None:
    engine.define(
        "w",
        step("a", "select '{x}', '{ds}'", bind=bind("x", "1 / 0")),
        step("b", "select {y}", bind=bind("y", "no_column")),
    )
    assert seen(engine, ", logical_date => '2024-03-01'") == [
        ("a", "select '{x}', '2024-03-01'", ["{x}"], "bind x: division by zero (22012)"),
        ("b", "select {y}", ["{y}"], 'bind y: column "no_column" does not exist (42703)'),
    ]


def test_parameters_are_checked_as_a_start_checks_them(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"), options=', params => \'{"n": {"enum": [1]}}\'')
    assert refused(engine, "select df.render_workflow('w')")[:2] == ("PD400", "param n is required")
    assert refused(engine, "select df.render_workflow('w', params => '{\"n\": 2}')")[:2] == (
        "PD400",
        "param n: 2 is none of [1]",
    )


def test_an_unknown_workflow_or_step_is_refused(engine: Engine) -> None:
    engine.define("w", step("a", "select 1"), step("b", "select 1"))
    assert refused(engine, "select df.render_workflow('x')")[:2] == (
        "PD404",
        "there is no workflow 'x' in namespace default that pgdurable sees",
    )
    assert refused(engine, "select df.render_workflow('w', 'c')") == (
        "PD404",
        "workflow w has no step 'c'",
        None,
        "Its steps: a, b",
    )


def test_a_connection_that_is_not_there_is_a_problem(engine: Engine) -> None:
    engine.define("w", step("a", "select '{x}'", connection="dwh", bind=bind("x", "ds")))
    missing = "connection dwh is not known in this database; bind x: it is not evaluated for that"
    assert seen(engine, ", logical_date => '2024-03-01'") == [("a", "select '{x}'", ["{x}"], missing)]
    engine.rows("select df.set_connection('dwh')")
    assert rendered(engine, ", logical_date => '2024-03-01'") == {"a": [f"select '{DAY}'"]}


# Somebody else's text.


def test_nobody_sees_what_is_not_theirs(people: People) -> None:
    _, hers = people.user()
    other, his = people.user()
    hers.define("w", step("a", "select 1"))
    assert refused(his, "select df.render_workflow('w')")[:2] == (
        "PD404",
        f"there is no workflow 'w' in namespace default that {other} sees",
    )
    assert his.rows("select * from df._step_texts") == []
    _, stranger = people.stranger()
    assert refused(stranger, "select df.render_workflow('w')")[0] == "42501"


def trap(people: People, engine: Engine) -> str:
    """Make a function that notes who called it, outside the transaction of who did; return a bind that calls it."""
    people.superuser.execute("create table if not exists caught (who text, login text)")
    people.superuser.execute("create sequence if not exists calls; grant all on caught, calls to public")
    engine.rows(
        "create function trap() returns text language plpgsql as $$ begin"
        " perform nextval('public.calls'); return current_user; end $$"
    )
    engine.rows("grant execute on function trap() to public")
    return bind("x", "public.trap()")


def calls(people: People) -> int:
    [(count,)] = people.superuser.execute("select case when is_called then last_value else 0 end from calls").fetchall()
    assert isinstance(count, int)
    return count


def test_an_authors_bind_never_runs_as_the_owner_of_df_or_an_operator(people: People) -> None:
    mallory, hers = people.user()
    hers.define("w", step("a", "select '{x}', '{ds}'", bind=trap(people, hers)))
    operator, his = people.user()
    people.owner.rows("select df.grant_operator(%s)", operator)
    expected = [
        (
            "a",
            f"select '{{x}}', '{DAY}'",
            ["{x}"],
            f"bind x: it is evaluated as {mallory} alone; connect as that role",
        )
    ]
    for reader in (people.owner, his):
        assert seen(reader, f", logical_date => '{DAY}'") == expected
    assert calls(people) == 0
    assert rendered(hers) == {"a": [f"select '{mallory}', '{{ds}}'"]}
    assert calls(people) == 1


def test_set_role_is_no_login_since_the_text_could_reset_it(people: People) -> None:
    mallory, hers = people.user()
    hers.define("w", step("a", "select '{x}'", bind=bind("x", "set_config('role', 'none', false) || session_user")))
    people.superuser.execute(f"set role {mallory}".encode())
    try:
        rows = people.superuser.execute(
            "select open_names, problem, current_user::text from df.render_workflow('w')"
        ).fetchall()
    finally:
        people.superuser.execute("reset role")
    only = f"bind x: it is evaluated for whoever is logged in as {mallory}, not under SET ROLE or in a definer function"
    assert rows == [(["{x}"], only, mallory)]


def test_a_definer_function_of_the_author_is_no_login_either(people: People) -> None:
    _, hers = people.user()
    hers.define("w", step("a", "select '{x}'", bind=trap(people, hers)))
    hers.rows(
        "create function look() returns setof text language sql security definer as"
        " $$ select problem from df.render_workflow('w') $$"
    )
    _, his = people.user()
    [problem] = his.column("select * from look()")
    assert "not under SET ROLE or in a definer function" in problem
    assert calls(people) == 0


def test_a_grant_that_was_taken_back_closes_the_binds_of_the_other_role(people: People) -> None:
    mallory, hers = people.user()
    role, his = people.user()
    people.superuser.execute(f"grant {role} to {mallory}".encode())
    people.owner.rows("select df.grant_operator(%s)", role)
    hers.define("w", step("a", "select '{x}'", run_as=role, bind=trap(people, hers)))
    assert rendered(his) == {"a": [f"select '{role}'"]}
    assert calls(people) == 1
    people.superuser.execute(f"revoke {role} from {mallory}".encode())
    refusal = f"{mallory} may not run steps as {role}; bind x: it is not evaluated for that"
    assert seen(his) == [("a", "select '{x}'", ["{x}"], refusal)]
    assert calls(people) == 1


def test_a_step_of_another_role_says_who_could_see_it(people: People) -> None:
    role, _ = people.user()
    alice, hers = people.user()
    people.superuser.execute(f"grant {role} to {alice}".encode())
    hers.define("w", step("a", "select '{x}'", run_as=role, bind=bind("x", "1")))
    alone = (
        f"bind x: it is evaluated as {role} alone,"
        " and only the owner of the workflow, an operator or the owner of df sees it"
    )
    assert seen(hers) == [("a", "select '{x}'", ["{x}"], alone)]
