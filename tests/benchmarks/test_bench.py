"""The benchmarks run, compare like with like and keep their raw numbers; nothing here looks at how fast."""

from __future__ import annotations

import json

import psycopg
import pytest
from server import TestServer

from pgdurable_core.bench import Place, given_place, private_place, run_chain, run_fan_in, run_snapshot
from pgdurable_core.bench.figures import Comparison, Report, Series


def test_every_benchmark_runs_on_a_private_server_and_says_what_it_compared() -> None:
    told: list[str] = []
    with private_place() as place:
        chain = run_chain(place, [1, 2], 1, 0.1, told.append)
        _no_other_claims(place)
    with private_place() as place:
        fan_in = run_fan_in(place, 2, 1, 100, told.append)
    assert [len(each.measured) for each in chain.comparisons] == [3, 3]
    for report in (chain, fan_in):
        lines = "\n".join(report.as_lines())
        for word in ("Machine", "PostgreSQL 18", "fsync on", "median", "ratio"):
            assert word in lines
        kept = json.loads(json.dumps(report.as_json()))
        assert all(each["base"]["rates"][0] > 0 for each in kept["comparisons"])
    assert told


def _no_other_claims(place: Place) -> None:
    with place.connect() as connection:
        states = connection.execute("select distinct state from df._steps").fetchall()
    assert states == [("completed",)]


def test_a_benchmark_elsewhere_leaves_nothing_behind(server: TestServer) -> None:
    with given_place(server.admin_dsn) as place:
        report = run_snapshot(place, 2, 1, 0.1, 200, lambda _: None)
        with pytest.raises(psycopg.Error), psycopg.connect(server.admin_dsn) as connection:
            connection.execute("select 1 from df._steps")
    assert report.comparisons[0].ratio(report.comparisons[0].measured[0]) > 0
    with psycopg.connect(server.admin_dsn) as connection:
        left = connection.execute("select count(*) from pg_database where datname like 'pgdurable_bench%'").fetchone()
    assert left == (0,)


def test_a_ratio_is_one_median_over_the_other() -> None:
    comparison = Comparison("t", Series("base", (10, 30, 20)), (Series("ours", (5, 50, 30)),), 0.7)
    report = Report("chain", {"Machine": "m"}, [comparison])
    assert comparison.ratio(comparison.measured[0]) == 1.5
    assert report.as_lines()[2:5] == [
        "t",
        "  base: 20 a second (median of 3, 10 to 30)",
        "  ours: 30 a second (median of 3, 5 to 50), ratio 1.50",
    ]
