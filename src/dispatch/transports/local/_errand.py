"""What goes to a worker process and what comes back; both ends run the same code, so its shape is nobody else's."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dispatch._call import Call
from dispatch._outcome import Failure, Outcome, Success
from dispatch.errors import CallFailed
from dispatch.transports._arguments import uncarried


class Errand(msgspec.Struct, frozen=True):
    """One call, beside its pickled arguments: the task by name, and the trace that it belongs to."""

    module: str
    """Importing it declares the task."""
    task: str
    call: str
    """Its id, for whoever logs there."""
    carrier: dict[str, str]
    """The trace, as propagators write it into headers."""


class Report(msgspec.Struct, frozen=True):
    """What became of it, beside the pickled result, or the pickled error where there is one that can be pickled."""

    started: int
    """The task's first line, in the worker's `ticks`."""
    ended: int
    error: str | None = None
    """The task raised, as in `ValueError: no such thing`."""
    traceback: str = ""
    grown: int = 0
    """Bytes by which the process holds more than before the call."""
    leaving: bool = False
    """The process has reached one of its limits and takes no further errand."""


class Packed(msgspec.Struct, frozen=True):
    """The arguments of a call that was accepted: they were pickled, once, and the originals are let go of."""

    pickled: bytes


class RemoteTraceback(Exception):
    """The traceback of an error that was raised in another process, as text: shown as the error's cause."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def pack(call_args: tuple[Any, ...], kwargs: Mapping[str, Any], function: Callable[..., Any]) -> Packed:
    """The arguments, as a worker process gets them. Raises `Uncarried`."""
    try:
        return Packed(pickle.dumps((call_args, kwargs), pickle.HIGHEST_PROTOCOL))
    except Exception as error:
        raise uncarried(
            call_args,
            kwargs,
            function,
            _travels,
            encoder="pickle",
            reason=_reason(error),
            cure="Pass what it is made of, or write `runner: thread`",
        ) from error


def unpack(call: Call) -> None:
    """Give the call its arguments back: copies, as a worker process would have got them."""
    if call.args and type(call.args[0]) is Packed:
        call.args, call.kwargs = pickle.loads(call.args[0].pickled)  # noqa: S301 - pickled here


def outcome_of(report: Report, pickled: bytearray, *, task: str) -> Outcome:
    """What the task did, rebuilt here."""
    if report.error is None:
        try:
            return Success(pickle.loads(pickled))  # noqa: S301 - it comes from our own child
        except BaseException as error:  # noqa: BLE001 - see `pack`
            why = f"{type(error).__name__}: {error}"
            return Failure(CallFailed(f"{task} has run and returned a value that cannot be rebuilt here: {why}"))
    raised = _error_of(pickled) or CallFailed(f"{task} raised {report.error}; pickle cannot carry the exception")
    raised.__cause__ = RemoteTraceback(report.traceback)
    return Failure(raised)


def _error_of(pickled: bytearray) -> BaseException | None:
    if not pickled:
        return None
    try:
        error = pickle.loads(pickled)  # noqa: S301 - it comes from our own child
    except BaseException:  # noqa: BLE001 - an exception whose `__init__` wants more than its `args`
        return None
    return error if isinstance(error, BaseException) else None


def _reason(error: Exception) -> str:
    # A `PicklingError` shows the value, which has no place in a message.
    return type(error).__name__ if isinstance(error, pickle.PicklingError) else f"{type(error).__name__}: {error}"


def _travels(value: Any) -> bool:
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - see `pack`
        return False
    return True
