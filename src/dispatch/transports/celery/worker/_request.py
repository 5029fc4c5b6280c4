"""A call in a worker, acknowledged by its own durability.

Ephemeral: acknowledged before it runs, so that nobody runs it a second time. Durable: acknowledged once it has
settled, and given back to the broker when its process dies; on Redis acknowledged before it runs as well, for there
the ledger keeps it.

Imported by Celery in workers, by name. Celery derives a class from ours for each task, "optimized" by two methods
of its own that would replace these; `__init_subclass__` takes them out again.
"""

from __future__ import annotations

from functools import cached_property
from threading import Event
from typing import Any

import msgspec
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery import signals, states
from celery.app.trace import TraceInfo
from celery.exceptions import (
    Reject,
    Retry,
    TaskPredicate,
    TaskRevokedError,
    Terminated,
    TimeLimitExceeded,
    WorkerLostError,
)
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.request import Request
from celery.worker.state import task_ready

from dispatch._clock import ticks
from dispatch._outcome import Failure
from dispatch._registry import registry
from dispatch._requirements import Durability
from dispatch.errors import WorkerDied
from dispatch.transports.celery._durability import durability_of
from dispatch.transports.celery._redis import keeps_ledger
from dispatch.transports.celery._signed_producer import VERIFIED, vouched
from dispatch.transports.celery._signer import SIGNATURE_HEADER
from dispatch.transports.celery.worker._attempt import ENCODED_AS, TAKEN, attempt_again
from dispatch.transports.celery.worker._burial import bury, deliveries, is_buried_here, max_deliveries, worn_out
from dispatch.transports.celery.worker._claims import claims_of
from dispatch.transports.celery.worker._delivery import DELIVERY, delivery, tell_dead
from dispatch.transports.celery.worker._gate import WRITTEN
from dispatch.transports.celery.worker._refusals import refusals
from dispatch.transports.celery.worker._seen import seen
from dispatch.transports.celery.worker._timeout import timed_out

_PAUSE = 1.0
"""Seconds before a call goes back whose dead letter could not be kept."""

_pause = Event()
"""Nobody sets it: it waits as greenlets and threads do."""

logger = get_logger(__name__)  # Celery's own, so that these lines stand beside its others in the worker's log


_TO_DIE_NS = 1_000_000_000
"""The pool kills a process after it has told us so: the next attempt is not to begin beside this one."""


