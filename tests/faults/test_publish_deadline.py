"""A caller has its answer within the publish deadline, whatever the broker does; and the answer is true.

Truth is counted afterwards, in the queue itself: what was accepted is there once, what was refused is not there, and
what is unknown is there once or not at all.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from callers import QUORUM, calling, ids
from servers.patience import eventually
from servers.process import frozen

pytestmark = pytest.mark.timeout(180)
"""A RabbitMQ takes its time to start, and some of these start it three times."""

DEADLINE = 0.5
SLACK = 4.0
"""These tests are about not hanging: a busy machine may be late, and a hang lasts for ever."""


@contextmanager
def promptly():
    started = time.monotonic()
    yield
    assert time.monotonic() - started < DEADLINE + SLACK


def caller_of(url, queue="tea", deadline=DEADLINE):
    conf = {} if url.startswith("redis") else QUORUM
    return calling(url, conf=conf, queue=queue, publish_deadline=f"{deadline:g}s")


def address(scheme, port):
    return f"redis://127.0.0.1:{port}/0" if scheme == "redis" else f"amqp://guest:guest@127.0.0.1:{port}//"


class Book:
    """The calls of a test, and what each was told."""

    def __init__(self, caller):
        self.caller = caller
        self.told = {}

    def brew(self):
        """Send one more call, and see that its caller did not wait too long; why it was not accepted."""
        call = self.caller.call("blue")
        with promptly():
            passed = self.caller.send(call)
        self.told[call.id] = why = passed and passed.why
        return why

    def check(self):
        """That what was told is what the queue says."""
        found = Counter(eventually(lambda: ids(self.caller.url, self.caller.queue), within=30))
        told = {why: {each for each, said in self.told.items() if said == why} for why in (None, "refused", "unknown")}

        assert 1 == max(found.values())
        assert told[None] <= found.keys() <= told[None] | told["unknown"]


# Nobody there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_closed_port_refuses_at_once(scheme, closed_port):
    """No second attempt is made at the caller's cost, the first time or later."""
    with caller_of(address(scheme, closed_port)) as caller, promptly():
        for _ in range(20):
            passed = caller.brew("blue")
            assert (True, True) == (passed.why in ("refused", "breaker_open"), "refused" in passed.detail)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_listener_that_never_answers_costs_the_deadline_and_no_more(scheme, black_hole):
    """Nothing was sent, so it is refused: the first call, which also starts the publisher, and those after it."""
    with caller_of(address(scheme, black_hole)) as caller:
        for _ in range(3):
            with promptly():
                assert "refused" == caller.brew("blue").why


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_many_callers_before_a_listener_that_never_answers_wait_side_by_side(scheme, black_hole):
    """Thirty of them cost one deadline, not thirty."""
    with caller_of(address(scheme, black_hole)) as caller, promptly():
        assert {"refused"} == {passed.why for passed in caller.together(30, "blue")}


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_coroutine_before_a_listener_that_never_answers_waits_no_longer_than_a_thread(scheme, black_hole):
    """And its loop is free meanwhile."""

    async def wait(caller):
        sending = asyncio.ensure_future(caller.asend(caller.call("blue")))
        async with asyncio.timeout(DEADLINE + SLACK):
            return await sending

    with caller_of(address(scheme, black_hole)) as caller:
        assert "refused" == asyncio.run(wait(caller)).why


# Stopped and killed in the middle --------------------------------------------------------------------------------


def test_a_broker_that_stops_in_the_middle_is_answered_for_truthfully(server, queue_name):
    """What was written to it is unknown, what was not is refused, and when it goes on so do we."""
    with caller_of(server.url, queue_name) as caller:
        book = Book(caller)
        assert book.brew() is None
        with frozen(server.pid):
            # The signal takes a moment to reach every thread of the server.
            first = next(filter(None, iter(book.brew, "")))
            assert ["unknown", "refused"] == [first, book.brew()]
            # By now the broker was pinged in vain, or is being pinged.
            assert book.brew() in ("refused", "breaker_open")
        eventually(lambda: book.brew() is None)
        assert [None] * 5 == [book.brew() for _ in range(5)]

        book.check()


def test_a_broker_that_dies_under_load_is_answered_for_truthfully(server, queue_name):
    """Killed while sixteen threads publish, and started again: each call's answer is what the queue says."""
    with caller_of(server.url, queue_name) as caller:
        book = Book(caller)
        age(server, caller)
        assert book.brew() is None
        threads = [threading.Thread(target=lambda: [book.brew() for _ in range(40)]) for _ in range(16)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(book.told) > 50)
        server.kill()
        for thread in threads:
            thread.join()
        assert 641 == len(book.told)
        server.start()
        eventually(lambda: book.brew() is None, within=60)

        book.check()


def age(server, caller):
    """RabbitMQ 3.10 killed within two seconds of a quorum queue's birth never finds a leader for it again."""
    if server.url.startswith("amqp"):
        caller.broker.warm()
        eventually(lambda: caller.publisher.proof(caller.queue, "kept"))
        server.stop()
        server.start()
        eventually(lambda: caller.brew("is it back?") is None)
        ids(server.url, caller.queue)  # takes them out


def test_a_restarted_broker_is_met_within_the_next_call(server, queue_name):
    """The old connection is found dead before anything is written to it, and a new one takes the call."""
    with caller_of(server.url, queue_name, deadline=10) as caller:  # a quorum queue takes its time to come back
        assert caller.brew("before", durability="durable") is None
        server.stop()
        server.start()

        assert caller.brew("after", durability="durable") is None


def test_a_refused_call_leaves_nothing_behind_for_the_broker_to_find(server, queue_name):
    """While it was away nothing was kept for it here."""
    with caller_of(server.url, queue_name) as caller:
        book = Book(caller)
        assert book.brew() is None
        server.stop()
        assert {"refused", "breaker_open"} >= {book.brew() for _ in range(10)}
        server.start()
        eventually(lambda: book.brew() is None, within=60)

        book.check()
