"""A call's own `retry` on its way to the worker: a short header, read as if a stranger had written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dispatch._log import logger
from dispatch._registry import TaskSpec
from dispatch._retry import Retry
from dispatch._units import as_duration_ns
from dispatch.transports.celery._settings import main_name

RETRY_HEADER = "dispatch-retry"

_LONGEST = 1 << 16
"""Characters that a worker reads."""


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header's JSON. Exceptions by their dotted names: a message makes nobody import anything."""

    attempts: int
    on: tuple[str, ...]
    backoff_ns: int
    max_backoff_ns: int
    jitter: bool


def pack(retry: Retry) -> str:
    """`retry` as text."""
    written = _Written(
        attempts=retry.attempts,
        on=tuple(_name(kind) for kind in retry.kinds),
        backoff_ns=as_duration_ns(retry.backoff, or_none=True),
        max_backoff_ns=as_duration_ns(retry.max_backoff, or_none=True),
        jitter=retry.jitter,
    )
    return msgspec.json.encode(written).decode()


def retry_of(headers: Mapping[str, Any], spec: TaskSpec, error: BaseException) -> Retry | None:
    """What a failed attempt is to be judged by: the call's own word, else its task's. `None`: it is the last one.

    Of the exceptions that a header names, the answer has those that `error` is one of. What is no such header is left
    aside with a line in the log; never raises.
    """
    text = headers.get(RETRY_HEADER)
    if text is None:
        return spec.retry
    try:
        return _read(text, error)
    except (TypeError, ValueError, OverflowError) as refused:  # msgspec's errors are among them
        logger("celery").warning(f"the header {RETRY_HEADER} is not understood and left aside", why=str(refused)[:200])
        return spec.retry


def _read(text: object, error: BaseException) -> Retry | None:
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise TypeError(f"it takes text, of {_LONGEST} characters at most")
    written = msgspec.json.decode(text, type=_Written)
    named = tuple(kind for kind in type(error).__mro__ if issubclass(kind, Exception) and _name(kind) in written.on)
    if not named:
        return None
    return Retry(
        attempts=written.attempts,
        on=named,
        backoff=written.backoff_ns / 1e9,
        max_backoff=written.max_backoff_ns / 1e9,
        jitter=written.jitter,
    )


def _name(kind: type) -> str:
    """As it is called where it is imported: a program's own module is `__main__` in that program alone."""
    module = main_name() if kind.__module__ == "__main__" else kind.__module__
    return f"{module}.{kind.__qualname__}"
