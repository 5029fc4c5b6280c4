"""A call in a worker, acknowledged by its own durability.

Ephemeral: acknowledged before it runs, so that nobody runs it a second time. Durable: acknowledged once it has
settled, and given back to the broker when its process dies.

Imported by Celery in workers, by name. Celery derives a class from ours for each task, "optimized" by two methods
of its own that would replace these; `__init_subclass__` takes them out again.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery import signals, states
from celery.app.trace import TraceInfo
from celery.exceptions import Reject, Retry, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.request import Request
from celery.worker.state import task_ready

from dispatch._clock import ticks
from dispatch._registry import registry
from dispatch._requirements import Durability
from dispatch.errors import WorkerDied
from dispatch.transports.celery._durability import durability_of
from dispatch.transports.celery.worker._attempt import ENCODED_AS, TAKEN, attempt_again
from dispatch.transports.celery.worker._timeout import timed_out

logger = get_logger(__name__)  # Celery's own, so that these lines stand beside its others in the worker's log


_TO_DIE_NS = 1_000_000_000
"""The pool kills a process after it has told us so: the next attempt is not to begin beside this one."""


class DispatchRequest(Request):  # type: ignore[misc]
    """One delivery of a call."""

    acknowledged: bool
    time_limits: tuple[float | None, float | None]
    """The hard and the soft one, in seconds, where the message has its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ == Request.__module__:
            for name in ("execute_using_pool", "on_success"):
                if name in vars(cls):
                    delattr(cls, name)

    @property
    def durability(self) -> Durability:
        return durability_of(self._request_dict, self._type)

    def execute_using_pool(self, pool: Any, **kwargs: Any) -> Any:
        """Give the call to the pool, acknowledged first when it is ephemeral.

        Raises `TaskRevokedError`, Celery's word for "not to be run": also when the acknowledgement did not get
        through, for then the broker delivers the call again, and running it now as well would be one too many.
        """
        if self.durability == "ephemeral" and not self.acknowledged and not self.revoked():
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
        if isinstance(_bare(exc_info), TimeLimitExceeded) and self._attempted_again:
            return None
        if self.durability == "durable" or not self._lost(exc_info) or self._success_was_stored():
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        return self._answer_lost(exc_info)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's signature
        """As Celery; but a call whose attempt had to be ended is attempted again, if its `retry` says so."""
        if soft or state.should_terminate or not self._attempted_again:
            super().on_timeout(soft, timeout)

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
        task_ready(self)
        error = WorkerDied(
            f"the process that ran {self.name} died ({_bare(exc_info)}); an ephemeral call is not run again"
        )
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
        logger.error("Task %s[%s] lost: %s", self.name, self.id, error)


def _bare(exc_info: Any) -> BaseException:
    error = exc_info.exception
    found: BaseException = error.exc if isinstance(error, ExceptionWithTraceback) else error
    return found
