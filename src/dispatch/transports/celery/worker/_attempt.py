"""What becomes of a call after an attempt that failed: another attempt, by Celery's own `Task.retry`, or its end."""

from __future__ import annotations

from asyncio import CancelledError
from math import ceil
from typing import Any

from celery import Celery
from celery.app.task import get_actual_ignore_result
from celery.exceptions import Ignore, Reject, Retry, TaskPredicate
from celery.utils.log import get_logger
from kombu.exceptions import OperationalError
from kombu.serialization import registry

from dispatch._registry import TaskSpec
from dispatch.errors import PayloadMissing
from dispatch.telemetry import messages
from dispatch.transports.celery._broker_kind import messaging_system
from dispatch.transports.celery._delays import countdown, make_ready, queue_of
from dispatch.transports.celery._durability import durability_of
from dispatch.transports.celery._retry_header import retry_of
from dispatch.transports.celery._signed_producer import VERIFIED
from dispatch.transports.celery._signer import SIGNATURE_HEADER
from dispatch.transports.celery.publishing import connection, let_go
from dispatch.transports.celery.worker._burial import OF_ONE_DELIVERY
from dispatch.transports.celery.worker._claims import claims_of
from dispatch.transports.celery.worker._delivery import DELIVERY, delivery_of
from dispatch.transports.celery.worker._expiry import expires_within

TAKEN = "dispatch-taken"
"""In the request: the `ticks` at which the worker gave the call to its pool. Never leaves the machine."""

ENCODED_AS = "dispatch-encoded-as"
"""In the request: the content type of the arguments. As local as the other."""

_OF_THIS_DELIVERY = frozenset({TAKEN, ENCODED_AS, DELIVERY, VERIFIED, SIGNATURE_HEADER, *OF_ONE_DELIVERY})
"""Headers that say something about one message, and nothing about the next one."""

_PATIENCE = 10.0
"""Seconds that bound each wait for the broker."""

logger = get_logger(__name__)  # Celery's own, so that these lines stand beside its others in the worker's log


def attempt_again(task: Any, spec: TaskSpec, error: BaseException, *, at_least_ns: int = 0) -> None:
    """Raise Celery's `Retry`, which is no failure, once the next attempt is on its way. Return, when there is none.

    The next attempt is the same call: id, arguments, headers, priority, links, chord and `expires`, on the queue
    that this one came from. A durable call whose next attempt the broker cannot be given goes back to it with
    `Reject`, and this attempt is repeated; an ephemeral one ends with `error`. The pause is `at_least_ns`.
    """
    request = task.request
    retry = retry_of(request.headers or {}, spec, error)
    attempt = request.retries + 1
    if retry is None or not retry.wants(error, attempt) or _is_no_accident(error):
        return
    pause_ns = max(at_least_ns, retry.pause_ns(attempt))
    # Celery counts retries, and has a limit of its own when none is given.
    told: dict[str, Any] = {"exc": error, "countdown": countdown(task.app, pause_ns), "max_retries": retry.attempts - 1}
    if request.is_eager:
        raise task.retry(**told)
    if expires_within(task.app, request, told["countdown"]):
        return  # with its own error, which says more than that it has expired
    if delivery_of(request) is not None:
        pause = told["countdown"]
        if claims_of(task.app).again(request, ceil(pause_ns / 1e6), messages.due_in(pause_ns)):
            raise Retry(exc=error, when=pause)
        raise Ignore("its lease ran out, and it runs elsewhere")
    try:
        again = _published(task, request, pause_ns, told)
    except Exception as refused:  # noqa: BLE001 - receivers of Celery's signals may raise anything
        reason = refused.reason if isinstance(refused, Reject) else refused
        lost = isinstance(reason, OperationalError | OSError)
        logger.error("Task %s[%s]: attempt %s cannot be published: %r", task.name, request.id, attempt + 1, reason)  # noqa: TRY400
        if lost and durability_of(request.headers or {}, task.name) == "durable":
            raise Reject(reason, requeue=True) from error
        return
    raise again


def _is_no_accident(error: BaseException) -> bool:
    """Whether the task spoke to Celery, by an exception of Celery's, its coroutine was cancelled, or it never ran."""
    return isinstance(error, TaskPredicate | PayloadMissing) or isinstance(error.__cause__, CancelledError)


def _published(task: Any, request: Any, pause_ns: int, told: dict[str, Any]) -> Exception:
    """Give the broker the next attempt. Celery's `Retry`; raises `Reject`, or what the network raises."""
    app = task.app
    queue = queue_of(app, request.delivery_info or {})
    headers = request.headers or {}
    line = _line(app)
    try:
        if queue is not None and told["countdown"]:
            make_ready(line, app, queue)
        again: Exception = task.retry(
            **told,
            throw=False,
            # On a connection of its own, which waits for the broker's word: Celery's does not, and a call that was
            # acknowledged for an attempt that never arrived would be lost.
            connection=line,
            retry=False,
            mandatory=True,
            queue=queue,
            serializer=registry.type_to_name.get(headers.get(ENCODED_AS)),
            headers=_headers(task, request, pause_ns),
            # As headers alone. As an option, `expires` would let RabbitMQ drop the message without a word, and a
            # result that is wanted would be subscribed to here.
            expires=None,
            ignore_result=True,
            argsrepr=request.get("argsrepr"),
            kwargsrepr=request.get("kwargsrepr"),
        )
        return again
    finally:
        let_go(line)


def _headers(task: Any, request: Any, pause_ns: int) -> dict[str, Any]:
    kept = {key: value for key, value in (request.headers or {}).items() if key not in _OF_THIS_DELIVERY}
    expires = {} if request.expires is None else {"expires": request.expires}
    return kept | expires | {"ignore_result": get_actual_ignore_result(task, request)} | messages.due_in(pause_ns)


def _line(app: Celery) -> Any:
    system = messaging_system(app)
    if system == "rabbitmq":
        return connection(app, _PATIENCE, confirm_publish=True, read_timeout=_PATIENCE, write_timeout=_PATIENCE)
    bounds = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE} if system == "redis" else {}
    return connection(app, _PATIENCE, **bounds)
