"""The error tree, and what its messages carry."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest

from dispatch import errors
from dispatch.errors import (
    CallCancelled,
    DestinationFull,
    DispatchError,
    NotAccepted,
    NotConfigured,
    NotSerializable,
    PassedOver,
    PolicyError,
    Problem,
    refusal,
)


def picture(kind: type, lead: str = "") -> list[str]:
    children = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    lines = []
    for child in children:
        last = child is children[-1]
        lines.append(f"{lead}{'└── ' if last else '├── '}{child.__name__}")
        lines += picture(child, lead + ("    " if last else "│   "))
    return lines


def test_the_picture_in_the_docstring_is_the_real_tree():
    """The tree drawn in `dispatch.errors` is the class tree."""
    assert "\n".join(["DispatchError", *picture(DispatchError)]) in errors.__doc__


def test_a_refusal_lists_every_candidate_and_why():
    """`NotAccepted` names each destination passed over, its reason, and the fact behind it."""
    error = NotAccepted(
        "shop.charge", [PassedOver("queue", "refused", "connection refused"), PassedOver("fast", "full")]
    )

    assert "shop.charge" in str(error)
    assert "queue: refused (connection refused)" in str(error)
    assert "fast: full" in str(error)


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        ([PassedOver("queue", "not_configured", "set DISPATCH_BROKER_URL")], NotConfigured),
        ([PassedOver("queue", "cannot_carry", "a socket", argument="connection")], NotSerializable),
        ([PassedOver("fast", "full"), PassedOver("slow", "full")], DestinationFull),
        ([PassedOver("fast", "full"), PassedOver("queue", "refused")], NotAccepted),
        ([PassedOver("fast", "not_durable"), PassedOver("queue", "not_configured")], NotAccepted),
        ([], NotAccepted),
    ],
)
def test_the_refusal_is_the_error_that_says_best_why(passed, expected):
    """All configuration, all encoding, all full: each has its own error; anything mixed is `NotAccepted`."""
    assert type(refusal("shop.charge", passed)) is expected


def test_a_cancelled_call_can_be_caught_in_the_words_of_concurrent_futures():
    """`except concurrent.futures.CancelledError` catches our cancellation too."""
    assert issubclass(CallCancelled, CancelledError)


def test_a_policy_error_tells_every_mistake_with_place_text_and_cure():
    """Each problem is one line an editor can jump to, the text, and the cure."""
    problem = Problem(
        file="p.yaml",
        line=3,
        column=7,
        code="unknown-key",
        text="worker: 3",
        message="no such key",
        cure="Write workers.",
    )

    error = PolicyError([problem, problem])

    assert str(error).startswith("2 mistakes in the policy:")
    assert "p.yaml:3:7: unknown-key: no such key\n    worker: 3\n    Write workers." in str(error)
