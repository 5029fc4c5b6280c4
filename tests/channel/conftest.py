"""Threads for the channel's tests: started here, and missed here when one is left waiting."""

import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

DEADLINE = 3.0
"""Seconds; no test comes near unless a thread waits for ever."""


SEED = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**9)))


class Crew:
    """Threads that report what they returned or raised."""

    def __init__(self) -> None:
        self._reports: list[Future[Any]] = []

    def start(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run `work(*args)` on a thread of its own."""
        report: Future[Any] = Future()

        def run() -> None:
            try:
                report.set_result(work(*args))
            except BaseException as error:  # noqa: BLE001 - reported, whatever it is
                report.set_exception(error)

        self._reports.append(report)
        threading.Thread(target=run, daemon=True).start()
        return report

    def join(self) -> None:
        """Fail when somebody is left waiting."""
        ends_at = time.monotonic() + DEADLINE
        waiting = 0
        for report in self._reports:
            try:
                report.exception(max(ends_at - time.monotonic(), 0))
            except TimeoutError:
                waiting += 1
        assert waiting == 0, f"{waiting} of {len(self._reports)} threads are left waiting"


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Threads; the test ends when all of them have."""
    crew = Crew()
    yield crew
    crew.join()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """`eventually(condition)` returns when it holds, and fails at the deadline."""

    def wait_for(condition: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + DEADLINE
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < ends_at, "it did not come true"
            pause.wait(0.0005)

    return wait_for


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change places every ten microseconds, so that every gap is hit."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class LooseQueue:
    """A queue after whose every step another thread may go first."""

    _never = threading.Event()

    def __init__(self, queue):
        self._queue = queue
        self._chance = random.Random(SEED)
        self.qsize = queue.qsize

    def get(self, block=True, timeout=None):  # noqa: FBT002 - as the queue has it
        thing = self._queue.get(block, timeout)
        self._let_go()
        return thing

    def get_nowait(self):
        return self.get(False)

    def put(self, thing):
        self._let_go()
        self._queue.put(thing)
        self._let_go()

    def _let_go(self):
        if self._chance.random() < 0.2:
            self._never.wait(self._chance.choice([1e-6, 1e-5, 3e-4]))


@pytest.fixture(params=["as-they-are", "loose"])
def queues(request, monkeypatch):
    """The queues that channels are made of."""
    if request.param == "loose":
        original = queue.SimpleQueue
        monkeypatch.setattr(queue, "SimpleQueue", lambda: LooseQueue(original()))
