"""What a Celery destination answers while a policy decides, and to a caller in a hurry. No broker is needed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

import dispatch
from callers import Caller, calling, spec
from dispatch import testing
from dispatch._call import CallOptions
from dispatch.errors import NotConfigured
from dispatch.policy import CelerySettings
from dispatch.transports.celery._brokers import Broker
from dispatch.transports.celery.destination import CeleryDestination
from dispatch.transports.celery.publishing._encoding import encode


class Kettle:
    """Nothing that JSON knows."""


@pytest.fixture
def caller(closed_port):
    with calling(f"redis://127.0.0.1:{closed_port}/0", max_payload="1MiB") as caller:
        yield caller


def unset(app=lambda: None):
    return CeleryDestination("queue", CelerySettings.model_validate({"transport": "celery"}), Broker(app))


# Deciding --------------------------------------------------------------------------------------------------------


def test_a_task_that_no_worker_can_import_is_barred(caller):
    """Asked once, when the task is bound."""
    assert caller.destination.bars(spec(), "durable") is None
    assert "cannot_carry" == caller.destination.bars(spec(importable=False), "ephemeral").why


def test_without_an_app_it_is_not_configured():
    """The answer names the setting, for every call and before any."""
    destination = unset()

    for passed in (destination.unfit("ephemeral"), destination.unfit("durable")):
        assert ("not_configured", True) == (passed.why, "DISPATCH_BROKER_URL" in passed.detail)


def test_an_app_that_is_not_to_be_had_is_said_in_its_own_words():
    """A wrong `module:attribute`, for example."""

    def nowhere():
        raise NotConfigured("DISPATCH_CELERY_APP='shop:app' leads to no Celery app")

    destination = unset(nowhere)

    assert "leads to no Celery app" in destination.unfit("ephemeral").detail
    steps = destination.hand_over(None, may_wait=True)
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert "not_configured" == ended.value.value.why


def test_the_app_is_asked_for_when_it_is_needed_and_then_kept():
    """Making a destination resolves nothing: the app's module may be half imported."""
    asked = []
    destination = unset(lambda: asked.append(1))

    assert [] == asked
    destination.unfit("ephemeral")
    destination.unfit("ephemeral")
    assert 2 == len(asked)


def test_before_the_broker_has_answered_a_durable_call_is_not_turned_away(caller):
    """Questions answer at once; the call itself waits for what the broker says."""
    assert caller.destination.unfit("durable") is None


def test_it_carries_what_the_policy_lets_it(caller):
    """`max_payload` is compared by whoever decides."""
    assert 1 << 20 == caller.destination.max_payload


def test_it_takes_no_call_without_being_asked_to_wait(caller):
    """A broker always needs encoding and an answer."""
    assert not caller.destination.try_now(caller.call("blue"))
    assert not caller.destination.run_here(caller.call("blue"), awaiting=False)
    assert not caller.destination.always_fit


def test_the_start_is_predicted_from_what_publishing_took_of_late(redis_url):
    """Two milliseconds before anything is known."""
    with calling(redis_url) as caller:
        assert 2_000_000 == caller.destination.predicted_start_ns(spec())
        for _ in range(20):
            caller.brew("blue")
        assert 2_000_000 != caller.destination.predicted_start_ns(spec())


def test_what_publishing_took_ends_with_the_broker_s_answer(redis_url):
    """However late its caller comes back: a map has hundreds under way."""
    with calling(redis_url) as caller:
        caller.brew("blue")
        begun = [caller.begin(caller.call("blue")) for _ in range(2)]
        for _, ticket in begun:
            ticket.wait()
        with testing.clock() as held:
            held.advance("1h")
            for each in begun:
                assert caller.end(*each) is None
        assert caller.destination.predicted_start_ns(spec()) < 60 * 10**9


def test_its_figures_are_the_calls_that_the_broker_has_not_answered_yet(redis_url):
    """From the moment a call is with the publisher until its answer is there."""
    with calling(redis_url) as caller:
        steps, pending = caller.begin(caller.call("blue"))
        before = caller.destination.statistics()
        caller.end(steps, pending)
        after = caller.destination.statistics()

    assert ("celery", 1, 0) == (before.transport, before.waiting, after.waiting)
    assert before.oldest_waiting_ns > 0
    assert after.oldest_waiting_ns is None


# Encoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((Kettle(),), {}, "cup"),
        (("blue", 1, Kettle()), {}, "spoons[1]"),
        (("blue",), {"sugar": Kettle()}, "sugar"),
        (("blue",), {"milk": {1, 2}}, "milk"),
        (("blue",), {"sugar": {("a", "b"): 1}}, "sugar"),
    ],
)
def test_the_argument_that_cannot_travel_is_named(caller, args, kwargs, named):
    """By its name in the signature, wherever it stood in the call; with its type, and never its value."""
    passed = caller.brew(*args, **kwargs)

    assert ("cannot_carry", named) == (passed.why, passed.argument)
    assert "such as an id to look it up by" in passed.detail
    assert "object at 0x" not in passed.detail


def test_what_an_argument_holds_is_named_too(caller):
    """The list is innocent; the thing in it is not."""
    detail = caller.brew({"cups": ["blue", {"best": Kettle()}]}).detail

    assert "'cup' is of type dict" in detail
    assert "Kettle" in detail


def test_an_argument_that_holds_itself_is_named(caller):
    """Nothing that ends can be written of it."""
    endless = []
    endless.append(endless)

    assert "cup" == caller.brew(endless).argument


def test_headers_that_cannot_travel_are_named(caller):
    """They are checked where the arguments are: on the caller's thread, before anything is sent."""
    assert "headers" == caller.brew("blue", options=CallOptions(headers={"kettle": Kettle()})).argument


def test_celerys_json_carries_more_than_json():
    """Dates, decimals, ids and bytes arrive as what they were."""
    from kombu.serialization import loads

    args = [datetime(2026, 11, 22, tzinfo=UTC), Decimal("1.5"), uuid4(), b"\xff\x00"]
    body = encode(tuple(args), {})

    assert args == loads(body.text, body.content_type, body.content_encoding)[0]
    assert len(body.text) == body.size


def test_explaining_encodes_as_sending_does(caller):
    """With the names of positional arguments; what goes beyond them is counted."""
    spec = dispatch.task(name="tea.brew")(brew).spec

    assert caller.destination.refuses(spec, ("blue",), {}) is None
    assert "water" == caller.destination.refuses(spec, ("blue", Kettle()), {}).argument
    assert "rest[0]" == caller.destination.refuses(spec, ("blue", "hot", Kettle()), {}).argument
    assert "sugar" == caller.destination.refuses(spec, (), {"sugar": Kettle()}).argument


def brew(leaf, water, *rest, sugar=None): ...


def test_what_the_workers_would_throw_away_is_not_sent(caller):
    """An app that accepts no JSON gets none."""
    caller.app.conf.accept_content = ["yaml"]
    passed = caller.send(caller.call(1))

    assert "cannot_carry" == passed.why
    assert "accept_content has no application/json" in passed.detail


# A caller that leaves --------------------------------------------------------------------------------------------


def test_a_cancelled_coroutine_withdraws_its_call(black_hole):
    """It had not been sent, and it will not be."""

    async def leave(caller):
        sending = asyncio.ensure_future(caller.asend(caller.call("blue")))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    with calling(f"redis://127.0.0.1:{black_hole}/0", publish_deadline="300ms") as caller:
        asyncio.run(leave(caller))


def test_a_call_is_not_made_slower_by_being_refused(caller):
    """A closed port answers at once, and so do we: a second of trying again would be the caller's second."""
    assert "refused" == caller.brew("first").why
    started = time.monotonic()
    for _ in range(20):
        assert caller.brew("blue").why in ("refused", "breaker_open")
    assert time.monotonic() - started < 5


def test_nothing_is_opened_by_making_a_caller():
    """No thread, no socket, no import of a transport before the first call or `warm`."""
    caller = Caller("redis://127.0.0.1:1/0")

    assert caller.thread is None
