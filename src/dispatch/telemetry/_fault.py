"""How a span says that something failed."""

from __future__ import annotations

import os

from opentelemetry.trace import Span, Status, StatusCode

from dispatch.telemetry._failures import harmless
from dispatch.telemetry._names import ERROR_TYPE

_WHERE = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
"""OpenTelemetry moves exceptions from spans' events into logs; unset and `logs/dup` keep the event."""


def fail(span: Span, kind: str, description: str | None = None) -> None:
    """Turn `span` red. `description` is our own sentence, never a task's: that stands in its exception alone."""
    span.set_attribute(ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, description))


def fail_with(span: Span, error: BaseException, when: int) -> None:
    """Turn `span` red and record the task's exception on it, once, unless exceptions are wanted in logs alone."""
    fail(span, kind_of(error))
    if os.environ.get(_WHERE, "").strip().lower() == "logs":
        return
    # Apart, since it asks the exception for its message, and that is user code.
    with harmless:
        span.record_exception(error, timestamp=when)


def kind_of(error: BaseException | type[BaseException]) -> str:
    """A word from a small set: `cancelled`, or the name of the class."""
    kind = error if isinstance(error, type) else type(error)
    # By name: asyncio's and concurrent.futures' are two classes, and neither is worth an import here.
    return "cancelled" if any(each.__name__ == "CancelledError" for each in kind.__mro__) else kind.__qualname__
