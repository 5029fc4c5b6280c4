"""Dispatchers for tests: made of a policy's text, and ended after the test."""

from __future__ import annotations

import pytest

from dispatch import _default
from dispatch._dispatcher import Dispatcher
from dispatch.policy import parse

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 100}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
"""


@pytest.fixture
def dispatcher(monkeypatch):
    """Make the default dispatcher of a policy's text: `dispatcher("…")`; without a text, one pool named `fast`."""
    made: list[Dispatcher] = []

    def make(policy: str = POLICY) -> Dispatcher:
        one = Dispatcher(policy=parse(policy))
        made.append(one)
        monkeypatch.setattr(_default._default, "dispatcher", one)
        return one

    yield make
    for one in made:
        one.shutdown("5s")
