"""A producer of Celery's own whose messages are signed as the very last thing before they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from kombu import serialization

from dispatch._registry import registry
from dispatch.transports.celery._signer import SIGNATURE_HEADER, Signer

VERIFIED = "dispatch-verified"
"""In the request, where the worker has seen a good signature. Never leaves the machine, and never comes in."""

_dumps: Callable[..., tuple[str, str, str | bytes]] = serialization.dumps


class SignedProducer:
    """Behind every receiver of Celery's signals and every tracer: what they have written is signed too."""

    def __init__(self, producer: Any, signer: Signer) -> None:
        self._producer = producer
        self._signer = signer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def publish(self, body: Any, **options: Any) -> Any:
        serializer = options.pop("serializer", None) or "json"
        content_type, content_encoding, text = _dumps(body, serializer=serializer)
        headers = dict(options.get("headers") or {})
        headers[SIGNATURE_HEADER] = self._signer.sign(headers, text, content_type, content_encoding)
        options |= {"headers": headers, "content_type": content_type, "content_encoding": content_encoding}
        return self._producer.publish(text, **options)


class _Worker:
    """Whether this process is a worker's. There messages make Celery publish others, and some are anybody's."""

    here = False


def is_worker() -> None:
    """Said once, when a worker starts."""
    _Worker.here = True


_vouched: ContextVar[bool] = ContextVar("dispatch-vouched", default=False)


@contextmanager
def vouched(headers: Any) -> Iterator[None]:
    """For what a worker's main process publishes about a call: its callbacks are as good as its own signature."""
    token = _vouched.set(bool(headers.get(VERIFIED)))
    try:
        yield
    finally:
        _vouched.reset(token)


def may_sign(sender: Any) -> bool:
    """Whether what Celery publishes now is to be signed; `sender` is the task that runs in this thread, or none.

    Not what a message without a signature has caused: callbacks and chains of it, Celery's own `celery.group`, would
    otherwise let everybody who can write to the broker have us sign for him.
    """
    if not _Worker.here or _vouched.get():
        return True
    if sender is None or registry.get(sender.name) is None:
        return False
    return bool((sender.request.headers or {}).get(VERIFIED))
