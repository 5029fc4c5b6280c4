"""Threads for the channel's tests: started here, and missed here when one is left waiting."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

DEADLINE = 3.0
"""Seconds; no test comes near unless a thread waits for ever."""


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
