from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgdurable_core.graph.duration import LONGEST, UNITS, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("5 min", timedelta(minutes=5)),
        ("10 s", timedelta(seconds=10)),
        ("1.5 h", timedelta(minutes=90)),
        ("2 days", timedelta(days=2)),
        ("1 week", timedelta(days=7)),
        ("250ms", timedelta(milliseconds=250)),
        ("5 Minutes", timedelta(minutes=5)),
        ("0 s", timedelta()),
        ("01:30:00", timedelta(minutes=90)),
        ("100:00:00.5", timedelta(hours=100, milliseconds=500)),
        ("0.000001 s", timedelta(microseconds=1)),
        ("36525 days", LONGEST),
    ],
)
def test_durations_are_read_as_postgresql_reads_them(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no duration"),
        ("5", "is no duration"),
        ("five min", "is no duration"),
        ("-5 min", "is no duration"),
        ("1 month", "is no duration"),
        ("1 year", "is no duration"),
        ("5 m", "is no duration"),
        ("1 h 30 min", "is no duration"),
        (" 5 min", "is no duration"),
        ("5 min\n", "is no duration"),
        ("\u0665 min", "is no duration"),
        ("01:60:00", "is no duration"),
        ("01:30", "is no duration"),
        ("0.5 us", "finer than a microsecond"),
        ("36526 days", "longer than 100 years"),
        ("999999999999999999 weeks", "longer than 100 years"),
        ("999999:00:00", "longer than 100 years"),
    ],
)
def test_what_is_no_fixed_length_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_duration(text)


@given(st.timedeltas(timedelta(), LONGEST))
def test_a_written_duration_is_read_back_exactly(length: timedelta) -> None:
    assert parse_duration(format_duration(length)) == length


@given(st.text(), st.sampled_from(sorted(UNITS)))
def test_any_text_is_read_or_refused_with_a_value_error(text: str, unit: str) -> None:
    for candidate in (text, f"{text} {unit}"):
        with suppress(ValueError):
            assert timedelta() <= parse_duration(candidate) <= LONGEST


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(), "0 s"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(seconds=90), "90 s"),
        (timedelta(hours=1), "1 h"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=14), "14 days"),
        (timedelta(milliseconds=1500), "1500 ms"),
        (timedelta(microseconds=1), "1 us"),
    ],
)
def test_the_largest_whole_unit_is_written(length: timedelta, text: str) -> None:
    assert format_duration(length) == text


@pytest.mark.parametrize("length", [timedelta(seconds=-1), LONGEST + timedelta(microseconds=1)])
def test_lengths_no_step_waits_are_not_written(length: timedelta) -> None:
    with pytest.raises(ValueError, match="between 0 and 100 years"):
        format_duration(length)
