"""Spools on a disk."""

from __future__ import annotations

import pytest

from dispatch.spool import Forwarder, Spool


@pytest.fixture
def opened(tmp_path):
    """Opens spools of the application `shop` in one folder: `opened(max_bytes=…)`. Each is as good as a process."""
    made = []

    def make(**options):
        made.append(Spool("shop", **{"folder": tmp_path / "state", **options}))
        return made[-1]

    yield make
    for spool in made:
        assert spool.close(10)


@pytest.fixture
def spool(opened):
    return opened()


@pytest.fixture
def forwarding():
    """Starts forwarders: `forwarding(spool, forward, …)`, for the broker `queue`."""
    made = []

    def start(spool, forward, **options):
        made.append(Forwarder(spool, "queue", forward, **{"poll": 0.05, **options}))
        made[-1].start()
        return made[-1]

    yield start
    for forwarder in made:
        assert forwarder.close(10)
