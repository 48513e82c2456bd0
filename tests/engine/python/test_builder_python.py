"""df.python: a callable of a pinned module."""

from __future__ import annotations

import pytest
from engine_room import Engine, refused


def test_callable_arguments_and_runtime_are_kept(pure: Engine) -> None:
    assert pure.value(
        """select df.step('a', df.python('p.m:C.f', '{"x": [1.10, null, {"xcom": "b"}]}', 'airflow')) -> 'run'"""
    ) == {
        "kind": "python",
        "callable": "p.m:C.f",
        "args": {"x": [1.10, None, {"xcom": "b"}]},
        "runtime": "airflow",
    }
    assert pure.value("select df.step('a', df.python('m:f', null)) -> 'run'") == {
        "kind": "python",
        "callable": "m:f",
        "args": {},
        "runtime": "python",
    }


@pytest.mark.parametrize("name", ["'m'", "'m:'", "'m:f()'", "'1m:f'", "'m:f;import os'", "''"])
def test_what_is_not_a_module_and_a_name_is_refused(pure: Engine, name: str) -> None:
    assert refused(pure, f"select df.python({name})") == (
        "PD400",
        f"df.python: {name} is not module:name",
        None,
        """Write df.python('package.module:function', '{"argument": 1}').""",
    )


def test_an_unknown_runtime_is_refused(pure: Engine) -> None:
    assert refused(pure, "select df.python('m:f', '{}', 'jython')") == (
        "PD400",
        "df.python: runtime is python or airflow, not jython",
        None,
        None,
    )
