"""Who is at work."""

from __future__ import annotations

from dispatch._roll import Roll


def test_members_stay_until_they_are_struck_off():
    """In the order in which they came; striking off twice is once."""
    roll = Roll()
    for member in ("a", "b", "c", "b"):
        roll.add(member)
    roll.discard("a")
    roll.discard("a")

    assert list(roll) == ["b", "c"]


def test_newcomers_are_told_of():
    """To whoever asked, while they ask."""
    roll, heard = Roll(), []
    roll.add("before")
    roll.on_arrival = heard.append
    roll.add("now")
    roll.on_arrival = None
    roll.add("after")

    assert heard == ["now"]
    assert list(roll) == ["before", "now", "after"]
