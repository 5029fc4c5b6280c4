"""Arguments as text: what kombu makes of them, and what it refuses, in its own words."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu import serialization
from kombu.exceptions import EncodeError
from kombu.utils import json

from dispatch.transports.celery.publishing import Uncarried, encode

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
CALM = settings(max_examples=150, deadline=None)


class Brewed:
    """kombu asks it how it is to be written."""

    def __init__(self, form):
        self._form = form

    def __json__(self):
        return self._form


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.binary(max_size=20)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.decimals()
    | st.uuids()
    | st.builds(Brewed, TEXT)
)
STRANGERS = st.builds(object) | st.sets(st.integers(), max_size=2) | st.complex_numbers()
KEYS = TEXT | st.integers() | st.booleans() | st.none() | st.floats()


def within(values, keys):
    return st.recursive(
        values,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=10,
    )


@CALM
@given(value=within(SCALARS, KEYS))
def test_the_text_is_kombus_to_the_letter(value):
    """With its content type, for whatever it can carry."""
    body = encode((value,), {"sugar": value})

    kombus = serialization.dumps(((value,), {"sugar": value}, EMBED), serializer="json")
    assert kombus == (body.content_type, body.content_encoding, body.text)


@CALM
@given(value=within(SCALARS | STRANGERS, KEYS | st.binary(max_size=3)))
def test_what_kombu_refuses_is_refused_for_its_reason(value):
    """And nothing else is."""
    reasons = []
    for write in (lambda: serialization.dumps(((value,), {}, EMBED), serializer="json"), lambda: encode((value,), {})):
        try:
            write()
        except (EncodeError, Uncarried) as error:
            reasons.append(str(error if isinstance(error, EncodeError) else error.__cause__))
        else:
            reasons.append(None)

    assert reasons[0] == reasons[1]


def test_a_list_that_holds_itself_is_refused():
    """Where an encoder could go on for ever."""
    circle = []
    circle.append(circle)

    with pytest.raises(Uncarried, match="Circular reference"):
        encode((circle,), {})


def test_a_json_of_the_applications_own_is_used(monkeypatch):
    """It may be registered at any time."""
    assert "application/json" == encode((1,), {}).content_type
    own = ("application/x-brew", "ascii", lambda value: "brewed")
    monkeypatch.setitem(serialization.registry._encoders, "json", own)

    body = encode((1,), {})
    assert ("application/x-brew", "ascii", "brewed") == (body.content_type, body.content_encoding, body.text)


def test_a_type_that_kombu_is_told_of_later_can_travel():
    """Its table of types is looked at for each value."""

    class Cup:
        pass

    with pytest.raises(Uncarried):
        encode((Cup(),), {})
    json.register_type(Cup, "cup", lambda cup: "blue", lambda text: Cup())
    try:
        assert '{"__type__": "cup", "__value__": "blue"}' in encode((Cup(),), {}).text
    finally:
        del json._encoders[Cup], json._decoders["cup"]


def test_an_argument_may_encode_others_while_it_is_being_encoded():
    """One encoder serves all calls of the process."""

    class Order:
        def __json__(self):
            return encode((Decimal(1),), {}).text

    assert encode((encode((Decimal(1),), {}).text,), {}).text == encode((Order(),), {}).text
