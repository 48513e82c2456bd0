"""df.step: one step as the graph document writes it."""

from __future__ import annotations

import pytest
from engine_room import Engine, refused


def made(pure: Engine, call: str) -> object:
    return pure.value(f"select {call}")


def test_a_step_says_only_what_its_author_said(pure: Engine) -> None:
    assert made(pure, "df.step('a')") == {"key": "a", "run": {"kind": "empty"}}
    assert made(pure, "df.step('a', 'select 1', after => '{}')") == {
        "key": "a",
        "run": {"kind": "sql", "sql": "select 1"},
    }


def test_every_option_arrives_under_its_own_name(pure: Engine) -> None:
    call = """df.step('a', 'select 1', after => '{b,c}', rule => 'all_done', each => 'b', bind => '{"x": "ds"}',
        retries => 2, retry_delay => '10 s', timeout => '1 min', pool => 'p',
        run_as => 'r', connection => 'c', class => 'session',
        result_name => 'n', source => 'dags/x.py:28', doc => 'why')"""
    assert made(pure, call) == {
        "key": "a",
        "run": {"kind": "sql", "sql": "select 1"},
        "after": ["b", "c"],
        "rule": "all_done",
        "each": "b",
        "bind": {"x": "ds"},
        "retries": 2,
        "retry_delay": "10 s",
        "timeout": "1 min",
        "pool": "p",
        "run_as": "r",
        "connection": "c",
        "class": "session",
        "result_name": "n",
        "source": "dags/x.py:28",
        "doc": "why",
    }


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ("\nselect 1\n", "select 1"),
        ("\n\nselect 1\n\n", "\nselect 1\n"),
        ("select '{}'", "select '{}'"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"node_type": 1}', '{"node_type": 1}'),
        ("{not json", "{not json"),
        ("", ""),
    ],
)
def test_text_that_is_no_builder_is_sql_without_one_newline_at_each_end(pure: Engine, run: str, text: str) -> None:
    assert pure.value("select df.step('a', %s) -> 'run'", run) == {"kind": "sql", "sql": text}


def test_null_in_a_binding_is_kept_for_the_compiler_to_refuse(pure: Engine) -> None:
    assert made(pure, """df.step('a', 'x', bind => '{"b": null}') -> 'bind'""") == {"b": None}


def test_a_builder_of_another_engine_is_refused_by_name(pure: Engine) -> None:
    assert refused(pure, """select df.step('a', '{"node_type": "LOOP", "query": "x"}')""") == (
        "PD501",
        "df.step: this version has no step for node type LOOP",
        None,
        "Known: SQL, CHECK, BRANCH, PYTHON, SHELL; leave run out for an empty step.",
    )
