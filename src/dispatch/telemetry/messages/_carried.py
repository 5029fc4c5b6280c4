"""The trace that a message carries, read as if a stranger had written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context

from dispatch.telemetry._failures import harmless


def carried(headers: Mapping[str, Any], into: Context | None = None) -> Context:
    """The context that `headers` name, laid over `into`, by default over nothing. Never raises."""
    base = Context() if into is None else into
    # Apart: a propagator of the application's that fails cuts the trace, and the run still gets a span.
    with harmless:
        # Propagators expect text and stumble over anything else that a message may carry.
        text = {key: value for key, value in headers.items() if isinstance(value, str)}
        return propagate.extract(text, base)
    return base
