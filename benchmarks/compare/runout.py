"""What happens on each when memory runs out: payloads that nobody takes, until something gives.

Run as a program in a process of its own: `runout CASE`. It says how far it has come, and how it ended where it comes to
an end of its own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

SIZE = 100_000
"""Bytes of one payload."""

_STEP = 50
"""Submissions between two reports."""

MOST = 20_000
"""Payloads after which somebody who still takes them has shown that he takes any number: five times the room."""

_PATIENCE = 6.0
"""Seconds after which a submission that does not return counts as hanging."""


def executor() -> dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor

    gate = threading.Event()
    pool = ThreadPoolExecutor(1)
    pool.submit(gate.wait)
    return _filled(lambda: pool.submit(len, _payload()), gate.set)


def asyncio() -> dict[str, Any]:
    import asyncio as loops

    queue: loops.Queue[bytes] = loops.Queue()
    return _filled(lambda: queue.put_nowait(_payload()))


def channel() -> dict[str, Any]:
    import dispatch

    bounded: dispatch.Channel[bytes] = dispatch.Channel(128)
    return _filled(lambda: bounded.send(_payload(), timeout=1))


def local() -> dict[str, Any]:
    import dispatch
    from benchmarks.compare import routed

    gate = threading.Event()
    dispatch.configure(policy=os.environ["COMPARE_POLICY"])
    for _ in range(8):
        routed.hold.delay(gate)
    return _filled(lambda: routed.nothing.delay(_payload()), gate.set)


def remote(module: str) -> dict[str, Any]:
    import importlib

    if module == "routed":
        import dispatch

        dispatch.configure(policy=os.environ["COMPARE_POLICY"])
    task = importlib.import_module(f"benchmarks.compare.{module}").nothing
    text = "x" * SIZE
    return _filled(lambda: task.delay(text), most=int(os.environ.get("COMPARE_MOST", MOST)), slow=True)


def _payload() -> bytes:
    """Pages that are really written: others would cost nothing."""
    return b"x" * SIZE


def _filled(
    submit: Callable[[], object], then: Callable[[], object] = bool, *, most: int = MOST, slow: bool = False
) -> dict[str, Any]:
    """Submit until it is refused, breaks, hangs, or has taken more than there is room for."""
    accepted = 0
    kept: list[object] = []
    outcome = "takes any number"
    said: list[BaseException] = []
    for _ in range(most):
        done = True
        try:
            if slow:
                done = _within(lambda: kept.append(submit()), said)
            else:
                kept.append(submit())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the caller sees
            said.append(error)
        if said:
            kept.clear()
            outcome = f"raises {type(said[0]).__name__}"
            break
        if not done:
            outcome = f"hangs (no answer for {_PATIENCE:g} s)"
            break
        accepted += 1
        if accepted % _STEP == 0:
            print(json.dumps({"accepted": accepted}), flush=True)
    print(json.dumps({"accepted": accepted, "outcome": outcome}), flush=True)
    with suppress(BaseException):
        then()
    os._exit(0)


def _within(work: Callable[[], object], said: list[BaseException]) -> bool:
    """Whether it came back in time; what it raised is put into `said`."""

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            said.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    end = monotonic() + _PATIENCE
    thread.join(max(0.0, end - monotonic()))
    return not thread.is_alive()


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "executor": executor,
    "asyncio": asyncio,
    "channel": channel,
    "local": local,
    "plain": lambda: remote("plain"),
    "routed": lambda: remote("routed"),
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
