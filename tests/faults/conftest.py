"""How much is broken: a few rounds in every run of the tests, the whole campaign with `make faults`."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dispatch
from dispatch import _default
from dispatch.embedded import Server
from faults.logbook import Logbook
from faults.shop import SOURCE, Shop


@pytest.fixture(scope="session")
def rounds() -> Callable[[int, int], int]:
    """`rounds(few, whole)`: the number for this run."""
    whole_campaign = os.environ.get("FAULTS") == "whole"
    return lambda few, whole: whole if whole_campaign else few


@pytest.fixture
def seed(record_property) -> int:
    """Random, printed, and repeated with `FAULTS_SEED=…`."""
    seed = int(os.environ.get("FAULTS_SEED") or int.from_bytes(os.urandom(4)))
    print(f"repeat with FAULTS_SEED={seed}")
    record_property("seed", seed)
    return seed


@pytest.fixture
def dice(seed) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def book(tmp_path) -> Logbook:
    """What the tasks of this test write."""
    return Logbook(tmp_path / "logbook")


@pytest.fixture
def open_shop(project, book, monkeypatch) -> Iterator[Callable[..., Shop]]:
    """`open_shop(broker_url)`, with the terms of `faults.shop.policy`: an application on that broker."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    monkeypatch.setenv("LOGBOOK", str(book.path))
    opened: list[Shop] = []

    def make(broker_url: str, **terms: Any) -> Shop:
        monkeypatch.setenv("DISPATCH_BROKER_URL", broker_url)
        opened.append(Shop(project(SOURCE, broker_url=broker_url), book, **terms))
        return opened[-1]

    yield make
    for shop in opened:
        shop.close()
    dispatch.shutdown("5s")


@pytest.fixture(
    params=["private_redis", pytest.param("private_rabbitmq", marks=[pytest.mark.rabbitmq, pytest.mark.slow])]
)
def server(request) -> Any:
    """A broker of this test's own, once as Redis and once as RabbitMQ."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def synced_redis() -> Iterator[Server]:
    """A Redis that answers once a write is on the disk.

    With `everysec`, which is enough to be verified, it answers before it has written while its disk is slow to sync,
    and a kill then costs those answers: that is Redis's promise, and docs/failures.md says so.
    """
    with Server(settings={"appendfsync": "always"}) as server:
        yield server
