"""df.ds_format: Airflow's macros.ds_format, in Python's own format words."""

from __future__ import annotations

from datetime import datetime

import pytest
from engine_room import Engine, refused

CASES = [
    ("2015-01-01", "%Y-%m-%d", "%m-%d-%y"),
    ("1/5/2015", "%m/%d/%Y", "%Y-%m-%d"),
    ("2024-02-29 23:05:09", "%Y-%m-%d %H:%M:%S", "%j %I:%M %p, %a %A %b %B"),
    ("2024-03-31 02:30", "%Y-%m-%d %H:%M", "%Y%m%dT%H%M%S.%f"),
    ("2024-01-02", "%Y-%m-%d", 'day %d "of" 100%% MM HH24'),
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("case", CASES, ids=[case[2] for case in CASES])
def test_it_writes_what_python_writes_in_every_zone(pure: Engine, case: tuple[str, str, str], zone: str) -> None:
    pure.rows(f"set timezone = '{zone}'")
    expected = datetime.strptime(case[0], case[1]).strftime(case[2])
    assert pure.value("select df.ds_format(%s, %s, %s)", *case) == expected


def test_a_directive_without_an_equal_is_refused_by_name(pure: Engine) -> None:
    assert refused(pure, "select df.ds_format('2024-01-01', '%Y-%m-%d', '%U')") == (
        "PD501",
        "format directive %U has no equal in PostgreSQL",
        None,
        None,
    )
