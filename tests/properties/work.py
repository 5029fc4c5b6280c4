"""The tasks of the machine: each runs until the machine says how it ends."""

from __future__ import annotations

from greenlet import getcurrent

import dispatch


class AgainError(Exception):
    """Worth another attempt."""


def wait_for_word(why: str) -> str:
    """Give the turn back to the machine, and hear from it when it is ours again."""
    word: str = getcurrent().parent.switch(why)
    return word


def _ends() -> None:
    word = wait_for_word("running")
    if word == "again":
        raise AgainError
    if word == "fail":
        raise LookupError("for good")


@dispatch.task(
    name="contract.durable",
    durability="durable",
    retry=dispatch.Retry(attempts=2, on=AgainError, backoff="10m", jitter=False),
    result=False,
)
def durable(call: str) -> None:
    _ends()


@dispatch.task(name="contract.ephemeral", durability="ephemeral", result=False)
def ephemeral(call: str) -> None:
    _ends()
