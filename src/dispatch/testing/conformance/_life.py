"""A call's life: its decision and id, and how it may end without running."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from unittest import SkipTest

import msgspec

from dispatch._decision import Decision
from dispatch._dispatcher import Dispatcher
from dispatch._handle import Handle
from dispatch.errors import CallCancelled, CallExpired, NotAccepted, NotConfigured
from dispatch.testing.conformance import _tasks as tasks
from dispatch.testing.conformance._capabilities import Capabilities
from dispatch.testing.conformance._results import PATIENCE


class Life:
    """Part of the suite."""

    capabilities: Capabilities

    def test_every_handle_has_its_decision(self, dispatcher: Dispatcher) -> None:
        """Where the call went, by which rule of which policy, and how long deciding took."""
        handle = tasks.echo.using(dispatcher).delay(1)
        decision = handle.decision
        handle.result(PATIENCE)

        assert decision.destination in dispatcher.destinations
        assert decision.rule
        assert decision.policy_version == dispatcher.policy.version
        assert decision.durability == ("durable" if self.capabilities.on_disk else "ephemeral")
        assert (decision.decide_ns or 0) > 0
        assert _as_sent(decision) == _as_sent(handle.decision)

    def test_explaining_is_deciding(self, dispatcher: Dispatcher) -> None:
        """`explain` names the destination that then gets the call."""
        echo = tasks.echo.using(dispatcher)
        explained = echo.explain(1).decision
        handle = echo.delay(1)
        handle.result(PATIENCE)

        assert explained is not None
        assert explained.destination == handle.decision.destination

    def test_a_given_id_is_the_calls_id(self, dispatcher: Dispatcher) -> None:
        """`task_id` holds on every path."""
        handle = tasks.echo.using(dispatcher).apply_async((1,), task_id=f"conformance-{os.urandom(8).hex()}")

        assert handle.id.startswith("conformance-")
        assert handle.result(PATIENCE) == 1

    def test_durable_calls_are_taken_or_refused(self, dispatcher: Dispatcher) -> None:
        """Never taken by a transport that would lose them."""
        durable = tasks.echo.options(durability="durable").using(dispatcher)
        if self.capabilities.survives_restart:
            handle = durable.delay("kept")
            assert handle.decision.durability == "durable"
            assert handle.result(PATIENCE) == "kept"
            return
        try:
            durable.delay("lost")
        except NotAccepted as error:
            assert {each.why for each in error.passed_over} == {"not_durable"}
        else:
            raise AssertionError("it was taken")

    def test_delays_are_taken_or_refused(self, dispatcher: Dispatcher) -> None:
        """Never ignored."""
        echo = tasks.echo.using(dispatcher)
        if self.capabilities.can_delay:
            assert echo.apply_async((1,), countdown=1).result(PATIENCE) == 1
            return
        try:
            echo.apply_async((1,), countdown=1)
        except (NotAccepted, NotConfigured):
            return
        raise AssertionError("it was taken")

    def test_a_call_past_its_expires_does_not_run(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """Its handle says `expired`; a call with time to spare runs."""
        note, file = tasks.note.using(dispatcher), tmp_path / "notes"
        late = note.apply_async((str(file), "late"), expires=-1)
        early = note.apply_async((str(file), "early"), expires=600)

        assert early.result(PATIENCE) == "early"
        assert isinstance(late.exception(PATIENCE), CallExpired)
        assert late.status == "expired"
        assert file.read_text() == "early\n"

    def test_a_call_that_has_ended_cannot_be_cancelled(self, dispatcher: Dispatcher) -> None:
        """The answer is false, and nothing changes."""
        handle = tasks.echo.using(dispatcher).delay(1)
        handle.result(PATIENCE)

        assert not handle.cancel()
        assert handle.status == "done"

    def test_a_call_that_runs_cannot_be_cancelled(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """The answer is false, and its result arrives."""
        self._skip_unless_apart()
        with _busy(dispatcher, tmp_path) as handle:
            assert not handle.cancel()
        assert handle.result(PATIENCE) == "go"

    def test_cancelling_a_waiting_call_is_answered_truly(self, dispatcher: Dispatcher, tmp_path: Path) -> None:
        """True, and then it never runs; or false, and then it does."""
        self._skip_unless_apart()
        file = tmp_path / "notes"
        with _busy(dispatcher, tmp_path):
            handle = tasks.note.using(dispatcher).delay(str(file), "ran")
            assert handle.status == ("spooled" if self.capabilities.on_disk else "waiting")
            cancelled = handle.cancel()
            assert self.capabilities.can_cancel in {cancelled, None}
        tasks.echo.using(dispatcher).delay("behind it").result(PATIENCE)

        if cancelled:
            assert isinstance(handle.exception(PATIENCE), CallCancelled)
            assert handle.cancelled()
            assert handle.cancel()
            assert not file.exists()
        else:
            assert handle.result(PATIENCE) == "ran"

    def _skip_unless_apart(self) -> None:
        if not self.capabilities.runs_apart:
            raise SkipTest("the caller is the worker")


@contextmanager
def _busy(dispatcher: Dispatcher, folder: Path) -> Generator[Handle[str]]:
    """The one worker runs a call until the block ends."""
    started, go = folder / "started", folder / "go"
    os.mkfifo(started)
    os.mkfifo(go)
    handle = tasks.hold.using(dispatcher).delay(str(started), str(go))
    assert started.read_text() == "started"
    try:
        yield handle
    finally:
        go.write_text("go")


def _as_sent(decision: Decision) -> Decision:
    """As it was when the call was sent: the time to its start becomes known afterwards."""
    return msgspec.structs.replace(decision, actual_start_ns=None)
