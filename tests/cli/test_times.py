"""Times as text and numbers, to ns and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.cli.times import TimeFormat, format_time, iso_time, parse_time, parse_times, time_zone
from tidal.errors import UsageError

SECOND = 1_000_000_000
ISO = TimeFormat()


def ns(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * SECOND


@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),
    st.none() | st.integers(-14 * 60, 14 * 60),
    st.sampled_from([" ", "T"]),
)
def test_what_python_writes_is_read_back(moment: datetime, offset: int | None, separator: str) -> None:
    zone = UTC if offset is None else timezone(timedelta(minutes=offset))
    text = (moment if offset is None else moment.replace(tzinfo=zone)).isoformat(separator)
    since = moment.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)
    times, bad = parse_times([text], ISO)
    assert bad == {}
    assert times[0] == (since // timedelta(microseconds=1)) * 1000


@given(st.integers(-(2**62), 2**62))
def test_iso_time_is_exact(moment: int) -> None:
    assert parse_time(iso_time(moment)) == moment


def test_reasons_are_given_by_position_and_good_rows_keep_their_time() -> None:
    values = ["2011-01-01", "2011-13-01", "", "now", "NaT", "3000-01-01", None, 5, [1], "2011-01-01"]
    times, bad = parse_times(values, ISO)
    assert times[[0, 9]].tolist() == [ns(2011, 1, 1)] * 2
    assert sorted(bad) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert bad[2] == bad[6] == "the time is missing"
    assert "64-bit nanoseconds" in bad[5]
    assert "--timestamp-format s|ms|us|ns" in bad[7]


def test_local_times_follow_the_zone_through_the_year() -> None:
    london = TimeFormat(zone=time_zone("Europe/London"))
    times, bad = parse_times(["2011-01-01 12:00", "2011-07-01 12:00", "2011-07-01 12:00Z"], london)
    assert bad == {}
    assert times.tolist() == [ns(2011, 1, 1, 12), ns(2011, 7, 1, 11), ns(2011, 7, 1, 12)]


def test_of_an_hour_that_comes_twice_the_first_is_meant() -> None:
    times, _ = parse_times(["2011-10-30 01:30"], TimeFormat(zone=time_zone("Europe/London")))
    assert times[0] == ns(2011, 10, 30, 0, 30)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("s", 1, SECOND),
        ("s", "1.5", 1_500_000_000),
        ("s", "1290000000.123456789", 1290000000123456789),
        ("ms", "7", 7_000_000),
        ("us", -1, -1000),
        ("ns", 2**62, 2**62),
    ],
)
def test_numbers_since_the_epoch_are_exact(unit: str, value: object, expected: int) -> None:
    times, bad = parse_times([value], TimeFormat(unit))
    assert (times.tolist(), bad) == ([expected], {})


@pytest.mark.parametrize("value", ["x", "", None, "nan", "inf", 1e300, 2**63, True, {}])
def test_what_is_no_number_of_seconds(value: object) -> None:
    times, bad = parse_times([value], TimeFormat("s"))
    assert (times.tolist(), list(bad)) == ([0], [0])


def test_patterns() -> None:
    times, bad = parse_times(["01/12/2010 8:26", "2010-12-01", ""], TimeFormat("%d/%m/%Y %H:%M"))
    assert times[0] == ns(2010, 12, 1, 8, 26)
    assert "does not match" in bad[1]
    assert bad[2] == "the time is missing"


def test_arrays_of_instants() -> None:
    values = np.array(["2011-01-01", "NaT", "3000-01-01"], "M8[s]")
    times, bad = parse_times(values, ISO)
    assert times[0] == ns(2011, 1, 1)
    assert sorted(bad) == [1, 2]
    with pytest.raises(UsageError, match="--time-zone"):
        parse_times(values, TimeFormat(zone=time_zone("Europe/London")))


@pytest.mark.parametrize("spec", ["seconds", "", "dd/mm"])
def test_formats_that_are_none(spec: str) -> None:
    with pytest.raises(UsageError, match="--timestamp-format"):
        TimeFormat(spec)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd"])
def test_zones_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="--time-zone"):
        time_zone(name)


def test_one_time_on_the_command_line() -> None:
    assert format_time(parse_time("2011-12-09 12:50")) == "2011-12-09 12:50:00 UTC"
    with pytest.raises(UsageError, match="yesterday"):
        parse_time("yesterday")
