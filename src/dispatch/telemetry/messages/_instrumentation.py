"""OpenTelemetry's own instrumentation of Celery, where an application uses it beside us. It is never imported here."""

from __future__ import annotations

import sys
from typing import Any

_MODULE = "opentelemetry.instrumentation.celery"


def spans_each_publish() -> bool:
    """Whether a span is made of every message that Celery sends in this process, as of now."""
    # Asked for each message: an application may switch it on late, as prefork workers have to.
    module: Any = sys.modules.get(_MODULE)
    kind = getattr(module, "CeleryInstrumentor", None)
    return kind is not None and bool(kind().is_instrumented_by_opentelemetry)
