"""What a result backend holds about a call, as the call's outcome."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from celery import states
from celery.exceptions import SecurityError, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from celery.utils.serialization import UnpickleableExceptionWrapper
from kombu.exceptions import ContentDisallowed, DecodeError

from dispatch._outcome import Failure, Outcome, Success
from dispatch.errors import CallCancelled, CallExpired, CallFailed, CallTimeout, WorkerDied
from dispatch.transports.celery._report import Report, report_of

Meta: TypeAlias = Mapping[str, Any]
"""A stored result, decoded: `status`, `result`, `traceback` and more."""

UNREADABLE = (ContentDisallowed, DecodeError, SecurityError, TypeError, ValueError)
"""What decoding a stored result raises."""


_JSON = "application/json"


class Stored(msgspec.Struct, frozen=True):
    """How a call ended, and what its worker says about its start."""

    outcome: Outcome
    report: Report | None = None


def stored(meta: Meta) -> Stored | None:
    """What is stored of a call that has ended; `None` while it waits, runs or is to be retried."""
    outcome = outcome_of(meta)
    return None if outcome is None else Stored(outcome, report_of(meta))


def outcome_of(meta: Meta) -> Outcome | None:
    """The outcome; `None` while the call waits, runs or is to be retried."""
    status = meta["status"]
    if status == states.SUCCESS:
        return Success(meta["result"])
    if status == states.REVOKED:
        return Failure(_kept_from_running(meta["result"]))
    if status == states.FAILURE:
        return Failure(_failed(meta["result"], meta.get("traceback")))
    return None


def check_form(backend: Any) -> None:
    """Raises `ContentDisallowed` for a backend whose results are to be unpickled, or are anything else but JSON."""
    form = getattr(backend, "content_type", _JSON)
    if form != _JSON:
        raise ContentDisallowed(
            f"results are read as JSON alone, and result_serializer makes them {form}: set it to json"
        )


def unreadable(error: Exception) -> Stored:
    """For a stored result that cannot be decoded."""
    return Stored(Failure(CallFailed(f"the call has ended, and what is stored of it cannot be read here: {error!r}")))


def _kept_from_running(error: object) -> CallFailed:
    reason = str(error) if isinstance(error, TaskRevokedError) else ""
    if reason == "expired":
        return CallExpired("the call was still waiting when its `expires` had passed; it did not run")
    if reason == "terminated":
        return CallCancelled("the call was terminated while it ran")
    return CallCancelled("the call was revoked before it started; it did not run")


def _failed(error: object, traceback: object) -> BaseException:
    raised: BaseException
    if isinstance(error, WorkerLostError):
        raised = WorkerDied(f"the process that ran the call died: {error}")
    elif isinstance(error, TimeLimitExceeded):
        raised = CallTimeout(f"the call ran longer than its time limit, and was ended: {error}")
    elif isinstance(error, BaseException) and _is_its_own(error):
        raised = error
    else:
        raised = CallFailed(f"{_told(error)} (this process does not know the exception, or cannot rebuild it)")
    if isinstance(traceback, str) and traceback:
        raised.add_note(f"In the worker:\n{traceback.rstrip()}")
    return raised


def _is_its_own(error: BaseException) -> bool:
    """Whether this is the exception that was raised, and not what Celery makes where it cannot rebuild that.

    Celery makes a class of the same name where the real one is not loaded, and a bare `Exception` with the
    class in its text where the arguments do not fit the constructor.
    """
    if isinstance(error, UnpickleableExceptionWrapper):
        return False
    if type(error) is Exception and str(error).startswith("<class '"):
        return False
    found: Any = sys.modules.get(type(error).__module__)
    for name in type(error).__qualname__.split("."):
        found = getattr(found, name, None)
    return found is type(error)


def _told(error: object) -> str:
    if not isinstance(error, BaseException):
        return f"the task failed with {error!r}"
    if type(error) is Exception or isinstance(error, UnpickleableExceptionWrapper):
        return f"the task raised {error}"
    return f"the task raised {type(error).__name__}: {error}"
