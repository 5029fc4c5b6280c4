"""A signature holds for one message, by one of the keys, and the settings take no key that could be guessed."""

from __future__ import annotations

import json

import pytest

from dispatch.errors import NotConfigured
from dispatch.settings import read_settings
from dispatch.transports.celery._signer import SIGNATURE_HEADER, Forged, Signer

OLD, NEW = "o" * 32, "n" * 32
FORM = ("application/json", "utf-8")
HEADERS = {"task": "shop.note", "id": "1", "retries": 0, "timelimit": [None, None], "stamps": {}, "dispatch-x": "ü"}
BODY = json.dumps([[1], {}, {}])


def signed(signer, headers=HEADERS, body=BODY):
    return headers | {SIGNATURE_HEADER: signer.sign(headers, body, *FORM)}


def test_a_signature_is_known_again_whatever_form_text_and_sequences_have_taken_on_the_way():
    signer = Signer([OLD], 10**9)
    turned = dict(reversed(signed(signer).items())) | {"timelimit": (None, None)}

    assert signer.written_ns(turned, BODY.encode(), *FORM) > 0


@pytest.mark.parametrize("name", [*HEADERS, "dispatch-new", "expires"])
def test_no_header_can_be_changed_dropped_or_added(name):
    signer = Signer([OLD], 10**9)
    headers = signed(signer)
    for forged in (headers | {name: "other"}, {key: value for key, value in headers.items() if key != name}):
        if forged != headers:
            with pytest.raises(Forged, match="no key"):
                signer.written_ns(forged, BODY, *FORM)


@pytest.mark.parametrize(
    "name", ["dispatch-stamp", "x-delivery-count", "x-death", "x-first-death-queue", "compression"]
)
def test_what_brokers_and_the_ledger_write_on_the_way_does_no_harm(name):
    signer = Signer([OLD], 10**9)

    assert signer.written_ns(signed(signer) | {name: 7}, BODY, *FORM) > 0


def test_neither_body_nor_its_form_nor_the_time_can_be_changed():
    signer = Signer([OLD], 10**9)
    headers = signed(signer)
    version, at, mac = headers[SIGNATURE_HEADER].split(";")
    later = headers | {SIGNATURE_HEADER: f"{version};{int(at) + 1};{mac}"}

    for said, body, form in (
        (headers, BODY + " ", FORM),
        (headers, BODY, ("application/x-python-serialize", "utf-8")),
        (headers, BODY, ("application/json", "binary")),
        (later, BODY, FORM),
    ):
        with pytest.raises(Forged, match="no key"):
            signer.written_ns(said, body, *form)


@pytest.mark.parametrize("said", [7, [], "", "1", "1;x;00", "2;1;00", "1;" + "9" * 500 + ";00", "1;1;ü", "1;²;00"])
def test_what_is_no_signature_is_refused(said):
    with pytest.raises(Forged):
        Signer([OLD], 10**9).written_ns(HEADERS | {SIGNATURE_HEADER: said}, BODY, *FORM)


def test_the_first_key_signs_and_both_are_known():
    assert Signer([NEW, OLD], 1).written_ns(signed(Signer([OLD], 1)), BODY, *FORM) > 0
    assert Signer([OLD, NEW], 1).written_ns(signed(Signer([NEW, OLD], 1)), BODY, *FORM) > 0
    with pytest.raises(Forged):
        Signer([OLD], 1).written_ns(signed(Signer([NEW, OLD], 1)), BODY, *FORM)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("short-secret", "fewer than 32"),
        (f"{OLD},short-secret", "fewer than 32"),
        (",", "0 keys"),
        (f"{OLD}," * 3, "3 keys"),
    ],
)
def test_a_bad_key_is_refused_and_not_shown(monkeypatch, value, told):
    monkeypatch.setenv("DISPATCH_SIGNING_KEY", value)
    with pytest.raises(NotConfigured, match=told) as caught:
        read_settings()

    assert "DISPATCH_SIGNING_KEY" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert OLD not in str(caught.value)


def test_a_good_key_is_shown_nowhere(monkeypatch):
    monkeypatch.setenv("DISPATCH_SIGNING_KEY", f" {NEW} , {OLD}")
    settings = read_settings()

    assert (NEW, OLD) == settings.signing_keys
    assert NEW not in repr(settings)
    assert NEW not in settings.model_dump_json()


def test_a_window_of_nothing_is_refused(monkeypatch):
    monkeypatch.setenv("DISPATCH_SIGNING_WINDOW", "0")
    with pytest.raises(NotConfigured, match="DISPATCH_SIGNING_WINDOW"):
        read_settings()
