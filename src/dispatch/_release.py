"""Which release of ours speaks."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version


def release() -> str | None:
    """`None`: it was never installed."""
    with suppress(PackageNotFoundError):
        return version("dispatch-router")
    return None
