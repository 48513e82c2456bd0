"""Every SQL text of the example, as the engine fills it in, equals Airflow's own rendering byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from bundled_example import EXAMPLE
from dates import DATES, Rendering
from psycopg.types.json import Jsonb
from server import Database
from two_sides import AirflowAnswer

from pgdurable_core.engine import Client, Connection

# Where the bytes differ on purpose: task, what Airflow has, what stands here instead, and why.
DIFFERENCES = (
    ("rebuild", "BEGIN; ", "", "AF114: a step is one transaction already"),
    ("rebuild", "; COMMIT;", "", "AF114: likewise; and a separator that separates nothing is dropped"),
    ("summarise", "%(region)s", "'DE'", "AF161: Airflow leaves the value to the driver, the engine writes the literal"),
)
SQL_TASKS = ("merge", "purge", "quality", "rebuild", "regions", "stage.orders", "stage.refunds", "summarise")


@pytest.fixture(scope="module")
def rendered(clones: Mapping[str, Database], ours: object) -> Iterator[dict[Rendering, dict[str, str]]]:
    """Start an instance for every date and let the engine hand out the text of each step, to a worker that runs none.

    The steps are those of the reviewed document; only their class differs: `session`, for which the engine gives the
    finished text to a worker, where it would execute a plain one itself.
    """
    with clones["pgdurable/full"].connect() as connection:
        client = Client(connection)
        connection.execute("select df.create_workflow('rendered', graph => %s)", [Jsonb(_all_in_sessions())])
        dates = {
            client.start("rendered", params=each.params, logical_date=datetime.fromisoformat(each.moment)): each
            for each in DATES
        }
        yield _collect(connection, dates)


def test_dates_enough_and_all_different() -> None:
    assert len(set(DATES)) == len(DATES) >= 50


def test_every_sql_task_renders_as_in_airflow_for_every_date(
    airflow: AirflowAnswer, rendered: Mapping[Rendering, Mapping[str, str]]
) -> None:
    expected = {
        date: {task: _as_here(task, statements) for task, statements in texts.items()}
        for date, texts in airflow.rendered.items()
    }
    assert {date: dict(sorted(texts.items())) for date, texts in rendered.items()} == {
        date: dict(sorted(texts.items())) for date, texts in expected.items()
    }
    assert {tuple(sorted(texts)) for texts in expected.values()} == {SQL_TASKS}


def test_the_texts_differ_from_date_to_date(rendered: Mapping[Rendering, Mapping[str, str]]) -> None:
    days = {date.moment: texts["stage.orders"] for date, texts in rendered.items()}
    # An evening in UTC is the next day in Berlin, and ds is UTC's.
    assert "order_date = '2026-03-28'" in days["2026-03-29T00:00:00+01:00"]
    assert "order_date = '2024-02-29'" in days["2024-02-29T06:00:00+00:00"]
    assert len(set(days.values())) > 45


def _as_here(task: str, statements: list[str]) -> str:
    """Apply the table of differences to Airflow's text; a list of statements is one text here, one per line."""
    text = ";\n".join(statements)
    for name, theirs, here, _ in DIFFERENCES:
        if name == task:
            assert text.count(theirs) == 1, (task, theirs, text)
            text = text.replace(theirs, here)
    return text


def _all_in_sessions() -> dict[str, Any]:
    """Return the reviewed document with every SQL text in the hands of a session, and without what is no SQL.

    The branch was Python in Airflow, so there is no text to compare; both of its ways are taken.
    """
    document: dict[str, Any] = json.loads((EXAMPLE / "workflows" / "orders_daily.graph.json").read_text())
    steps = [step for step in document["steps"] if step["key"] not in ("choose_load", "erp_batch")]
    for step in steps:
        step["run"] = {"kind": "sql", "sql": step["run"]["sql"]}
        step["class"] = "session"
        step["after"] = ["summarise" if key == "erp_batch" else key for key in step.get("after", [])]
        step["after"] = ["quality" if key == "choose_load" else key for key in step["after"]]
    return {
        "pgdurable_graph": 1,
        "name": "rendered",
        "params": document["params"],
        "steps": steps,
    }


def _collect(connection: Connection, dates: Mapping[str, Rendering]) -> dict[Rendering, dict[str, str]]:
    """Claim, note the text, complete with one row, until nothing is left."""
    texts: dict[Rendering, dict[str, str]] = {date: {} for date in dates.values()}
    ((worker,),) = connection.execute("select df.register_worker('reader', 'here', 1, 'test', '5 minutes')").fetchall()
    while True:
        connection.execute("call df.work(idle_seconds => 0)")  # opens the maps
        ((claim,),) = connection.execute("select df.claim_step(%s, '{session}')", [worker]).fetchall()
        if claim is None:
            return texts
        names = [claim[name] for name in ("instance_id", "scope_id", "step", "token")]
        statements = claim["sql"]
        if claim["has_names"]:
            ((statements,),) = connection.execute("select df.session_text(%s, %s, %s, %s)", names).fetchall()
        seen = texts[dates[claim["instance_id"]]]
        assert claim["key"] not in seen
        seen[claim["key"]] = ";".join(statements)
        connection.execute("select df.complete_step(%s, %s, %s, %s, %s)", [*names, '[{"code": "DE"}]'])
