"""capture(): what was dispatched, and why."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dispatch import CallCancelled, DestinationFull, Dispatcher, NotAccepted
from dispatch.policy import parse
from dispatch.testing import capture, inline, parity
from testing import shop

REJECTING = """
version: 1
destinations:
  fast: {transport: local, workers: 1, capacity: 1, on_full: reject}
defaults: {durability: ephemeral}
otherwise: {route_to: fast}
"""


def test_every_way_of_sending_is_seen(dispatcher):
    """delay, adelay and apply_async, with the arguments under their names however they were passed."""
    with capture() as sent:
        shop.greet.delay("Ada")
        asyncio.run(shop.greet.adelay(greeting="Hi", name="Bob"))
        shop.greet.apply_async(("Cleo",), expires=60)
        shop.greet.options(latency_budget="1ms").delay("Dan")

    assert sent.calls == [
        (shop.greet.name, {"name": "Ada"}),
        (shop.greet.name, {"greeting": "Hi", "name": "Bob"}),
        (shop.greet.name, {"name": "Cleo"}),
        (shop.greet.name, {"name": "Dan"}),
    ]
    assert len(sent) == 4
    assert sent[2].options.expires_ns == 60 * 10**9
    assert sent[0].args == ("Ada",)
    assert sent[1].kwargs == {"greeting": "Hi", "name": "Bob"}
    assert "greet" in repr(sent)


def test_the_calls_still_run_and_say_why_they_went_where_they_went(dispatcher):
    """The record has the decision, and another handle of the same call."""
    with capture() as sent:
        handle = shop.greet.delay("Ada")

    assert handle.result(5) == sent[0].handle.result(5) == "Hello, Ada"
    assert sent[0].handle.id == handle.id
    assert sent[0].decision == handle.decision
    assert sent[0].decision.destination == "fast"
    assert repr(sent[0]) == f"<Captured {shop.greet.name} | fast | name>"


def test_nothing_is_seen_before_and_after(dispatcher):
    """And the dispatcher is as it was."""
    own, policy = dispatcher.destinations, dispatcher.policy
    shop.greet.delay("before").result(5)
    with capture() as sent:
        assert dispatcher.destinations is not own
    shop.greet.delay("after").result(5)

    assert list(sent) == []
    assert dispatcher.destinations is own
    assert dispatcher.policy is policy


def test_a_call_that_raises_ends_the_capture(dispatcher):
    """An assertion that fails inside leaves nothing open."""
    own = dispatcher.destinations
    with pytest.raises(LookupError), capture():
        raise LookupError

    assert dispatcher.destinations is own


def test_captures_nest_and_each_sees_the_calls(dispatcher):
    """The outer one sees them all, the inner one those of its own time."""
    with capture() as outer:
        shop.greet.delay("one")
        with capture() as inner:
            shop.greet.delay("two")
        shop.greet.delay("three")

    assert [each.arguments["name"] for each in outer] == ["one", "two", "three"]
    assert [each.arguments["name"] for each in inner] == ["two"]


def test_every_dispatcher_is_seen(dispatcher):
    """Those that are there, and those made meanwhile."""
    with capture() as sent:
        shop.greet.delay("old")
        with Dispatcher() as later:
            shop.greet.using(later).delay("new").result(5)

    assert [each.arguments["name"] for each in sent.of(shop.greet)] == ["old", "new"]
    assert sent.of(shop.echo) == []


def test_every_thread_is_seen_and_can_be_waited_for(dispatcher):
    """`wait` needs no sleep: it returns as soon as so many calls are there."""
    with capture() as sent:
        threads = [threading.Thread(target=shop.greet.delay, args=(str(n),)) for n in range(20)]
        for thread in threads:
            thread.start()
        found = sent.wait(20)
        for thread in threads:
            thread.join()
        with pytest.raises(TimeoutError, match="20 calls were dispatched within 0 s, not 21"):
            sent.wait(21, timeout=0)

    assert {each.arguments["name"] for each in found} == {str(n) for n in range(20)}


def test_a_call_that_nobody_took_was_not_dispatched(dispatcher):
    """Whether it is not kept, or there is no room."""
    started, go = threading.Event(), threading.Event()
    with Dispatcher(policy=parse(REJECTING)) as narrow, capture() as sent:
        hold = shop.hold.using(narrow)
        held = hold.delay(started, go)
        assert started.wait(5)
        waiting = hold.delay(started, go)
        with pytest.raises(DestinationFull):
            hold.delay(started, go)
        with pytest.raises(NotAccepted):
            shop.charge.delay(1)
        go.set()
        held.result(5)
        waiting.result(5)

    assert [each.task for each in sent] == [shop.hold.name] * 2


def test_without_running_the_policy_decides_as_with_a_broker(dispatcher):
    """A durable call goes to Celery in the record, and nowhere in truth."""
    with capture(run=False) as sent:
        handle = shop.charge.delay(42)
        assert handle.status == "waiting"
        assert not handle.done()
    assert sent[0].decision.destination == "queue"
    assert sent[0].decision.rule == "must-survive"
    assert handle.status == "cancelled"


def test_without_running_whoever_waits_is_told_so(dispatcher):
    """At once: a test never hangs for a call that nobody runs."""

    async def send_and_wait():
        return await (await shop.greet.adelay("Ada"))

    with capture(run=False):
        with pytest.raises(CallCancelled, match="captured with run=False: it did not run"):
            shop.greet.delay("Ada").result()
        with pytest.raises(CallCancelled):
            asyncio.run(send_and_wait())
        assert shop.greet.delay("Ada").cancel()


def test_the_innermost_has_the_calls(dispatcher):
    """Of `capture(run=False)` and `inline()`, the one opened last; captures see them all the same."""
    with capture(run=False) as outer, inline(), capture() as inner:
        handle = shop.greet.delay("Ada")
        assert handle.status == "done"
        with capture(run=False):
            assert shop.greet.delay("Bob").status == "waiting"

    assert [each.arguments["name"] for each in outer] == [each.arguments["name"] for each in inner] == ["Ada", "Bob"]


def test_scenes_may_open_and_close_while_calls_are_made(dispatcher):
    """No call is lost or refused for it, and each is seen at most once."""
    ends = threading.Event()
    handles = []

    def keep_sending():
        while not ends.is_set():
            handles.append(shop.echo.delay(len(handles)))

    thread = threading.Thread(target=keep_sending)
    thread.start()
    seen = []
    for _ in range(50):
        with capture() as outer, parity(), capture() as inner:
            outer.wait(3)
        with inline(), capture() as now:
            now.wait(3)
        assert len(inner) <= len(outer)
        seen += [outer, now]
    ends.set()
    thread.join()

    assert [handle.result(5) for handle in handles] == list(range(len(handles)))
    assert all(len({each.handle.id for each in one}) == len(one) >= 3 for one in seen)
