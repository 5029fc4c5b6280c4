"""The suite, passed by what runs calls in this process, or in worker processes of its own."""

from __future__ import annotations

import pytest

from conformance.tracing import InTrace
from dispatch import Dispatcher
from dispatch.policy import parse
from dispatch.testing import inline, parity
from dispatch.testing.conformance import Capabilities, TransportConformance

LOCAL = """
version: 1
destinations:
  fast: {transport: local, workers: 1}
defaults: {durability: ephemeral}
otherwise: {route_to: fast}
"""
PROCESSES = """
version: 1
destinations:
  cpu: {transport: local, runner: process, workers: 1}
defaults: {durability: ephemeral}
otherwise: {route_to: cpu}
"""
CELERY = """
version: 1
destinations:
  queue: {transport: celery}
defaults: {durability: ephemeral}
otherwise: {route_to: queue}
"""


@pytest.fixture(scope="module")
def in_a_process():
    with Dispatcher(policy=parse(PROCESSES)) as dispatcher:
        yield dispatcher


class TestLocal(InTrace, TransportConformance):
    """A pool with one thread."""

    capabilities = Capabilities(
        by_reference=True, carries_context=True, runs_apart=True, can_cancel=True, can_delay=True
    )

    @pytest.fixture
    def dispatcher(self):
        with Dispatcher(policy=parse(LOCAL)) as dispatcher:
            yield dispatcher


class TestLocalInParity(InTrace, TransportConformance):
    """The same pool, with arguments and results as Celery carries them."""

    capabilities = Capabilities(carries_context=True, runs_apart=True, can_cancel=True, can_delay=True)

    @pytest.fixture
    def dispatcher(self):
        with parity(), Dispatcher(policy=parse(LOCAL)) as dispatcher:
            yield dispatcher


class TestProcesses(InTrace, TransportConformance):
    """One worker process, kept for the whole suite."""

    capabilities = Capabilities(
        leaves_process=True, by_pickle=True, runs_apart=True, can_cancel=True, can_delay=True, can_stop=True
    )

    @pytest.fixture
    def dispatcher(self, in_a_process):
        return in_a_process


class TestInline(InTrace, TransportConformance):
    """Inline mode, for calls that the policy keeps here."""

    capabilities = Capabilities(by_reference=True, carries_context=True, can_delay=True)

    @pytest.fixture
    def dispatcher(self):
        with inline(), Dispatcher(policy=parse(LOCAL)) as dispatcher:
            yield dispatcher


class TestInlineForCelery(InTrace, TransportConformance):
    """Inline mode, for calls that the policy sends to Celery; there is no broker."""

    capabilities = Capabilities(survives_restart=True, carries_context=True, can_delay=True)

    @pytest.fixture
    def dispatcher(self):
        with inline(), Dispatcher(policy=parse(CELERY)) as dispatcher:
            yield dispatcher
