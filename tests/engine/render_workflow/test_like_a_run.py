"""The bundled example, rendered without a run, equals what its steps are handed in one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bundled_example import EXAMPLE
from engine_room import Engine
from engine_worker import Worker
from psycopg.types.json import Jsonb

# A leap day, the minute after a change of clocks, a year that turns elsewhere first.
DATES = ("2026-11-21", "2024-02-29T06:00:00+00:00", "2026-03-29T01:30:00+01:00", "2026-01-01T23:59:59.999999-11:00")
SQL = ("sql", "check", "branch")


def in_sessions() -> dict[str, Any]:
    """The reviewed document with every SQL text in the hands of a session, to which the engine tells it, not run."""
    document: dict[str, Any] = json.loads((EXAMPLE / "workflows" / "orders_daily.graph.json").read_text())
    for step in document["steps"]:
        if step["run"]["kind"] in SQL:
            step["run"] = {"kind": "sql", "sql": step["run"]["sql"]}
            step["class"] = "session"
    return {name: document[name] for name in ("pgdurable_graph", "name", "params", "defaults", "steps")}


@pytest.mark.parametrize("params", [{}, {"mode": "full", "keep_days": 366}], ids=["defaults", "given"])
@pytest.mark.parametrize("date", DATES)
def test_every_step_of_the_example_is_rendered_as_a_run_executes_it(
    engine: Engine, date: str, params: dict[str, Any]
) -> None:
    engine.rows("select df.set_connection('warehouse')")
    engine.rows("select df.create_workflow('orders_daily', graph => %s)", Jsonb(in_sessions()))
    rendered: dict[str, list[str]] = {}
    open_names: dict[str, list[str]] = {}
    for key, text, names, problem in engine.rows(
        "select key, text, open_names, problem from df.render_workflow('orders_daily', null, %s, %s)",
        date,
        Jsonb(params),
    ):
        assert problem is None
        rendered.setdefault(key, []).append(text)
        open_names.setdefault(key, []).extend(names)
    assert {key: names for key, names in open_names.items() if names} == {
        "summarise": ["$item.code"],
        "erp_batch": ['{"xcom": "summarise"}'],
    }
    executed = run(engine, date, params)
    assert executed.pop("erp_batch") == [{"ds": date_in_utc(engine, date), "totals": [[{"code": "DE"}]]}]
    assert json.loads(rendered.pop("erp_batch")[0]) == {
        "ds": date_in_utc(engine, date),
        "totals": {"xcom": "summarise"},
    }
    rendered["summarise"] = [text.replace("$item.code", "'DE'") for text in rendered["summarise"]]
    assert rendered == executed
    assert len(rendered) == 9


def run(engine: Engine, date: str, params: dict[str, Any]) -> dict[str, list[Any]]:
    """Run it with a worker that notes what it is handed and completes it with one row."""
    engine.rows("select df.start_workflow('orders_daily', logical_date => %s, params => %s)", date, Jsonb(params))
    worker = Worker(engine)
    executed: dict[str, list[Any]] = {}
    while True:
        engine.work()
        claim = worker.claim()
        if claim is None:
            return executed
        assert claim["key"] not in executed
        if claim["kind"] == "python":
            args = json.loads(claim["args_json"])
            args["totals"] = [rows["__rows__"] and [{"code": rows["__rows__"][0][0]}] for rows in args["totals"]]
            executed[claim["key"]] = [args]
            worker.call("complete_step", claim, "3", None)
            continue
        executed[claim["key"]] = worker.call("session_text", claim) if claim["has_names"] else claim["sql"]
        worker.call("complete_step", claim, '[{"code": "DE"}]', 1)


def date_in_utc(engine: Engine, date: str) -> str:
    return str(engine.value("select to_char(%s::timestamptz at time zone 'UTC', 'YYYY-MM-DD')", date))
