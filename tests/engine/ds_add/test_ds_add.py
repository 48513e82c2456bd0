"""df.ds_add: Airflow's macros.ds_add."""

from engine_room import Engine


def test_days_are_added_across_months_and_leap_years(pure: Engine) -> None:
    answers = pure.rows("select df.ds_add('2015-01-01', 5), df.ds_add('2024-03-01', -1), df.ds_add('2023-12-31', 1)")
    assert answers == [("2015-01-06", "2024-02-29", "2024-01-01")]
    assert pure.value("select df.ds_add(null, 1)") is None
