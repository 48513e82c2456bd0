"""Stubs: results in the shape that later steps expect, and no text in them that is a name to the engine."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pgdurable_core.errors import UsageError
from pgdurable_core.testing.stubbed import result
from pgdurable_core.testing.stubs import RETURNS, check_names, plain, read_stub, rows_sql, stub_run


def test_a_stub_is_json_or_a_file_of_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[{"amount": 186375.00}]')
    assert read_stub("a=3") == ("a", 3)
    assert read_stub('stage.orders={"b": "c=d"}') == ("stage.orders", {"b": "c=d"})
    key, rows = read_stub(f"a={file}")
    assert (key, str(rows)) == ("a", "[{'amount': Decimal('186375.00')}]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "--stub 'a' is not STEP=FILE or STEP=json"),
        ("=3", "--stub '=3' is not STEP=FILE or STEP=json"),
        ("a=no.json", "the stub of a is no JSON, and there is no file 'no.json' (No such file or directory)"),
        ("a=NaN", "the stub of a is no JSON, and there is no file 'NaN' (No such file or directory)"),
    ],
)
def test_what_is_neither_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_stub(text)
    assert caught.value.message == message


def test_a_name_that_is_no_step_is_refused_with_what_was_meant() -> None:
    check_names({"erp_batch": 3}, ["merge", "erp_batch"])
    for name, hint in (("erp_bach", "did you mean erp_batch?"), ("zzz", "there are: merge, erp_batch")):
        with pytest.raises(UsageError) as caught:
            check_names({name: 3}, ["merge", "erp_batch"])
        assert (caught.value.message, caught.value.hint) == (
            f"no step is called {name!r}, so it cannot be stubbed",
            hint,
        )


def test_python_and_shell_steps_return_the_json_as_it_is() -> None:
    value = {"amount": Decimal("1.50"), "text": "{ds} $x", "list": [1, None, True]}
    for kind in ("python", "shell"):
        run = stub_run("a", kind, value)
        assert (run["kind"], run["callable"]) == ("python", RETURNS)
        args = run["args"]
        assert isinstance(args, dict)
        assert "{" not in args["value"]
        assert str(result(**args)) == str(value)


def test_rows_are_typed_by_column() -> None:
    rows = [
        {"n": 1, "amount": Decimal("1.50"), "ok": True, "text": "a'b\\", "mixed": 1, "none": None},
        {"n": None, "amount": 2, "ok": None, "mixed": "x", "list": [Decimal("1.0")]},
    ]
    assert rows_sql(rows) == (
        "select * from (values\n"
        "('1'::numeric, '1.50'::numeric, true::boolean, E'a\\'b\\\\'::text, E'1'::json, null::text, null::json),\n"
        "(null::numeric, '2'::numeric, null::boolean, null::text, E'\"x\"'::json, null::text, E'[1.0]'::json)\n"
        ') as stub("n", "amount", "ok", "text", "mixed", "none", "list")'
    )


def test_nothing_in_rows_is_a_name_to_the_engine() -> None:
    text = rows_sql([{'{ds} "': "{ds} {run_id}", "b": {"ds": "{ds}"}}])
    assert "{" not in text
    assert text.endswith('as stub(U&"\\007bds} """, "b")')


def test_each_kind_has_its_short_forms() -> None:
    for kind, value, sql in (
        ("sql", None, "do $$begin end$$"),
        ("sql", [], "select from generate_series(1, 0)"),
        ("sql", {"a": 1}, rows_sql([{"a": 1}])),
        ("check", False, rows_sql([{"ok": False}])),
        ("check", [{"a": True}], rows_sql([{"a": True}])),
        ("branch", "merge", rows_sql([{"choice": "merge"}])),
        ("branch", ["a", "b"], rows_sql([{"choice": "a"}, {"choice": "b"}])),
    ):
        assert stub_run("s", kind, value) == {"kind": kind, "sql": sql}  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "value"), [("sql", 3), ("sql", "x"), ("sql", [1]), ("check", "x"), ("branch", 3)])
def test_a_value_that_the_kind_cannot_have_is_refused(kind: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        stub_run("s", kind, value)  # type: ignore[arg-type]
    article = "an" if kind == "sql" else "a"
    assert caught.value.message == f"the stub of s must be rows, since s is {article} {kind} step"


def test_an_empty_step_has_nothing_to_stub() -> None:
    with pytest.raises(UsageError, match="s does nothing"):
        stub_run("s", "empty", 3)


def test_a_python_value_becomes_what_a_step_would_return() -> None:
    assert plain({"day": datetime.date(2026, 11, 21), "set": {2, 1}, "row": (1, Decimal("1.50"))}) == {
        "day": "2026-11-21",
        "set": [1, 2],
        "row": [1, Decimal("1.50")],
    }
    with pytest.raises(UsageError, match="a stub cannot be that"):
        plain(object())
