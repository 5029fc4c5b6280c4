"""Arguments as plain JSON: what it has no form for is refused, and never turned into text."""

from __future__ import annotations

import json
from typing import Any

from dispatch._registry import TaskSpec
from dispatch.transports._arguments import uncarried

_FAILURES = (TypeError, ValueError, RecursionError)


def encoded(spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Tuples come back as lists, keys of mappings as text, as from Celery. Raises `Uncarried`."""
    try:
        return _dumps((args, kwargs))
    except _FAILURES as error:
        raise uncarried(
            args,
            kwargs,
            spec.function,
            _travels,
            encoder="json",
            reason=str(error),
            cure="Pass text, numbers, lists or dicts, such as an id to look it up by",
        ) from error


def decoded(text: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Raises `ValueError` for what `encoded` did not make."""
    args, kwargs = json.loads(text)
    return tuple(args), dict(kwargs)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _travels(value: Any) -> bool:
    try:
        _dumps(value)
    except _FAILURES:
        return False
    return True
