"""What Celery sends by itself: canvas, callbacks, beat. The trace of whoever sends it goes along."""

from __future__ import annotations

from typing import Any

from dispatch import telemetry
from dispatch.errors import NotSerializable, PassedOver
from dispatch.telemetry import messages
from dispatch.transports.celery._claim import CLAIM_HEADER
from dispatch.transports.celery._signed_producer import SignedProducer, may_sign
from dispatch.transports.celery._signer import signer_of
from dispatch.transports.celery.publishing import JSON, Producer, only_json

_POSITIONAL = ("task_id", "producer", "link", "link_error", "shadow")
"""What Celery's own takes by position, behind the arguments."""

_TRACE = "dispatch_trace"
"""In a worker's request: what was current where the body ran. Its successors are sent once that has ended."""


def remember(request: Any, trace: telemetry.Execution | None) -> None:
    """Keep what is current now for what is sent when the call of this request has run."""
    if trace is not None:
        setattr(request, _TRACE, trace.context)


def apply_async(task: Any, args: Any = None, kwargs: Any = None, *others: Any, **options: Any) -> Any:
    """Celery's own, as a method of our tasks. A message that carries a trace already is left alone.

    Raises `NotSerializable` for a serializer other than JSON.
    """
    options |= zip(_POSITIONAL, others, strict=False)
    serializer = options.get("serializer")
    if serializer not in (None, JSON):
        passed = PassedOver("celery", "cannot_carry", only_json(serializer), argument="serializer")
        raise NotSerializable(task.name, [passed])
    sender = task.app.current_worker_task
    request = None if sender is None else sender.request
    headers = options.get("headers") or {}
    if CLAIM_HEADER not in headers and task.app.strict_typing:
        # Celery would check it as well, also where the arguments are kept elsewhere and were checked before.
        task.__header__(*(args or ()), **(kwargs or {}))
    trace = messages.joining(getattr(request, _TRACE, None), getattr(request, "headers", None) or {})
    if trace and not trace.keys() & headers.keys():
        options["headers"] = trace | headers
    signer = signer_of(task.app)
    if sender is None and not task.request.called_directly:
        sender = task  # the worker's main process speaks for a call whose process was ended
    if signer is None or task.app.conf.task_always_eager or not may_sign(sender):
        return super(type(task), task).apply_async(args, kwargs, **options)
    producer, connection = options.pop("producer", None), options.pop("connection", None)
    if connection is not None:
        producer = task.app.amqp.Producer(connection, auto_declare=False)
    with task.app.producer_or_acquire(producer) as made:
        # Our own lines sign by themselves.
        options["producer"] = made if isinstance(made, Producer | SignedProducer) else SignedProducer(made, signer)
        return super(type(task), task).apply_async(args, kwargs, **options)
