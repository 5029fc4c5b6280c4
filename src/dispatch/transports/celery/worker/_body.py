"""What Celery calls in a worker in a task's place: the one executor, inside a trace."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from billiard.common import terminate_handler_fired
from celery.app.task import get_actual_ignore_result
from celery.backends.base import BaseKeyValueStoreBackend
from celery.exceptions import Ignore, Retry, WorkerShutdown, WorkerTerminate

from dispatch import telemetry
from dispatch._clock import ticks
from dispatch._executor import execute
from dispatch._outcome import Failure, Outcome, Success
from dispatch._registry import TaskSpec, registry
from dispatch.errors import CallFailed, DispatchError, PayloadMissing, ResultNotSerializable
from dispatch.telemetry import messages
from dispatch.transports.celery._broker_kind import messaging_system, server_of
from dispatch.transports.celery._canvas import remember
from dispatch.transports.celery._delays import queue_of
from dispatch.transports.celery._durability import durability_of
from dispatch.transports.celery._signer import signer_of
from dispatch.transports.celery.worker._attempt import TAKEN, attempt_again
from dispatch.transports.celery.worker._claims import claims_of
from dispatch.transports.celery.worker._delivery import delivery_of
from dispatch.transports.celery.worker._expiry import expires_within, store_expired
from dispatch.transports.celery.worker._loop import run_on_loop
from dispatch.transports.celery.worker._payload import claim_of, fetched
from dispatch.transports.celery.worker._reporting import begin
from dispatch.transports.celery.worker._timeout import without_soft_limit

_CARRIED = (bool, int, float, str, type(None))
_GREEN = frozenset({"eventlet", "gevent", "greenlet"})


def body_of(spec: TaskSpec) -> Callable[..., Any]:
    """The function to register with Celery, bound to its Celery task, for a task of ours."""

    @functools.wraps(spec.function)
    def body(task: Any, /, *args: Any, **kwargs: Any) -> Any:
        # Asked for at each call: a module that was reloaded has declared its tasks anew.
        return _run(task, registry.get(spec.name) or spec, args, kwargs)

    if not body.__name__.isidentifier():
        body.__name__ = "body"  # Celery compiles a function of this name, and a lambda's is none
    return body


def _run(task: Any, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request = task.request
    if request.called_directly:
        _refuse_strangers(task, spec)
        return _handed_on(spec, _executed(spec, args, kwargs))
    claims = None if request.is_eager or delivery_of(request) is None else claims_of(task.app)
    if claims is not None:
        claims.begin(task, request)
    if not request.is_eager and expires_within(task.app, request, 0):
        # With the claim in hand: a second delivery must not say of a call that runs elsewhere that it has expired.
        store_expired(task, request)
        raise Ignore("it expired while it waited for its turn")
    execution = None if request.is_eager else _processing(task, request)
    remember(request, execution)
    begin(request)
    started = ticks()
    with telemetry.running(request.id, task.name):
        outcome = _executed_here(task, spec, args, kwargs)
    if claims is not None and isinstance(outcome, Failure) and isinstance(outcome.error, Retry):
        outcome = Failure(_past_the_ledger(spec), outcome.traceback)
    if not (request.is_eager or get_actual_ignore_result(task, request)):
        outcome = _storable(task, spec, outcome)
    if execution is not None:
        execution.end(outcome)
    if isinstance(outcome, Failure) and not _ends_the_worker(outcome.error):
        attempt_again(task, spec, outcome.error)
        if claims is not None:
            claims.failed(request, outcome)
    if not request.is_eager:
        _record(task, spec, outcome, started, execution)
    return _handed_on(spec, outcome)


def _refuse_strangers(task: Any, spec: TaskSpec) -> None:
    """Celery's own `celery.map`, `starmap` and `chunks` run a task for whoever has written the message, unsigned."""
    outer = task.app.current_worker_task
    if outer is not None and outer.name.startswith("celery.") and signer_of(task.app) is not None:
        raise DispatchError(
            f"{spec.name} is not run by {outer.name}: such a message carries no signature, and this worker has a "
            "DISPATCH_SIGNING_KEY. Send a group of calls instead, or dispatch's own map"
        )


