"""In a worker process: errands, run one after another in its main thread."""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Callable
from socket import socket
from traceback import TracebackException
from typing import Any

import msgspec

from dispatch import telemetry
from dispatch._clock import ticks
from dispatch._executor import execute
from dispatch._memory import resident
from dispatch._outcome import Failure, Outcome, Success
from dispatch._registry import registry
from dispatch.errors import CallFailed, ResultNotSerializable
from dispatch.pool.processes import Wire, end_with_parent
from dispatch.telemetry import messages
from dispatch.transports._arguments import type_name
from dispatch.transports.local import _station
from dispatch.transports.local._errand import Errand, Report


def serve(sock: socket, parent: int, *, max_tasks: int | None, max_memory: int | None) -> None:
    """Run what the parent sends, until it sends no more, or a limit is reached; `max_memory` is in bytes."""
    _station.in_worker_process = True
    end_with_parent(sock, parent)
    wire = Wire(sock)
    here = os.getpid()
    served = 0
    holds = resident()
    leaving = False
    try:
        wire.send(b"")  # ready
        while not leaving:
            errand, pickled = _errand(wire.receive()), wire.receive()
            report, body = _run(errand, pickled)
            if os.getpid() != here:
                os._exit(0)  # a task has forked, and its child came back here: the answer is the parent's to give
            served += 1
            held, holds = holds, resident()
            leaving = served == max_tasks or (max_memory is not None and holds > max_memory)
            # The first call brings its task's modules along, and that is no leak.
            wire.send(
                _encode(msgspec.structs.replace(report, leaving=leaving, grown=holds - held if served > 1 else 0))
            )
            wire.send(body)
            del errand, pickled, report, body  # an idle process keeps nothing of the last call
    except EOFError:
        return


_errand = msgspec.msgpack.Decoder(Errand).decode
_encode = msgspec.msgpack.encode


def _run(errand: Errand, pickled: bytearray) -> tuple[Report, bytes]:
    started = ticks()
    try:
        function = _function(errand)
        args, kwargs = _arguments(errand, pickled)
    except CallFailed as error:
        return _told(errand, Failure(error, error.__traceback__), started, ticks())
    with messages.arriving(errand.carrier), telemetry.running(errand.call, errand.task):
        started = ticks()
        outcome = execute(function, args, kwargs)
        ended = ticks()
    return _told(errand, outcome, started, ended)


def _function(errand: Errand) -> Callable[..., Any]:
    try:
        importlib.import_module(errand.module)
    except BaseException as error:
        what = f"{type(error).__name__}: {error}"
        raise CallFailed(f"a worker process cannot import {errand.module}, for {errand.task}: {what}") from error
    spec = registry.get(errand.task)
    if spec is None:
        raise CallFailed(f"in a worker process, importing {errand.module} declares no task named {errand.task}")
    return spec.function


def _arguments(errand: Errand, pickled: bytearray) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        args, kwargs = pickle.loads(pickled)  # noqa: S301 - our parent has pickled it
    except BaseException as error:
        raise CallFailed(
            f"the arguments of {errand.task} cannot be rebuilt in a worker process: {type(error).__name__}: {error}. "
            "Classes of the program's own script are not known there: define them in a module"
        ) from error
    return args, kwargs


def _told(errand: Errand, outcome: Outcome, started: int, ended: int) -> tuple[Report, bytes]:
    if isinstance(outcome, Success):
        try:
            return Report(started, ended), pickle.dumps(outcome.value, pickle.HIGHEST_PROTOCOL)
        except BaseException as error:  # noqa: BLE001 - classes pickle in their own way
            outcome = Failure(_not_carried(errand, outcome.value, error))
    told = TracebackException(type(outcome.error), outcome.error, outcome.traceback)
    said = "".join(told.format_exception_only()).rstrip()
    return Report(started, ended, said, "".join(told.format())), _pickled(outcome.error)


def _not_carried(errand: Errand, value: object, error: BaseException) -> ResultNotSerializable:
    kind, why = type_name(value), f"{type(error).__name__}: {error}"
    return ResultNotSerializable(
        f"{errand.task} has run and returned a value of type {kind} that pickle cannot carry ({why})"
    )


def _pickled(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
    except BaseException:  # noqa: BLE001 - see `_told`
        return b""
