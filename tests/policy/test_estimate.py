"""How large arguments would be as JSON, told without encoding them."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import sys
import uuid
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.utils.json import dumps

from dispatch.policy import AtLeast
from dispatch.policy._estimate import MOST_NODES, estimate


def measured(*args, limit=sys.maxsize, **kwargs):
    return estimate(limit, args, kwargs)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()

    def __len__(self):
        raise AssertionError("user code ran")


class Rows(list):
    def __iter__(self):
        raise AssertionError("user code ran")


class Table(dict):
    def items(self):
        raise AssertionError("user code ran")

    keys = values = __iter__ = __len__ = items


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    "args",
    [
        (1, 2),
        ("x" * 1000, 64),
        ("é" * 500, "日本" * 500, "😀" * 300),
        (b"\xff" * 1000,),
        ({"name": "x", "rows": [1, 2.5, None, True] * 30},),
        ({2: "a", None: "b", 2.5: "c", True: "d"},),
        (dt.datetime(2024, 1, 2, 3, 4, 5, 6, dt.UTC), dt.date(2024, 1, 2), dt.time(3, 4, 5)),
        (uuid.UUID(int=1), decimal.Decimal("1234.56")),
        (Colour.RED, Level.HIGH, Point(1, 2)),
        (collections.OrderedDict(a=1, b=[2]), collections.defaultdict(list, a=[1])),
        (10**100, -(2**63)),
        ([[[[["deep"]]]]] * 20,),
    ],
    ids=lambda value: None,
)
def test_the_estimate_is_near_the_encoded_size(args):
    """Within half of it, and a few bytes for what is small."""
    encoded = len(dumps([args, {}])) - 4

    assert encoded == pytest.approx(measured(*args), rel=0.5, abs=40)


def test_keyword_arguments_count_with_their_names():
    """They travel as a mapping."""
    assert 20 < measured(1, width=64) < 40


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, bytearray(9), [object()], {(1, 2): 3}, {"a": {b"k": 1}}])
def test_a_type_that_json_has_not_makes_the_size_unknown(value):
    """As deep as it may lie."""
    assert measured(value) is None


def test_counting_stops_at_the_limit():
    """What is there is at least so much."""
    size = measured(["x" * 100] * 5000, limit=1000)

    assert type(size) is AtLeast
    assert 1000 <= size < 1200


def test_counting_stops_after_ten_thousand_values():
    """However many there are."""
    size = measured(list(range(10 * MOST_NODES)))

    assert type(size) is AtLeast
    assert 3 * MOST_NODES < size < 10 * MOST_NODES


def test_a_structure_that_holds_itself_ends():
    """As "at least"."""
    loop = []
    loop.append(loop)
    ring = {}
    ring["ring"] = ring

    assert type(measured(loop)) is AtLeast
    assert type(measured(ring)) is AtLeast


def test_no_code_of_the_callers_types_is_run():
    """A subclass is counted as what it is built on; an estimate must not cost, raise or change anything."""
    assert isinstance(measured(Name("x" * 10), Rows([1, 2]), Table(a=1)), int)


def test_an_unknown_object_is_not_asked_what_it_is():
    """A lazy object would come alive if somebody asked for its class."""

    class Lazy:
        @property
        def __class__(self):
            raise AssertionError("user code ran")

    assert measured(Lazy()) is None


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.datetimes() | st.uuids(),
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6),
        max_leaves=30,
    )
)
def test_whatever_json_carries_has_an_estimate_of_its_order(value):
    """Never unknown; never off by more than the escapes of strange characters explain."""
    size, encoded = measured(value), len(dumps([[value], {}]))

    assert size is not None
    assert size <= 2 * encoded + 40
    assert encoded <= 8 * size + 120
