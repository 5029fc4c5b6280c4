"""What `import dispatch` costs and brings, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.case import Bar, Case

NEIGHBOURS = "import pydantic_settings, opentelemetry.trace"
OURS = "import dispatch"
CELERY = "import dispatch: modules of Celery and kombu"

BARS = (Bar(OURS, 1.3, NEIGHBOURS), Bar(CELERY, 0))

# A program is compiled when it is first imported, not each time: here in the untimed turn, and whatever the caller's
# environment says about it.
_ENV = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "PYTHONPYCACHEPREFIX": str(Path(__file__).parents[1] / "build" / "compiled")
}
_SECONDS = "from time import perf_counter; began = perf_counter(); {}; print(perf_counter() - began)"
_MODULES = "import sys; {}; print(sum(name.split('.')[0] in ('celery', 'kombu') for name in sys.modules))"


def cases() -> list[Case]:
    return [
        Case(name=NEIGHBOURS, count=1, take=lambda _: _said(_SECONDS.format(NEIGHBOURS))),
        Case(name=OURS, count=1, take=lambda _: _said(_SECONDS.format(OURS))),
        Case(name=CELERY, count=1, take=lambda _: _said(_MODULES.format(OURS)), unit="modules"),
    ]


def _said(code: str) -> float:
    python = [sys.executable, "-c", code]
    return float(subprocess.run(python, env=_ENV, check=True, capture_output=True, text=True).stdout)
