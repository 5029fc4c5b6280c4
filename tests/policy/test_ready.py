"""The policies that come with dispatch: what each does with the calls that tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch.policy import READY, load, ready
from policy.places import a_task, broker, by_name, decided, local, offered, spool

BIG = "x" * (2 << 20)

CALLS = {
    "plain": ({}, ("x",)),
    "durable": ({"durability": "durable"}, ("x",)),
    "cpu": ({"kind": "cpu"}, ("x",)),
    "big": ({}, (BIG,)),
    "patient": ({"latency_budget": "5s"}, ("x",)),
    "hurried": ({"latency_budget": "10ms"}, ("x",)),
    "lossy": ({"durability": "ephemeral"}, ("x",)),
}


def place(name, settings):
    if settings.transport == "celery":
        return broker(name, max_payload=settings.max_payload)
    return spool(name) if settings.transport == "spool" else local(name)


def places(policy):
    return by_name(*(place(name, settings) for name, settings in policy.destinations.items()))


def where(name: str) -> dict[str, str]:
    policy = load(name)
    goes = {}
    for call, (said, args) in CALLS.items():
        bound = policy.bind(a_task(**said), places(policy))
        goes[call] = " → ".join(offered(bound, *args))
    return goes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "default",
            {
                "plain": "fast → queue",
                "durable": "queue → disk",
                "cpu": "queue → fast",
                "big": "fast",
                "patient": "queue → fast",
                "hurried": "fast → queue",
                "lossy": "fast → queue",
            },
        ),
        (
            "latency-first",
            {
                "plain": "fast → queue",
                "durable": "queue → disk",
                "cpu": "queue → fast",
                "big": "fast → queue: too_big",
                "patient": "fast → queue",
                "hurried": "fast → queue",
                "lossy": "fast → queue",
            },
        ),
        (
            "durability-first",
            {
                "plain": "queue → disk",
                "durable": "queue → disk",
                "cpu": "queue → disk",
                "big": "queue → disk",
                "patient": "queue → disk",
                "hurried": "queue → disk",
                "lossy": "queue → fast",
            },
        ),
        (
            "no-broker",
            {call: "disk → fast: not_durable" if call == "durable" else "fast" for call in CALLS},
        ),
        ("all-celery", dict.fromkeys(CALLS, "queue")),
    ],
)
def test_a_ready_policy_does_what_its_head_says(name, expected):
    """Whom each kind of call is offered to, in order."""
    assert expected == where(name)


def test_durability_first_lets_go_of_what_may_be_lost_and_is_in_a_hurry():
    """Only the author's own word makes a call ephemeral there."""
    policy = load("durability-first")
    bound = policy.bind(a_task(durability="ephemeral", latency_budget="10ms"), places(policy))

    assert ("in-a-hurry", "fast") == decided(bound)


@pytest.mark.parametrize("name", READY)
def test_a_ready_policy_begins_with_its_reasons(name):
    """Its name first, then why."""
    head = ready(name).read_text().split("\nversion:")[0]

    assert head.startswith(f"# {name}: ")
    assert len([line for line in head.splitlines() if line.startswith("#")]) >= 5


def test_the_names_are_those_of_the_files():
    """Nothing is carried that has no name, and no name without a file."""
    folder = Path(ready("default")).parent

    assert sorted(path.stem for path in folder.glob("*.yaml") if not path.stem.endswith("_test")) == sorted(READY)


def test_a_name_that_is_not_ready_has_no_file():
    """`KeyError`, as with any mapping."""
    with pytest.raises(KeyError):
        ready("defualt")
