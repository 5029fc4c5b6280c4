"""The policies that come with dispatch."""

from __future__ import annotations

from pathlib import Path

READY = ("all-celery", "default", "durability-first", "latency-first", "no-broker")
"""The names of the ready policies; each file explains itself in its head."""

_PACKAGE = Path(__file__).parents[1]


def ready(name: str) -> Path:
    """The file of the ready policy `name`. Raises `KeyError` when there is none of that name."""
    if name not in READY:
        raise KeyError(name)
    carried = _PACKAGE / "policies" / f"{name}.yaml"
    # In a checkout nothing has been carried into the package yet.
    return carried if carried.is_file() else _PACKAGE.parents[1] / "policies" / f"{name}.yaml"
