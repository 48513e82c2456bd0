import pickle
import re
from importlib.resources import files

import pytest

from pgdurable_core import errors
from pgdurable_core.errors import (
    BY_SQLSTATE,
    ConflictError,
    DatabaseUnavailableError,
    DocumentError,
    EngineError,
    PgDurableError,
    Problem,
    SetupError,
    UsageError,
    from_sqlstate,
)


def all_errors() -> list[type[PgDurableError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PgDurableError)]


def test_the_classes_are_those_of_the_table_in_the_readme() -> None:
    readme = files("pgdurable_core").joinpath("sql/README.md").read_text("utf-8")
    table = dict(re.findall(r"^\| (PD\d{3}) \|.*\| `(\w+)` \|$", readme, re.MULTILINE))
    assert table == {code: kind.__name__ for code, kind in BY_SQLSTATE.items()}


def test_a_code_of_ours_becomes_its_class_and_keeps_every_field() -> None:
    error = from_sqlstate("PD409", "the claim is lost", detail="step b", hint="claim again")
    assert type(error) is ConflictError
    assert (error.message, error.detail, error.hint, error.sqlstate) == (
        "the claim is lost",
        "step b",
        "claim again",
        "PD409",
    )


def test_a_code_newer_than_this_client_is_still_ours() -> None:
    assert type(from_sqlstate("PD777", "?")) is EngineError


@pytest.mark.parametrize("sqlstate", [None, "23505", "P0001", "57014", "42P01"])
def test_errors_of_the_users_own_sql_pass(sqlstate: str | None) -> None:
    assert from_sqlstate(sqlstate, "duplicate key") is None


@pytest.mark.parametrize("sqlstate", ["08006", "08001", "57P01", "57P03", "53300"])
def test_a_database_that_is_gone_is_one_error(sqlstate: str) -> None:
    assert type(from_sqlstate(sqlstate, "gone")) is DatabaseUnavailableError


def test_every_error_has_one_of_the_three_exit_codes() -> None:
    assert {kind.__name__: kind.exit_code for kind in all_errors() if kind.exit_code != 1} == {
        "UsageError": 2,
        "MissingDependencyError": 2,
        "OutputError": 2,
        "DatabaseUnavailableError": 3,
        "SchemaError": 3,
        "SetupError": 3,
        "DrainingError": 3,
    }
    assert {kind.exit_code for kind in all_errors()} == {1, 2, 3}


def test_show_aligns_what_is_there_and_leaves_out_what_is_not() -> None:
    error = SetupError("statement_timeout is set", hint="set it to 0:\nset statement_timeout = 0", sqlstate="PD500")
    assert error.show() == (
        "statement_timeout is set\n  hint    set it to 0:\n          set statement_timeout = 0\n  code    PD500"
    )
    assert UsageError("no such option").show() == "no such option"


def test_a_document_error_lists_every_problem_with_its_place() -> None:
    error = DocumentError(
        [
            Problem("cycle", "a -> a", "/steps/0/after", step="a", source="dags/x.py:3"),
            Problem("unknown-field", "'colour' is no field of this object", "/colour"),
            Problem("empty-graph", "the workflow has no steps"),
        ],
        name="orders",
    )
    assert error.show() == (
        "the graph document of orders has 3 problems\n"
        "  detail  a (dags/x.py:3): a -> a [cycle]\n"
        "          /colour: 'colour' is no field of this object [unknown-field]\n"
        "          the workflow has no steps [empty-graph]"
    )


@pytest.mark.parametrize(
    "error",
    [ConflictError("lost", hint="again", sqlstate="PD409"), DocumentError([Problem("cycle", "a -> a")], name="x")],
)
def test_errors_cross_process_borders_whole(error: PgDurableError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