def _record(task: Any, spec: TaskSpec, outcome: Outcome, started: int, execution: telemetry.Execution | None) -> None:
    request = task.request
    headers = request.headers or {}
    messages.ran(
        spec,
        headers,
        outcome,
        call_id=request.id,
        durability=durability_of(headers, task.name),
        attempt=request.retries + 1,
        taken=headers.get(TAKEN),
        started=started,
        execution=execution,
    )


def _past_the_ledger(spec: TaskSpec) -> CallFailed:
    return CallFailed(
        f"{spec.name} asked Celery to retry it, and on Redis a durable call is kept in dispatch's ledger, where "
        "Celery's message counts for nothing: declare the task with retry=dispatch.Retry(…), and let it raise"
    )


def _executed_here(task: Any, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
    """Run, with the arguments that the message has a claim to, where it has one."""
    claim = claim_of(task.request)
    if claim is None:
        return _executed(spec, args, kwargs)
    try:
        given = fetched(task, claim)
    except PayloadMissing as missing:
        return Failure(missing)
    if given is None:
        raise Ignore("it has ended already: its arguments were given back to their store")
    return _executed(spec, *given)


def _executed(spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
    if spec.coroutine:
        return run_on_loop(spec, args, kwargs)
    return without_soft_limit(spec, execute(spec.function, args, kwargs))


def _processing(task: Any, request: Any) -> telemetry.Execution | None:
    headers = request.headers or {}
    delivery = request.delivery_info or {}
    return messages.processing(
        task.name,
        headers,
        call_id=request.id,
        queue=queue_of(task.app, delivery) or delivery.get("routing_key") or delivery.get("exchange") or "",
        system=messaging_system(task.app),
        durability=durability_of(headers, task.name),
        attempt=request.retries + 1,
        taken=headers.get(TAKEN) or ticks(),
        server=server_of(task.app),
        routing_key=delivery.get("routing_key"),
    )


def _storable(task: Any, spec: TaskSpec, outcome: Outcome) -> Outcome:
    """The outcome, or `ResultNotSerializable` in its place. Found here, where the task has run and is not run again.

    Later, inside Celery, the same fault is an `EncodeError` like one that the task itself may raise.
    """
    if not isinstance(outcome, Success) or type(outcome.value) in _CARRIED:
        return outcome
    backend = task.backend
    if not isinstance(backend, BaseKeyValueStoreBackend):
        return outcome  # it does not keep text: what it can carry is its own affair
    try:
        backend.encode(backend.prepare_value(outcome.value))
    except Exception as error:  # noqa: BLE001 - whatever the value's own methods raise
        refused = ResultNotSerializable(
            f"{spec.name} has run, and its result cannot be stored as {backend.serializer}: {error}. "
            "It is not run again. Return what can be stored, or declare the task with result=False"
        )
        return Failure(refused)
    return outcome


def _handed_on(spec: TaskSpec, outcome: Outcome) -> Any:
    """Return or raise, as the task did: Celery stores it as it does for its own tasks."""
    if isinstance(outcome, Success):
        return outcome.value
    error = outcome.error
    if isinstance(error, Exception) or _ends_the_worker(error):
        raise error.with_traceback(outcome.traceback)
    # Let through, it would end the worker's process, and a durable call would do so again and again.
    raise CallFailed(f"{spec.name} raised {error!r}, which is not an Exception") from error


def _ends_the_worker(error: BaseException) -> bool:
    """Whether Celery or its pool raised it into the task, to stop the call or the process, and waits for it."""
    return (
        terminate_handler_fired()
        or isinstance(error, WorkerShutdown | WorkerTerminate)
        or type(error).__module__.partition(".")[0] in _GREEN
    )
