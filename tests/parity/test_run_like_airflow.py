"""The example ends as Airflow's own run of it ends: tasks, tables, results, and what left the house."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from erp import Erp, Request
from two_sides import MODES, AirflowAnswer, Outcome

# AF131, the whole of it: Airflow keeps numeric results as JSON floats, the engine as exact decimals.
# What the ERP gets from Airflow, and from the engine:
AF131 = {
    "2026-11-21;DE;186375.0\n2026-11-21;FR;187625.0\n2026-11-21;PL;188875.0": (
        "2026-11-21;DE;186375.00\n2026-11-21;FR;187625.00\n2026-11-21;PL;188875.00"
    )
}


@pytest.mark.parametrize("mode", MODES)
def test_every_task_and_map_index_ends_in_airflows_state(
    airflow: AirflowAnswer, ours: Mapping[str, Outcome], mode: str
) -> None:
    theirs = airflow.runs[mode]
    assert ours[mode].tasks == theirs.tasks
    assert (ours[mode].state, theirs.state, len(theirs.tasks)) == ("success", "success", 12)
    skipped = {"incremental": "rebuild", "full": "merge"}[mode]
    assert {task: state for task, state in theirs.tasks.items() if state != "success"} == {(skipped, -1): "skipped"}


@pytest.mark.parametrize("mode", MODES)
def test_every_table_holds_what_airflow_leaves_in_it(
    airflow: AirflowAnswer, ours: Mapping[str, Outcome], seeded_tables: Mapping[str, tuple[int, int]], mode: str
) -> None:
    assert ours[mode].tables == airflow.runs[mode].tables
    # Both sides did something, and to the same tables: equal emptiness would prove nothing.
    changed = {name for name, content in ours[mode].tables.items() if content != seeded_tables[name]}
    assert changed == {"mart.orders", "stage.orders", "stage.refunds"}
    assert set(ours[mode].tables) - changed == {"raw.orders", "raw.refunds", "ref.regions"}


@pytest.mark.parametrize("mode", MODES)
def test_erp_batch_returns_what_it_returns_in_airflow(
    airflow: AirflowAnswer, ours: Mapping[str, Outcome], mode: str
) -> None:
    assert (airflow.runs[mode].erp_batch, ours[mode].erp_batch) == (3, 3)


@pytest.mark.parametrize("mode", MODES)
def test_the_erp_gets_the_same_request_but_for_the_scale_of_numbers(
    airflow: AirflowAnswer, ours: Mapping[str, Outcome], the_erp: Erp, mode: str
) -> None:
    (theirs,) = the_erp.received_from(f"airflow/{mode}")
    (sent,) = the_erp.received_from(f"pgdurable/{mode}")
    assert {theirs.body: sent.body} == AF131
    assert [float(line.split(";")[2]) for line in theirs.body.splitlines()] == [
        float(line.split(";")[2]) for line in sent.body.splitlines()
    ]
    assert _without_sizes(sent) == _without_sizes(theirs)


def _without_sizes(request: Request) -> tuple[str, dict[str, str]]:
    """Leave out what follows from sender and body."""
    return request.method, {name: value for name, value in request.headers.items() if name != "Content-Length"}
