"""Sizes and durations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatch import _units


@pytest.mark.parametrize(
    ("text", "expected"), [("512B", 512), ("64KiB", 65536), ("1MiB", 1 << 20), ("1.5MB", 1_500_000)]
)
def test_a_size_is_a_number_and_a_unit(text, expected):
    """Binary and decimal units both count."""
    assert expected == _units.size(text)


@pytest.mark.parametrize(
    "text", ["", "1024", "MiB", "-1MiB", "1 potato", "nan", "infMiB", "1e9", "0x10", "8bit", "٣MiB"]
)
def test_what_is_not_a_size_is_refused_with_the_cure(text):
    """A bare number has no unit, and a unit no number."""
    with pytest.raises(ValueError, match="write a number and a unit, such as 512B"):
        _units.size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250ms", 250_000_000),
        ("2s", 2_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1h", 3600 * 10**9),
        ("10us", 10_000),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, expected):
    """Parts add up."""
    assert expected == _units.duration_ns(text)


@pytest.mark.parametrize("text", ["", "5", "ms", "-5s", "1:30", "nans", "soon", "1s2", "1s-2s", "3mm", "1y", "٣s"])
def test_what_is_not_a_duration_is_refused_with_the_cure(text):
    """YAML's old sexagesimal numbers, signs and bare numbers mean nothing here."""
    with pytest.raises(ValueError, match="write a number and a unit, such as 250ms"):
        _units.duration_ns(text)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.25, 250_000_000), (2, 2 * 10**9), (timedelta(milliseconds=3), 3_000_000)]
)
def test_python_code_may_say_a_duration_in_seconds_or_as_a_timedelta(value, expected):
    """Numbers are seconds, as everywhere in Python."""
    assert expected == _units.as_duration_ns(value)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), timedelta(0)])
def test_a_duration_that_is_no_time_at_all_is_refused(value):
    """Zero, negative and not-a-number are mistakes."""
    with pytest.raises(ValueError, match="must be above zero"):
        _units.as_duration_ns(value)


def test_people_are_shown_the_unit_they_would_choose():
    """Microseconds, milliseconds, seconds; bytes, KiB, MiB."""
    assert ["0.4 µs", "12 ms", "1.5 s"] == [_units.show_duration(ns) for ns in (400, 12_000_000, 1_500_000_000)]
    assert ["1 ms", "1 s"] == [_units.show_duration(ns) for ns in (999_600, 999_700_000)]
    assert ["512 B", "1.5 KiB", "2 MiB"] == [_units.show_size(size) for size in (512, 1536, 2 << 20)]
