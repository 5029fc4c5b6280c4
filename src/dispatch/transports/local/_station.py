"""Whether this process may have worker processes, and why not."""

from __future__ import annotations

import sys

from dispatch._registry import TaskSpec
from dispatch.pool import greenlets_from

in_worker_process = False
"""Set by a worker process as it starts."""


def barred() -> str | None:
    """Why this process starts no worker processes; `None`: it does."""
    if in_worker_process:
        # A module that sends calls as it is imported would be imported by their workers, and so on for ever.
        return "this is a worker process itself, and has none of its own: give the rule a fallback for its calls"
    maker = greenlets_from()
    if maker is not None:
        return f"{maker} has made greenlets of this process's threads, and a worker process is waited for by a real one"
    if getattr(sys, "frozen", False) or not sys.executable:
        return "this program has no Python interpreter to start: write `runner: thread`"
    return None


def unknown_there(spec: TaskSpec) -> str | None:
    """Why a worker process would not find the task; `None`: it would."""
    if not spec.importable:
        return f"no worker process finds {spec.name}: define it at the top of a module"
    if spec.function.__module__ == "__main__":
        return f"{spec.name} stands in the program's own script, which is not run again: move it into a module"
    return None
