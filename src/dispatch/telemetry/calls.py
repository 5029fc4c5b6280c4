"""The recorder, written to a file and read again: the last calls of a process, for whoever looks, or replays them.

>>> dump("calls.ndjson")
>>> for call in load("calls.ndjson").calls:
...     print(call.task, call.destination, call.wait_us, call.run_us)
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Literal

import msgspec

from dispatch._log import logger
from dispatch.settings import Settings
from dispatch.telemetry._reading.call_record import CallRecord
from dispatch.telemetry._reading.span import Process
from dispatch.telemetry._recollection import recorded, this_process

__all__ = ["Recording", "dump", "dump_on", "load", "recorded"]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What one process remembered when it was asked."""

    written_ns: int
    """In nanoseconds since 1970."""
    process: Process
    calls: tuple[CallRecord, ...]
    """In the order in which they ended."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file; each other line is a call."""

    format: Literal["dispatch calls"] = "dispatch calls"
    version: Literal[1] = 1
    written_ns: int
    process: Process


def dump(path: str | Path | None = None) -> Path:
    """Write `recorded()` to the file `path`, which is made or replaced as a whole, and is its owner's alone.

    By default to a new file in `DISPATCH_TRACE_DIR`. Raises `OSError`.
    """
    head = _Head(written_ns=time.time_ns(), process=this_process())
    place = _new_file() if path is None else Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.Encoder().encode_lines([head, *recorded()]))
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)
    return place


def dump_on(number: int = signal.SIGUSR1) -> None:
    """From now on, `dump()` whenever this process gets the signal `number`; from the main thread only.

    Whoever handled the signal before is called afterwards. What goes wrong is logged.
    """
    earlier = signal.getsignal(number)

    def on_signal(number: int, frame: FrameType | None) -> None:
        # Not here: the main thread may hold a lock that writing or logging needs.
        threading.Thread(target=_dump_and_say, name="dispatch-dump", daemon=True).start()
        if callable(earlier):
            earlier(number, frame)

    signal.signal(number, on_signal)


def load(path: str | Path) -> Recording:
    """Read what `dump` has written. Raises `OSError`, and `ValueError` with file and line for what is no such file."""
    decode_call = msgspec.json.Decoder(CallRecord).decode
    calls: list[CallRecord] = []
    head: _Head | None = None
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        try:
            if head is None:
                head = msgspec.json.decode(line, type=_Head)
            else:
                calls.append(decode_call(line))
        except msgspec.DecodeError as error:
            raise ValueError(
                f"{path}:{number}: {error}: this dispatch.telemetry.calls.dump did not write this"
            ) from None
    if head is None:
        raise ValueError(f"{path} is empty: this dispatch.telemetry.calls.dump did not write this")
    return Recording(written_ns=head.written_ns, process=head.process, calls=tuple(calls))


def _dump_and_say() -> None:
    log = logger("telemetry")
    try:
        log.warning("the last calls of this process were written down", file=str(dump()))
    except Exception:
        log.exception("the last calls of this process could not be written down")


def _new_file() -> Path:
    start = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return Settings().trace_dir / f"calls-{os.getpid()}-{start}-{secrets.token_hex(4)}.ndjson"