class DispatchRequest(Request):  # type: ignore[misc]
    """One delivery of a call."""

    acknowledged: bool
    time_limits: tuple[float | None, float | None]
    """The hard and the soft one, in seconds, where the message has its own."""
    _given_back = False
    """Its dead letter could not be kept, and the call has gone back to the broker for that."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ == Request.__module__:
            for name in ("execute_using_pool", "on_success"):
                if name in vars(cls):
                    delattr(cls, name)

    def __init__(self, message: Any, *args: Any, **options: Any) -> None:
        super().__init__(message, *args, **options)
        self._written: str | None = getattr(message, WRITTEN, None)
        if self._written is not None:
            self._request_dict[VERIFIED] = True

    @property
    def durability(self) -> Durability:
        return durability_of(self._request_dict, self._type)

    def execute_using_pool(self, pool: Any, **kwargs: Any) -> Any:
        """Give the call to the pool, acknowledged first when it is ephemeral.

        Raises `TaskRevokedError`, Celery's word for "not to be run": also when the acknowledgement did not get
        through, for then the broker delivers the call again, and running it now as well would be one too many.
        """
        if self._is_buried_here and deliveries(self._request_dict) > max_deliveries(self._request_dict):
            self._end_worn_out()
        if self._is_replayed:
            self._message.ack_log_error(logger, self._connection_errors)
            task_ready(self)
            raise TaskRevokedError(self.id)
        kept = self.durability == "durable" and keeps_ledger(self._app)
        if kept:
            self._request_dict[DELIVERY] = msgspec.structs.astuple(
                delivery(self._app, self._message, stale=self._written == "stale")
            )
        if (kept or self.durability == "ephemeral") and not self.acknowledged and not self.revoked():
            # At once, by the message's own method: `self.acknowledge` only asks the event loop to do it later,
            # which in the solo pool is after the task has run.
            self._message.ack_log_error(logger, self._connection_errors)
            if not self._message.acknowledged:
                task_ready(self)
                raise TaskRevokedError(self.id)
            self.acknowledged = True
        self._request_dict[TAKEN] = ticks()
        self._request_dict[ENCODED_AS] = self._content_type
        if pool.is_green:
            # A green pool knows hard limits alone. It raises them into the greenlet, as others do with soft ones.
            _, soft = self.time_limits
            self.time_limits = (soft or self.task.soft_time_limit, None)
        return super().execute_using_pool(pool, **kwargs)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:  # noqa: FBT001, FBT002 - Celery's signature
        """What Celery does for a late acknowledgement, except that a lost ephemeral call is answered for.

        Celery would give it back to the broker, which has had its acknowledgement long ago: its caller would
        wait for ever.
        """
        with vouched(self._request_dict):
            return self._ended_by(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def _ended_by(self, exc_info: Any, *, send_failed_event: bool, return_ok: bool) -> Any:
        if isinstance(_bare(exc_info), TimeLimitExceeded) and self._attempted_again:
            return None
        lost = self._lost(exc_info)
        if lost:
            claims_of(self._app).lapse(self._context)
        elif self._is_buried_here and _is_final(_bare(exc_info)) and not self._buried("failed", exc_info):
            return None
        if self.durability == "durable" or not lost or self._success_was_stored():
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        return self._answer_lost(exc_info)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's signature
        """As Celery; but a call whose attempt had to be ended is attempted again, if its `retry` says so."""
        with vouched(self._request_dict):
            self._ended_in_time(soft=soft, timeout=timeout)

    def _ended_in_time(self, *, soft: bool, timeout: float) -> None:
        if soft or state.should_terminate or not (self._attempted_again or self._given_back):
            super().on_timeout(soft, timeout)
            spec = registry.get(self._type)
            if spec is not None and not soft and not state.should_terminate:
                own = spec.timeout_ns is not None  # else the limit is Celery's, from its settings or the message
                claims_of(self._app).bury(
                    self.task, self._context, Failure(timed_out(spec) if own else TimeLimitExceeded(timeout))
                )

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:  # noqa: FBT001 - Celery's signature
        """As Celery; and the ledger hears of it, or it would bring the call again.

        It is asked first: of a call that runs elsewhere, whoever waits for it must not hear that it was thrown away.
        """
        kept = self.durability == "durable" and keeps_ledger(self._app)
        if kept and not claims_of(self._app).discard(self._context, reason) and not terminated:
            task_ready(self)
            self.acknowledge()
            self._already_revoked = True
            return
        super()._announce_revoked(reason, terminated, signum, expired)

    @property
    def _is_replayed(self) -> bool:
        """Whether this worker has run an ephemeral call of the same signature: no broker delivers one twice by itself
        once it was acknowledged."""
        if self._written is None or self.durability != "ephemeral" or self.acknowledged:
            return False
        if seen.first(self._request_dict[SIGNATURE_HEADER]):
            return False
        refusals.count("replayed")
        logger.warning("Task %s[%s] is turned away and not run: its message was here before", self._type, self.id)
        return True

    @property
    def _is_buried_here(self) -> bool:
        return is_buried_here(self._app, self.durability)

    def _buried(self, reason: str, exc_info: Any) -> bool:
        """Keep the call as a dead letter. False: that failed, and the call was given back, to end once more."""
        told = Failure(_bare(exc_info)).told()[0]
        try:
            bury(self._app, self._message, reason, told, exc_info.traceback)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call is not lost by it
            logger.error("Task %s[%s]: its dead letter cannot be kept: %r", self.name, self.id, error)  # noqa: TRY400
            # RabbitMQ brings it again at once, a thousand times a second.
            _pause.wait(_PAUSE)
            task_ready(self)
            self.reject(requeue=True)
            self._given_back = True
        else:
            tell_dead(self.task, self._context, reason, None if reason == "max_deliveries" else _bare(exc_info))
        return not self._given_back

    def _end_worn_out(self) -> None:
        """The call was delivered too often. Returns when it was revoked meanwhile; else raises `TaskRevokedError`."""
        if self.revoked():
            return
        exc_info = _caught(worn_out(self.name, self.id))
        if self._buried("max_deliveries", exc_info):
            self._answer(exc_info)
            self.acknowledge()
        raise TaskRevokedError(self.id)

    @cached_property
    def _attempted_again(self) -> bool:
        """Asked when a hard limit has ended the attempt, by the prefork pool twice: `on_failure`, then `on_timeout`."""
        spec = registry.get(self._type)
        if spec is None or spec.timeout_ns is None:
            return False
        context = self._context
        context.called_directly = False
        self.task.request_stack.push(context)
        try:
            attempt_again(self.task, spec, timed_out(spec), at_least_ns=_TO_DIE_NS)
        except Retry as again:
            told = TraceInfo(states.RETRY, again).handle_error_state(self.task, context)
            task_ready(self)
            self.on_retry(told)
        except Reject as refused:
            task_ready(self)
            self.reject(requeue=refused.requeue)
        else:
            return False
        finally:
            self.task.request_stack.pop()
        return True

    def _lost(self, exc_info: Any) -> bool:
        """Whether the process died in the middle, and not because somebody told it to stop this call."""
        error = _bare(exc_info)
        if isinstance(error, SystemExit | KeyboardInterrupt):
            return not (self._already_cancelled or self._already_revoked)
        return isinstance(error, WorkerLostError)

    def _answer_lost(self, exc_info: Any) -> None:
        told = f"the process that ran {self.name} died ({_bare(exc_info)}); an ephemeral call is not run again"
        self._answer(_caught(WorkerDied(told)))

    def _answer(self, exc_info: Any) -> None:
        """What Celery does for a call that failed without its pool's doing."""
        task_ready(self)
        error = _bare(exc_info)
        self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)
        signals.task_failure.send(
            sender=self.task,
            task_id=self.id,
            exception=error,
            args=self.args,
            kwargs=self.kwargs,
            traceback=exc_info.traceback,
            einfo=exc_info,
        )
        self.send_event("task-failed", exception=repr(error), traceback=exc_info.traceback)
        logger.error("Task %s[%s] failed: %s", self.name, self.id, error)


def _is_final(error: BaseException) -> bool:
    """Whether the call has failed by it, and Celery neither runs it again nor was told to drop it."""
    return not isinstance(error, TaskPredicate | Terminated | SystemExit | KeyboardInterrupt | MemoryError)


def _caught(error: Exception) -> ExceptionInfo:
    try:
        raise error
    except type(error):
        return ExceptionInfo()
    finally:
        del error  # its traceback holds this frame


def _bare(exc_info: Any) -> BaseException:
    error = exc_info.exception
    found: BaseException = error.exc if isinstance(error, ExceptionWithTraceback) else error
    return found
