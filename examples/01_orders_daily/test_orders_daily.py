"""The workflow as its team tests it: `pytest` in this folder. Every test has a database of its own."""

from __future__ import annotations

WORKFLOW = "workflows/orders_daily.sql"


def test_a_day_ends_with_its_orders_in_the_mart(pgdurable_trial):
    run = pgdurable_trial(WORKFLOW, fixture="seed.sql", date="2026-11-21", stubs={"erp_batch": 3})
    assert run.is_completed
    assert run.step("merge").row_count == 300
    assert run.result("regions") == [{"code": "DE"}, {"code": "FR"}, {"code": "PL"}]
    assert run.query("select count(*), min(order_date)::text from mart.orders") == [(300, "2026-11-21")]


def test_a_day_that_runs_twice_is_there_once(pgdurable_trial):
    for fixture in ("seed.sql", ()):
        run = pgdurable_trial(WORKFLOW, fixture=fixture, date="2026-11-21", stubs={"erp_batch": 3})
    assert run.query("select count(*), count(distinct order_id) from mart.orders") == [(300, 300)]


def test_full_mode_rebuilds_and_does_not_merge(pgdurable_trial):
    run = pgdurable_trial(
        WORKFLOW, fixture="seed.sql", date="2026-11-21", params={"mode": "full"}, stubs={"erp_batch": 3}
    )
    assert (run.states["rebuild"], run.states["merge"]) == ("completed", "skipped")


def test_what_fails_the_check_never_reaches_the_mart(pgdurable_trial):
    run = pgdurable_trial(
        WORKFLOW,
        fixture="seed.sql",
        date="2026-11-21",
        stubs={"quality": [{"is_filled": True, "is_positive": False}], "erp_batch": 3},
    )
    assert run.states["quality"] == "failed"
    assert run.query("select count(*) from mart.orders") == [(0,)]
    # AF203: the last task hides it, in Airflow as here.
    assert run.status == "completed"
