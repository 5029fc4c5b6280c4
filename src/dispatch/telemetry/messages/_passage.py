"""The current trace on its way where no span of ours is made for it: into our worker processes, and with canvas."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import get_current_span

from dispatch.telemetry._failures import harmless
from dispatch.telemetry._listener import listener
from dispatch.telemetry.messages._carried import carried


def carrier() -> dict[str, str]:
    """What is current here, as propagators write it into headers. Never raises."""
    headers: dict[str, str] = {}
    with harmless:
        propagate.inject(headers)
    return headers


def joining(within: Context | None, received: Mapping[str, Any]) -> dict[str, str]:
    """The same for a message that is sent when a call has run. Never raises.

    What is current has the word; else what was current `within` the run, else what the call itself had `received`.
    """
    headers: dict[str, str] = {}
    with harmless:
        if listener.muted:
            return headers
        context = get_current()
        if not get_current_span().get_span_context().is_valid:
            context = carried(received, context) if within is None else within
        propagate.inject(headers, context)
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
