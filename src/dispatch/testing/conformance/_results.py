"""What a call gives back, and how its caller may ask for it."""

from __future__ import annotations

import asyncio
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from dispatch._dispatcher import Dispatcher
from dispatch._handle import Handle
from dispatch.errors import NotSerializable
from dispatch.testing.conformance import _tasks as tasks
from dispatch.testing.conformance._capabilities import Capabilities

PATIENCE = 30.0

_VALUES = [
    None, True, 0, -1.5, 2**70, "", "é \u2028 \x00", [], [1, [2, [3]]], {"a": {"b": [None]}}, "x" * 100_000,
]  # fmt: skip
_ADDITIONS = [datetime(2024, 2, 29, 12, 30, tzinfo=UTC), Decimal("0.10"), UUID(int=7)]
"""What Celery's JSON carries besides."""


class Results:
    """Part of the suite."""

    capabilities: Capabilities

    def test_what_a_task_returns_is_the_result(self, dispatcher: Dispatcher) -> None:
        """Each value that JSON knows comes back equal."""
        handles = [tasks.echo.using(dispatcher).delay(value) for value in _VALUES]

        assert _VALUES == [handle.result(PATIENCE) for handle in handles]

    def test_what_celery_adds_to_json(self, dispatcher: Dispatcher) -> None:
        """It comes back equal too; through plain JSON it is refused, and never turned into text."""
        for value in _ADDITIONS:
            try:
                handle = tasks.echo.using(dispatcher).delay(value)
            except NotSerializable:
                assert self.capabilities.by_plain_json
            else:
                assert handle.result(PATIENCE) == value
                assert not self.capabilities.by_plain_json

    def test_a_call_that_returned_says_so(self, dispatcher: Dispatcher) -> None:
        """All words of the handle agree, and go on doing so."""
        handle = tasks.echo.using(dispatcher).delay(1)

        assert handle.get(PATIENCE) == handle.result() == 1
        assert handle.exception() is None
        assert handle.done()
        assert handle.ready()
        assert handle.successful()
        assert not handle.failed()
        assert not handle.cancelled()
        assert handle.status == handle.state == "done"
        assert handle.task == "conformance.echo"

    def test_what_a_task_raises_arrives(self, dispatcher: Dispatcher) -> None:
        """Type and arguments of the task's own exception, built in or not, and its line of the source."""
        for kind, message, wanted in (
            ("value", "no such thing", ValueError),
            ("key", "name", KeyError),
            ("type", "not that", TypeError),
            ("own", 13, tasks.Unlucky),
        ):
            handle = tasks.refuse.using(dispatcher).delay(kind, message)
            error = handle.exception(PATIENCE)

            assert type(error) is wanted
            assert error is not None
            assert error.args == (message,)
            assert "in refuse" in _told(handle)
            assert handle.failed()
            assert handle.status == "failed"
            assert error is handle.get(propagate=False)

    def test_a_task_that_exits_ends_its_call_alone(self, dispatcher: Dispatcher) -> None:
        """`SystemExit` is the call's error; whoever ran it runs the next one."""
        first, second = tasks.leave.using(dispatcher).delay(), tasks.echo.using(dispatcher).delay("here")

        assert first.exception(PATIENCE) is not None
        assert second.result(PATIENCE) == "here"

    def test_a_coroutine_sends_and_awaits(self, dispatcher: Dispatcher) -> None:
        """`adelay` and `await` give what `delay` and `result` do, exceptions included."""

        async def both() -> tuple[object, object]:
            good = await tasks.echo.using(dispatcher).adelay("good")
            bad = await tasks.refuse.using(dispatcher).adelay("value", "bad")
            async with asyncio.timeout(PATIENCE):
                return await good, await _caught(bad)

        good, bad = asyncio.run(both())

        assert good == "good"
        assert repr(bad) == "ValueError('bad')"

    def test_a_callback_is_told_of_the_end(self, dispatcher: Dispatcher) -> None:
        """Once, with the handle, whether it comes early or late."""
        told: list[object] = []
        heard = threading.Event()
        handle = tasks.echo.using(dispatcher).delay("end")

        def hear(ended: Handle[object]) -> None:
            told.append(ended.result())
            heard.set()

        handle.add_done_callback(hear)

        assert heard.wait(PATIENCE)
        handle.add_done_callback(hear)
        assert told == ["end", "end"]

    def test_many_threads_get_each_their_own(self, dispatcher: Dispatcher) -> None:
        """Results are not mixed up, and no id is given twice."""
        echo = tasks.echo.using(dispatcher)
        with ThreadPoolExecutor(4) as pool:
            handles = list(pool.map(echo.delay, range(100)))

        assert list(range(100)) == [handle.result(PATIENCE) for handle in handles]
        assert len({handle.id for handle in handles}) == 100


async def _caught(handle: Handle[Any]) -> object:
    try:
        return await handle
    except ValueError as error:
        return error


def _told(handle: Handle[None]) -> str:
    return "".join(traceback.format_exception(handle.exception()))
