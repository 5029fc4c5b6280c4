"""What a task gets: its arguments, as its transport carries them, and its caller's context."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from dispatch._dispatcher import Dispatcher
from dispatch.errors import NotSerializable, ResultNotSerializable
from dispatch.testing.conformance import _tasks as tasks
from dispatch.testing.conformance._capabilities import Capabilities
from dispatch.testing.conformance._results import PATIENCE


class Arguments:
    """Part of the suite."""

    capabilities: Capabilities

    def test_arguments_take_their_places(self, dispatcher: Dispatcher) -> None:
        """Positional only, defaults, the rest, keyword only, and others."""
        describe = tasks.describe.using(dispatcher)

        assert describe.delay(1, key="k").result(PATIENCE) == [1, 2, [], "k", {}]
        assert describe.delay(1, 3, 4, 5, key="k", more=6).result(PATIENCE) == [1, 3, [4, 5], "k", {"more": 6}]
        assert describe.apply_async((1,), {"key": "k", "second": 9}).result(PATIENCE) == [1, 9, [], "k", {}]

    def test_arguments_that_do_not_fit_are_a_type_error_at_the_call(self, dispatcher: Dispatcher) -> None:
        """The very error of the plain call, and nothing is sent."""
        describe = tasks.describe.using(dispatcher)
        wrong: list[tuple[tuple[int, ...], dict[str, Any]]] = [
            ((), {"key": "k"}), ((1,), {}), ((1, 2), {"key": "k", "second": 3}),
        ]  # fmt: skip
        for args, kwargs in wrong:
            assert _type_error(describe, args, kwargs) == _type_error(describe.delay, args, kwargs)
        assert "conformance.describe.apply_async does not take colour" in str(
            _type_error(describe.apply_async, ((1,),), {"colour": 1})
        )

    def test_tuples_arrive_as_the_transport_carries_them(self, dispatcher: Dispatcher) -> None:
        """By reference and by pickle they stay what they are; through JSON they become lists, and keys become text."""
        found = tasks.kinds.using(dispatcher).delay((1, 2), [1], {"a": 1}).result(PATIENCE)
        table = tasks.echo.using(dispatcher).delay({1: (2, 3)}).result(PATIENCE)

        as_it_was = self.capabilities.by_reference or self.capabilities.by_pickle
        assert found == ["tuple" if as_it_was else "list", "list", "dict"]
        assert table == ({1: (2, 3)} if as_it_was else {"1": [2, 3]})

    def test_what_cannot_leave_its_process(self, dispatcher: Dispatcher) -> None:
        """By reference it arrives, the same object; else the refusal names the argument, and nothing was sent."""
        thing = threading.Lock()
        echo = tasks.echo.using(dispatcher)
        if self.capabilities.by_reference:
            assert echo.delay(thing).result(PATIENCE) is thing
            return
        try:
            echo.delay([thing])
        except NotSerializable as error:
            assert [each.argument for each in error.passed_over] == ["value"]
            assert "_thread.lock" in str(error)
        else:
            raise AssertionError("it was sent")

    def test_a_result_that_json_cannot_carry(self, dispatcher: Dispatcher) -> None:
        """By reference and by pickle it arrives; else the call has run, and says that its result cannot travel."""
        handle = tasks.opaque.using(dispatcher).delay()
        can = self.capabilities

        if can.by_reference or can.by_pickle or can.returns_reference:
            assert handle.result(PATIENCE) is tasks.opaque
        else:
            assert isinstance(handle.exception(PATIENCE), ResultNotSerializable)

    def test_where_a_task_runs(self, dispatcher: Dispatcher) -> None:
        """In this process, or in another one."""
        there = tasks.process.using(dispatcher).delay().result(PATIENCE)

        assert (there != os.getpid()) is self.capabilities.leaves_process

    def test_the_callers_context(self, dispatcher: Dispatcher) -> None:
        """Context variables arrive where they can; what a task does to them stays there."""
        token = tasks.remembered.set("caller")
        try:
            seen = tasks.recall.using(dispatcher).delay().result(PATIENCE)
        finally:
            tasks.remembered.reset(token)

        assert seen == ("caller" if self.capabilities.carries_context else "nothing")


def _type_error(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    try:
        function(*args, **kwargs)
    except TypeError as error:
        return str(error)
    raise AssertionError("it was taken")
