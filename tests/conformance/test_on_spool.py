"""The suite, passed by calls that were on disk first: run from there in this process, or handed on to Celery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance.test_on_celery import OnCelery, working
from conformance.tracing import InTrace
from dispatch import Dispatcher
from dispatch.policy import parse
from dispatch.settings import Settings
from dispatch.testing.conformance import Capabilities, TransportConformance

# All calls are durable: a spool takes no others.
HERE = """
version: 1
destinations:
  fast: {transport: local, workers: 1}
  disk: {transport: spool, run: fast, durability: asserted}
defaults: {durability: durable}
otherwise: {route_to: disk}
"""
FORWARDED = """
version: 1
destinations:
  queue: {transport: celery, queue: conformance}
  disk: {transport: spool, forward_to: queue, durability: asserted}
defaults: {durability: durable}
otherwise: {route_to: disk}
"""


@pytest.fixture(scope="module")
def spooling(tmp_path_factory):
    """Settings with what a spool needs to know."""
    return Settings(application="conformance", spool_dir=tmp_path_factory.mktemp("spool"))


@pytest.fixture(scope="module")
def forwarded(spooling, tmp_path_factory, new_redis_url):
    url, folder = new_redis_url(), tmp_path_factory.mktemp("conformance")
    with working(folder, "conformance_spool", url, url, policy=FORWARDED, settings=spooling) as dispatcher:
        yield dispatcher


class TestSpoolRunHere(InTrace, TransportConformance):
    """`run`: a pool with one thread."""

    capabilities = Capabilities(
        survives_restart=True,
        by_plain_json=True,
        returns_reference=True,
        on_disk=True,
        runs_apart=True,
        can_cancel=None,
        can_delay=True,
    )

    @pytest.fixture
    def dispatcher(self, spooling):
        with Dispatcher(policy=parse(HERE), settings=spooling) as dispatcher:
            yield dispatcher


class TestSpoolForwarded(OnCelery):
    """`forward_to`: a worker on a Redis."""

    capabilities = replace(OnCelery.capabilities, on_disk=True, can_cancel=None)

    @pytest.fixture
    def dispatcher(self, forwarded):
        return forwarded
