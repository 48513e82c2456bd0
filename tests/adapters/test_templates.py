"""Templates and SQL text: what is understood, what is refused, and that everything else survives byte for byte."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined
from pgdurable_airflow.importer.facts import Fact
from pgdurable_airflow.importer.sqltext import (
    PlaceholderError,
    columns,
    controls_transaction,
    joined,
    leading_role,
    literal,
    put_in,
    tables,
    without_bracket,
)
from pgdurable_airflow.importer.templates import Scope, UntranslatableError, render_texts
from template_reading import context_texts, evaluate, substitute

MOMENT = datetime(2024, 2, 29, 4, 5, 6, tzinfo=UTC)
PARAMS: Mapping[str, Fact] = {"who": "x", "n": 3, "half": 0.5, "flag": True, "many": ["a"]}


def scope(airflow_major: int = 3, note_old: Callable[[str, str], None] = lambda old, new: None) -> Scope:
    def pull(task_id: str, path: tuple[int, ...]) -> str:
        if path != (0, 0):
            raise UntranslatableError("xcom_pull")
        return f"${task_id}.code"

    return Scope(
        dag_id="d",
        task_id="t",
        params=PARAMS,
        airflow_major=airflow_major,
        own_names=frozenset({"mine"}),
        own_filters=frozenset({"own"}),
        pull=pull,
        note_old=note_old,
    )


def ours(text: str) -> str:
    rendered = render_texts([text], scope(), frozenset({"step"}))
    context = {"params": dict(PARAMS), "moment": MOMENT}
    binds = {name: evaluate(sql, context) for name, sql in rendered.bind.items()}
    return substitute(rendered.texts[0], binds, MOMENT)


class Macros:
    @staticmethod
    def ds_add(ds: str, days: int) -> str:
        from datetime import timedelta

        return (datetime.strptime(ds, "%Y-%m-%d") + timedelta(days=days)).strftime("%Y-%m-%d")


def theirs(text: str) -> str:
    env = Environment(undefined=StrictUndefined, autoescape=False)
    names = {**context_texts(MOMENT), "logical_date": MOMENT, "params": dict(PARAMS), "macros": Macros}
    return env.from_string(text).render(names)


# Anything at all outside of Jinja, and much of what looks like a reference of ours.
LITERAL = st.one_of(
    st.text(
        st.characters(blacklist_categories=("Cs",), blacklist_characters="{}%#\r\x00\x85\u2028\u2029"),
        max_size=12,
    ),
    st.sampled_from(
        ["{ds}", "{ts}", "{value}", "{dollar}", "$params.who", "$item.x", "$step.*", "$step?", "$$", "${ds}", "{a,b}",
         "{}", "'", "''", "100 %", "$body$", "{ds_1}", "{minus_3}", "\n", "{ ds }", "$other.col", "{ds_minus_3}"]
    ),
)  # fmt: skip
EXPRESSION = st.sampled_from(
    ["{{ ds }}", "{{ds_nodash}}", "{{ ts }}", "{{ run_id }}", "{{ macros.ds_add(ds, -3) }}", "{{ params.who }}",
     "{{ params['n'] }}", "{{ params.flag }}", "{{ ds ~ '/' ~ params.n }}", "{{ '{ds}' }}", "{# gone #}",
     "{{ logical_date.strftime('%Y/%m/%d') }}", "{{ params.who | upper }}", "{{ macros.ds_add(ds, params.n) }}"]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(LITERAL, EXPRESSION), max_size=8).map("".join))
def test_text_with_templates_comes_out_as_jinja_renders_it(text: str) -> None:
    try:
        expected = theirs(text)
    except Exception:  # pieces may join to something Jinja refuses; then there is nothing to compare
        return
    try:
        found = ours(text)
    except UntranslatableError:
        return
    assert found == expected


@settings(deadline=None, max_examples=200)
@given(st.lists(LITERAL, max_size=8).map("".join))
def test_no_reference_of_ours_is_left_in_literal_text(text: str) -> None:
    rendered = render_texts([text], scope(), frozenset({"step"}))
    for mark in ("$params.w", "$item.x", "$step.*", "$step?"):
        assert mark not in rendered.texts[0]


@pytest.mark.parametrize(
    "text",
    [
        "{{ var.value.schema }}",
        "{{ conn.wh.host }}",
        "{{ prev_ds }}",
        "{{ params.half }}",
        "{{ params.many }}",
        "{{ params.unknown }}",
        "{{ mine(ds) }}",
        "{{ ds | own }}",
        "{{ ti.xcom_pull('a') }}",
        "{{ ti.xcom_pull('a', key='k')[0][0] }}",
        "'{{ ti.xcom_pull('a')[0][0] }}'",
        "{{ dag_run.conf.x }}",
        "{{ logical_date.isocalendar() }}",
        "{{ logical_date.strftime('%U') }}",
        "{{ logical_date - macros.timedelta(days=1) }}",
        "{% for t in params.many %}x{% endfor %}",
        "{% set x = 1 %}{{ x }}",
        "{{ ds if params.flag else ts }}",
        "{{ ds[:4] }}",
        "{{ ds",
        "{{ macros.random() }}",
        "{{ next_ds }}",
        "{{ execution_date + macros.timedelta(days=1) }}",
    ],
)
def test_what_is_not_understood_is_refused_and_never_guessed(text: str) -> None:
    with pytest.raises(UntranslatableError):
        render_texts([text], scope())


OLD = {
    "{{ execution_date }}": ("{logical_date}", {}),
    "{{ execution_date.strftime('%H') }}": (
        "{logical_date_text}",
        {"logical_date_text": "to_char(logical_date at time zone 'UTC', 'HH24')"},
    ),
    "{{ (execution_date + macros.timedelta(hours=1)) | ds }}": (
        "{logical_date_plus_3600_seconds_text}",
        {
            "logical_date_plus_3600_seconds_text": "to_char((logical_date + interval '3600 seconds') "
            "at time zone 'UTC', 'YYYY-MM-DD')"
        },
    ),
    "{{ yesterday_ds }}": ("{yesterday_ds}", {"yesterday_ds": "df.ds_add(ds, -1)"}),
    "{{ macros.ds_add(tomorrow_ds, 1) }}": ("{plus_1}", {"plus_1": "df.ds_add(df.ds_add(ds, 1), 1)"}),
    "{{ tomorrow_ds_nodash }}": (
        "{tomorrow_ds_nodash}",
        {"tomorrow_ds_nodash": "replace(df.ds_add(ds, 1), '-', '')"},
    ),
}


@pytest.mark.parametrize("text", OLD)
def test_names_of_airflow_2_are_read_alike_by_both_and_noted_by_airflow_3(text: str) -> None:
    noted: list[str] = []
    for major, count in ((2, 0), (3, 1)):
        rendered = render_texts([text], scope(major, lambda old, new: noted.append(old)))
        assert (rendered.texts[0], rendered.bind) == OLD[text]
        assert len(noted) == count
    assert noted[0] in text


def test_two_texts_share_their_binds() -> None:
    rendered = render_texts(
        ["{{ macros.ds_add(ds, 1) }}", "{{ macros.ds_add(ds, 1) }}{{ macros.ds_add(ds, 2) }}"], scope()
    )
    assert rendered.texts == ("{ds_plus_1}", "{ds_plus_1}{ds_plus_2}")
    assert rendered.bind == {"ds_plus_1": "df.ds_add(ds, 1)", "ds_plus_2": "df.ds_add(ds, 2)"}


@pytest.mark.parametrize(
    ("sql", "bare"),
    [
        ("BEGIN; a; COMMIT;", "a;"),
        ("begin transaction;\na;\nb\n;\nend", "a;\nb\n;"),
        ("-- first\nBEGIN;\n-- second\na;\nCOMMIT", "-- first\n-- second\na;"),
        ("a; b", None),
        ("BEGIN; COMMIT;", None),
        ("BEGIN; a", None),
        ("select 'BEGIN;'; a; select 'COMMIT'", None),
        ("do $$ begin null; end $$; x; y", None),
    ],
)
def test_one_pair_of_brackets_comes_off_and_nothing_else(sql: str, bare: str | None) -> None:
    assert without_bracket(sql) == bare


def test_words_of_transactions_count_only_as_statements() -> None:
    assert controls_transaction("a; commit; b")
    assert controls_transaction("SAVEPOINT x; a")
    assert not controls_transaction("select 'x; commit;' -- ; rollback")
    assert not controls_transaction("create function f() returns int language plpgsql as $f$ begin return 1; end $f$")
    assert not controls_transaction("select committed, endpoint from beginnings")


def test_a_leading_role_comes_off_only_when_nothing_resets_it() -> None:
    assert leading_role('set role "Team A"; a') == ("Team A", "a")
    assert leading_role("set role a; b; reset role") is None
    assert leading_role("set role none; b") is None
    assert leading_role("a; set role b") is None


def test_a_list_becomes_one_text_with_every_statement_ended() -> None:
    assert joined(["a", "b"]) == "a;\nb"
    assert joined(["a;", "b -- c", "d"]) == "a;\nb -- c\n;\nd;"
    assert joined(["a", "  ", "b"]) == "a;\nb"


def test_placeholders_follow_psycopgs_rules() -> None:
    assert put_in("%(a)s %% %(b)s %(a)s", {"a": "1", "b": "2"}) == "1 % 2 1"
    assert put_in("%s, %s", ["'%s'", "2"]) == "'%s', 2"
    for text, parameters in (("%s", []), ("%s", ["1", "2"]), ("100 %", ["1"]), ("%(a)s", {"b": "1"})):
        with pytest.raises(PlaceholderError):
            put_in(text, parameters)


def test_literals_are_those_of_psycopg2() -> None:
    values = [None, True, 1, -1, "it's", [1, 2], [], ("a", 1), 1.5]
    assert [literal(value) for value in values] == [
        "NULL", "true", "1", " -1", "'it''s'", "ARRAY[1,2]", "'{}'", "('a', 1)", "1.5",
    ]  # fmt: skip
    with pytest.raises(PlaceholderError):
        literal(object())


def test_columns_are_named_only_where_each_has_a_name_of_its_own() -> None:
    assert columns("select code, t.Amount as \"Sum\" from s where d = '{ds}'") == ("code", "Sum")
    assert columns("select * from s") is None
    assert columns("select count(*) from s") is None
    assert columns("select a, b as a from s") is None
    assert columns("insert into t select 1 as a returning a") is None
    assert columns("select a from s; select b from s") is None


def test_tables_are_told_apart_by_what_happens_to_them() -> None:
    found = tables(
        "with x as (select 1 from r.a) insert into w.b select * from x; truncate w.c; delete from w.d using r.e"
    )
    assert (found.writes, found.truncates) == ({"w.b", "w.d"}, {"w.c"})
    assert found.reads == {"r.a", "r.e"}
