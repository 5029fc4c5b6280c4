"""When memory is short, and when it is so no more."""

from __future__ import annotations

import pytest

from dispatch._memory_limit import MemoryUse
from dispatch._pressure import Marks, Pressure
from dispatch.errors import NotConfigured
from dispatch.settings import read_settings

MIB = 1 << 20


class Meter:
    def __init__(self) -> None:
        self.used = 0

    def use(self) -> MemoryUse:
        return MemoryUse(self.used, 100 * MIB, "cgroup")

    def own(self) -> int:
        return self.used


@pytest.fixture
def meter():
    return Meter()


def pressure(meter, high="90%", low=None):
    marks = Marks.read(high, low)
    assert marks is not None
    return Pressure(marks, use=meter.use, own=meter.own)


@pytest.mark.parametrize("high", ["90%", "90MiB"])
def test_it_is_high_from_the_high_mark_until_it_is_below_the_low_one(meter, high):
    """Eight ninths of the high mark, where none is given."""
    watched = pressure(meter, high)
    found = []
    for used in (50, 89, 90, 95, 85, 80, 79, 85, 89, 90):
        meter.used = used * MIB
        found.append(watched.look() is not None)

    assert [False, False, True, True, True, True, False, False, False, True] == found


def test_it_says_how_much_of_what_and_over_which_mark(meter):
    meter.used = 93 * MIB
    of_limit, of_process = pressure(meter), pressure(meter, "90MiB", "60MiB")

    assert of_limit.look() == "memory is at 93 % of 100 MiB (cgroup), over the mark of 90 %"
    assert of_process.look() == "memory of this process is at 93 MiB, over the mark of 90 MiB"
    meter.used = 85 * MIB
    assert of_process.look() == (
        "memory of this process is at 85 MiB, was over the mark of 90 MiB, and is not under 60 MiB yet"
    )


def test_off_is_no_mark_at_all():
    assert Marks.read("off", None) is None


@pytest.mark.parametrize(
    ("high", "low", "said"),
    [
        ("90", "", "'90' is no mark"),
        ("120%", "", "'120%' is no mark"),
        ("0MiB", "", "'0MiB' is no mark"),
        ("90%", "95%", "'95%' is not below the high mark of 90%"),
        ("90%", "100MiB", "'100MiB' cannot be compared with the high mark of 90%"),
        ("90%", "off", "'off' is no mark"),
    ],
    ids=["no-unit", "more-than-all", "nothing", "not-below", "unlike", "low-off"],
)
def test_a_mark_that_makes_no_sense_is_an_error_that_names_it(monkeypatch, high, low, said):
    monkeypatch.setenv("DISPATCH_MEMORY_HIGH", high)
    monkeypatch.setenv("DISPATCH_MEMORY_LOW", low)

    with pytest.raises(NotConfigured, match=said):
        read_settings()
