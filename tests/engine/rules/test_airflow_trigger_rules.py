"""The engine's decision against a table that Airflow's own code computed (airflow/ti_deps/deps/trigger_rule_dep.py)."""

from __future__ import annotations

import json
from pathlib import Path

from engine_room import Engine

ROWS = json.loads(Path(__file__).with_name("airflow_trigger_rules.json").read_text())
# Setup and teardown are not here yet: rows with a setup among the upstreams are counted, not judged.
JUDGED = [row for row in ROWS if not row["setup"]]
WITH_SETUP = 78

DECIDE = """
select row.pos, df._decide(row.v ->> 'rule', jsonb_array_length(row.v -> 'upstream'),
    (select count(*)::integer from jsonb_array_elements_text(row.v -> 'upstream') u where u = 'success'),
    (select count(*)::integer from jsonb_array_elements_text(row.v -> 'upstream') u where u = 'failed'),
    (select count(*)::integer from jsonb_array_elements_text(row.v -> 'upstream') u where u = 'skipped'),
    (select count(*)::integer from jsonb_array_elements_text(row.v -> 'upstream') u where u = 'upstream_failed'),
    (select count(*)::integer from jsonb_array_elements_text(row.v -> 'upstream') u where u = 'removed'))
from jsonb_array_elements(%s::jsonb) with ordinality row(v, pos) order by row.pos
"""


def test_the_table_is_whole_and_every_row_left_out_is_counted() -> None:
    rules = {row["rule"] for row in ROWS}
    assert (len(ROWS), len(rules), len(ROWS) - len(JUDGED)) == (1157, 13, WITH_SETUP)
    assert {row["rule"] for row in JUDGED} == rules
    states = {state for row in JUDGED for state in row["upstream"]}
    assert states == {None, "success", "failed", "skipped", "upstream_failed", "removed"}


def test_every_row_without_setup_is_decided_as_airflow_decides_it(pure: Engine) -> None:
    answers = [answer for _, answer in pure.rows(DECIDE, json.dumps(JUDGED))]
    differing = [
        (row["rule"], row["upstream"], row["result"], answer)
        for row, answer in zip(JUDGED, answers, strict=True)
        if answer != row["result"]
    ]
    assert differing == []


def test_a_step_without_upstreams_runs_under_every_rule(pure: Engine) -> None:
    rules = sorted({row["rule"] for row in ROWS})
    assert pure.rows("select r, df._decide(r, 0, 0, 0, 0, 0, 0) from unnest(%s::text[]) r order by r", rules) == [
        (rule, "run") for rule in rules
    ]
