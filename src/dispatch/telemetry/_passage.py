"""The current trace on its way into a worker process of ours, which makes no span of its own for a call."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate
from opentelemetry.context import attach, detach, get_current

from dispatch.telemetry._failures import harmless


def carrier() -> dict[str, str]:
    """What is current here, as propagators write it into headers. Never raises."""
    headers: dict[str, str] = {}
    with harmless:
        propagate.inject(headers)
    return headers


@contextmanager
def arriving(headers: Mapping[str, str]) -> Generator[None]:
    """What was current there is current here for the length of the block. Never raises on its own."""
    token = None
    with harmless:
        token = attach(propagate.extract(headers, get_current()))
    try:
        yield
    finally:
        if token is not None:
            detach(token)
