"""Dispatchers for tests: made of a policy's text, and ended after the test."""

from __future__ import annotations

import pytest

from dispatch import _default
from dispatch._dispatcher import Dispatcher
from dispatch.policy import parse
from house.policies import ONE_POOL


@pytest.fixture
def dispatcher(monkeypatch):
    """Make the default dispatcher of a policy's text: `dispatcher("…")`; without a text, one pool named `fast`."""
    made: list[Dispatcher] = []

    def make(policy: str = ONE_POOL) -> Dispatcher:
        one = Dispatcher(policy=parse(policy))
        made.append(one)
        monkeypatch.setattr(_default._default, "dispatcher", one)
        return one

    yield make
    for one in made:
        one.shutdown("5s")
