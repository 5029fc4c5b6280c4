"""The gate before our tasks in a worker: what may not come in is turned away before anything of it is decoded.

Celery asks a task for its strategy, which gets each message for the task as it came from the broker. Ours looks first
at its form, then at its signature, then at what it says; Celery's own gets what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.worker.strategy import default
from kombu.exceptions import ContentDisallowed, DecodeError

from dispatch.transports.celery._broker_kind import messaging_system
from dispatch.transports.celery._durability import durability_of
from dispatch.transports.celery._signer import SIGNATURE_HEADER, Forged, Signer, signer_of
from dispatch.transports.celery.worker._burial import bury, is_buried_here
from dispatch.transports.celery.worker._form import Malformed, check_body, check_headers
from dispatch.transports.celery.worker._refusals import refusals

WRITTEN = "dispatch_written"
"""On kombu's message: that its signature is good, and whether it is `fresh` or `stale`."""

_JSON = "application/json"

_Handler = Callable[..., Any]

logger = get_logger(__name__)  # Celery's own, so that these lines stand beside its others in the worker's log


def strategy(task: Any, app: Celery, consumer: Any) -> _Handler:
    """Celery's way to a strategy: asked once for each task, when the worker begins to consume."""
    handle: _Handler = default(task, app, consumer)
    gate = _Gate(task, app)

    def guarded(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> Any:
        try:
            if not gate.admits(message, body):
                return None
            return handle(message, body, ack, reject, callbacks)
        except (Malformed, Forged, InvalidTaskError, ContentDisallowed, DecodeError) as refused:
            # Not by `reject`, which asks the event loop to do it later: nothing is under way for this message.
            message.reject_log_error(logger, consumer.connection_errors)
            gate.tell(message, refused)
            return None

    return guarded


class _Gate:
    """Before one task of ours."""

    _told_of_signatures = False

    def __init__(self, task: Any, app: Celery) -> None:
        self._task = task.name
        self._app = app

    def admits(self, message: Any, body: Any) -> bool:
        """False: the message was seen to. Raises `Malformed` or `Forged` for one that is to be thrown away."""
        if body is not None:
            raise Malformed("it speaks Celery's first protocol, which has no headers")
        if message.content_type != _JSON:
            raise Malformed("its arguments are not JSON, and nothing else is decoded")
        signer = signer_of(self._app)
        if signer is None:
            self._tell_of_signature(message)
        else:
            written = signer.written_ns(message.headers, message.body, message.content_type, message.content_encoding)
            setattr(message, WRITTEN, "fresh")
            if signer.is_stale(message.headers, written) and not self._admits_stale(message, signer):
                return False
        check_headers(message)
        check_body(message)
        return True

    def tell(self, message: Any, refused: Exception) -> None:
        """Without anything that the message holds but its id: whoever wrote it may want to be read."""
        why = str(refused) if isinstance(refused, Malformed | Forged) else type(refused).__name__
        refusals.count("forged" if isinstance(refused, Forged) else "malformed")
        logger.warning("A message for %s (id %.64r) is turned away and not run: %s", self._task, _id(message), why)

    def _admits_stale(self, message: Any, signer: Signer) -> bool:
        """What is older than the window. True: the ledger knows whether it has run, and will be asked."""
        durability = durability_of(message.headers, self._task)
        if durability == "durable" and messaging_system(self._app) == "redis":
            setattr(message, WRITTEN, "stale")
            return True
        told = "it was signed longer ago than DISPATCH_SIGNING_WINDOW allows"
        if not is_buried_here(self._app, durability):
            raise Forged(told)
        check_headers(message)
        bury(self._app, message, "stale", f"{told}: it may be a copy, or have waited for so long")
        message.ack()
        refusals.count("stale")
        logger.warning("Task %s[%s] is a dead letter: %s", self._task, _id(message), told)
        return False

    def _tell_of_signature(self, message: Any) -> None:
        if SIGNATURE_HEADER in message.headers and not _Gate._told_of_signatures:
            _Gate._told_of_signatures = True
            logger.warning("Messages are signed, and this worker has no DISPATCH_SIGNING_KEY: it runs whatever comes")


def _id(message: Any) -> str:
    return str(message.headers.get("id"))[:64]
