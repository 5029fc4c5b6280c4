"""What `import dispatch` costs and brings, in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.case import Bar, Case

NEIGHBOURS = "import pydantic_settings, opentelemetry.trace"
OURS = "import dispatch"
CELERY = "import dispatch: modules of Celery and kombu"

BARS = (Bar(OURS, 1.3, NEIGHBOURS), Bar(CELERY, 0))

_SECONDS = "from time import perf_counter; began = perf_counter(); {}; print(perf_counter() - began)"
_MODULES = "import sys; {}; print(sum(name.split('.')[0] in ('celery', 'kombu') for name in sys.modules))"


def cases() -> list[Case]:
    return [
        Case(name=NEIGHBOURS, count=1, take=lambda _: _said(_SECONDS.format(NEIGHBOURS))),
        Case(name=OURS, count=1, take=lambda _: _said(_SECONDS.format(OURS))),
        Case(name=CELERY, count=1, take=lambda _: _said(_MODULES.format(OURS)), unit="modules"),
    ]


def _said(code: str) -> float:
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
