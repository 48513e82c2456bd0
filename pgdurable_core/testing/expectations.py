"""What somebody expects of a run, in a file, and where it came out differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psycopg

from pgdurable_core.errors import UsageError
from pgdurable_core.graph.model import JsonValue
from pgdurable_core.testing.stubs import read_json
from pgdurable_core.testing.trial import Run

KNOWN: Final = ("status", "states", "results", "row_counts")


def read_expectation(file: Path) -> Mapping[str, JsonValue] | str:
    """Read a file of expectations: SQL as text, JSON as an object of the four known members. Raises UsageError."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if file.suffix == ".sql":
        return text
    try:
        value = read_json(text)
    except ValueError as error:
        raise UsageError(
            f"{file} is no JSON: {error}", hint="what is expected stands in a .json or .sql file"
        ) from error
    if not isinstance(value, Mapping) or not value.keys() <= set(KNOWN):
        raise UsageError(f"{file} is not an object of {', '.join(KNOWN)}")
    for name in KNOWN[1:]:
        if not isinstance(value.get(name, {}), Mapping):
            raise UsageError(f"{file}: {name} must be an object, with the labels of steps")
    return value


def differences(run: Run, expected: Mapping[str, JsonValue] | str) -> Iterator[str]:
    """Say where a run is not what was expected, a line each; what is not mentioned may be anything.

    SQL: of every statement that returns rows the first must be there, and true in every column, as in a check step.
    """
    if isinstance(expected, str):
        yield from _of_statements(run, expected)
        return
    if expected.get("status", run.status) != run.status:
        yield f"status is {run.status}, expected {expected['status']}"
    for name, found in (
        ("states", run.states),
        ("results", {label: run.result(label) for label in run.states}),
        ("row_counts", {step.label: step.row_count for step in run.steps}),
    ):
        wanted = expected.get(name, {})
        assert isinstance(wanted, Mapping)
        for label, value in wanted.items():
            if label not in run.states:
                yield f"{label}: there is no such step; there are {', '.join(run.states)}"
            elif found[label] != value:
                yield f"{label}: {name.removesuffix('s').replace('_', ' ')} is {found[label]}, expected {value}"


def _of_statements(run: Run, text: str) -> Iterator[str]:
    # Rolled back: an expectation looks, and the next one must see what this one saw.
    connection = run.trial.client.connection
    with connection.transaction(force_rollback=True):
        try:
            cursor = connection.execute(text.encode())
        except psycopg.Error as error:
            yield str(error.diag.message_primary or error)
            return
        number = 0
        while True:
            number += 1
            if cursor.description is not None:
                names = [column.name for column in cursor.description]
                row = cursor.fetchone()
                if row is None:
                    yield f"statement {number} returned no row"
                elif wrong := [
                    f"{name} is {value}" for name, value in zip(names, row, strict=True) if value is not True
                ]:
                    yield f"statement {number}: {', '.join(wrong)}, expected true"
            if not cursor.nextset():
                return
