"""A program to test: the default dispatcher, as it is when nobody has configured anything, and its tasks."""

from __future__ import annotations

import pytest

from dispatch import _default
from dispatch._dispatcher import Dispatcher


@pytest.fixture
def dispatcher(monkeypatch):
    """No broker, no policy named; ended after the test."""
    with Dispatcher() as one:
        monkeypatch.setattr(_default._default, "dispatcher", one)
        yield one
