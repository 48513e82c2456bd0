"""What an instance left behind, in Airflow's shapes: the value for XCom, lines for the task log, the failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from pgdurable_core.engine import EventRow, InstanceRow, StepRow
from pgdurable_core.engine.rows import error_text
from pgdurable_core.errors import NotFoundError
from pgdurable_core.graph.model import JsonValue


def last_steps(steps: Sequence[StepRow]) -> list[str]:
    """Return the keys of the steps that no other step comes after."""
    before = {key for step in steps for key in step.after or ()}
    return [key for key in dict.fromkeys(step.key for step in steps) if key not in before]


def value_of(steps: Sequence[StepRow], key: str) -> object:
    """Return a step's result as the same task would have pushed it to XCom.

    Rows are tuples in a list, numeric a float, and what is no number, text, boolean or JSON is the text that
    PostgreSQL's JSON has for it. A check, and a statement without rows, leave nothing. A mapped step gives a list of
    its items' values by map index, without those that did not complete. Raises NotFoundError.
    """
    mine = [step for step in steps if step.key == key]
    if not mine:
        raise NotFoundError(f"there is no step {key!r} to take the result from")
    items = [step for step in mine if step.map_index is not None]
    if not items:
        return _value(mine[0])
    done = sorted((step for step in items if step.status == "completed"), key=lambda step: step.map_index or 0)
    return [_value(step) for step in done]


def outcome_lines(steps: Sequence[StepRow]) -> list[str]:
    """Return one line for every step: `completed  load[3]  300 rows`, `failed  load  23505 duplicate key`."""
    lines = []
    for step in steps:
        rows = "" if step.row_count is None else "1 row" if step.row_count == 1 else f"{step.row_count} rows"
        said = error_text(step.error) or step.reason or rows
        lines.append(f"{step.status:<15} {step.label}" + (f"  {said}" if said else ""))
    return lines


def failure_text(instance: InstanceRow, steps: Sequence[StepRow], events: Sequence[EventRow]) -> str:
    """Tell why an instance did not complete, as the failing step's own error and where to read on."""
    error = instance.error if isinstance(instance.error, Mapping) else {}
    failed = _failed_step(steps, error)
    where = failed.label if failed else instance.failed_step
    if instance.status == "cancelled":
        head = f"workflow {instance.workflow} was cancelled{_by_whom(events)}"
    elif where is None:
        head = f"workflow {instance.workflow} {instance.status}"
    else:
        head = f"step {where} of workflow {instance.workflow} failed"
    message = " ".join(str(part) for part in (error.get("sqlstate"), error.get("message")) if part)
    rows = [
        ("detail", error.get("detail")),
        ("hint", error.get("hint")),
        ("context", error.get("context")),
        ("step", _place(failed)),
        ("instance", instance.instance_id),
        ("look", f"pgdurable explain {instance.instance_id}"),
    ]
    shown = [f"  {name:<8} {_indented(str(text))}" for name, text in rows if text]
    return "\n".join([f"{head}: {message}" if message else head, *shown])


def _failed_step(steps: Sequence[StepRow], error: Mapping[str, JsonValue]) -> StepRow | None:
    named = [step for step in steps if step.key == error.get("step") and step.map_index == error.get("map_index")]
    return named[0] if named else next((step for step in steps if step.status == "failed"), None)


def _by_whom(events: Sequence[EventRow]) -> str:
    cancels = [event for event in events if event.kind == "cancel"]
    if not cancels:
        return ""
    return f" by {cancels[-1].actor or 'somebody'}" + (f": {cancels[-1].reason}" if cancels[-1].reason else "")


def _place(step: StepRow | None) -> str | None:
    if step is None:
        return None
    tries = f"try {step.attempt} of {step.max_attempts}" if step.attempt and step.max_attempts else None
    return ", ".join(part for part in (step.label, tries, step.source) if part)


def _value(step: StepRow) -> object:
    result = step.result
    if step.kind == "check":
        return None
    if step.kind == "sql" and isinstance(result, list):
        return [tuple(map(_plain, row.values())) if isinstance(row, Mapping) else _plain(row) for row in result]
    if step.kind == "branch" and isinstance(result, list) and result and isinstance(result[0], Mapping):
        return _plain(next(iter(result[0].values()), None))
    return _plain(result)


def _plain(value: JsonValue | Decimal) -> object:
    """Turn the exact numbers of the engine into the floats that Airflow's XCom makes of them."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n" + " " * 11)
