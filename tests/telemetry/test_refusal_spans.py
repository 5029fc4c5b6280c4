"""Every error that a caller of `delay` or `adelay` may get leaves one `dispatch` span: red, ended, and not twice."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import StatusCode

import dispatch
from dispatch.errors import DestinationFull, NotAccepted, NotConfigured, NotSerializable, OutcomeUnknown, SpoolFull
from dispatch.policy import parse
from dispatch.settings import Settings
from telemetry.handmade import Spans, provider_in_place

started, release = threading.Event(), threading.Event()


@dispatch.task
def hold():
    started.set()
    assert release.wait(20)


@dispatch.task
def take(anything):
    return anything


QUEUE = "queue: {transport: celery, publish_deadline: 300ms}"
FAST = "fast: {transport: local, workers: 1, capacity: 1, on_full: next}"
DISK = "disk: {transport: spool, durability: asserted, run: fast, max_bytes: 8KiB}"


def policy(*destinations, to, durability="ephemeral"):
    lines = "".join(f"  {each}\n" for each in destinations)
    return parse(
        f"version: 1\ndestinations:\n{lines}defaults: {{durability: {durability}}}\notherwise: {{route_to: {to}}}\n"
    )


@pytest.fixture
def open_(tmp_path, leaving_app):
    made = []

    def make(policy, broker_url=None):
        settings = Settings(application="kitchen", spool_dir=tmp_path, shutdown_grace="5s")
        app = None if broker_url is None else leaving_app(broker_url)
        made.append(dispatch.Dispatcher(policy=policy, settings=settings, celery=app))
        return made[-1]

    started.clear()
    release.clear()
    yield make
    release.set()
    for one in made:
        one.shutdown("5s")


@pytest.fixture
def until_the_end():
    with ExitStack() as stack:
        yield stack


def nobody_is_there(open_, request):
    port = request.getfixturevalue("closed_port")
    return open_(policy(QUEUE, to="queue"), f"redis://127.0.0.1:{port}/0"), "x", NotAccepted


def it_is_full(open_, _):
    one = open_(policy(FAST, to="fast"))
    hold.using(one).delay()
    assert started.wait(10)
    take.using(one).delay("fills it")
    return one, "x", DestinationFull


def the_spool_is_full(open_, _):
    return open_(policy(FAST, DISK, to="disk", durability="durable")), "x" * 10_000, SpoolFull


def it_cannot_travel(open_, request):
    return open_(policy(QUEUE, to="queue"), request.getfixturevalue("redis_url")), object(), NotSerializable


def nothing_was_set_up(open_, _):
    return open_(policy(QUEUE, to="queue")), "x", NotConfigured


def the_broker_is_silent(open_, request):
    proxy = request.getfixturevalue("redis_proxy")
    one = open_(policy(QUEUE, to="queue"), f"redis://127.0.0.1:{proxy.port}/0")
    take.using(one).delay("warm")
    request.getfixturevalue("until_the_end").enter_context(proxy.mute())
    return one, "x", OutcomeUnknown


CASES = [nobody_is_there, it_is_full, the_spool_is_full, it_cannot_travel, nothing_was_set_up, the_broker_is_silent]


def delay(task, argument):
    return task.delay(argument)


def adelay(task, argument):
    async def main():
        return await task.adelay(argument)

    return asyncio.run(main())


@pytest.mark.parametrize("send", [delay, adelay])
@pytest.mark.parametrize("case", CASES)
def test_an_error_leaves_one_red_span_in_the_caller_s_trace(spans, open_, request, case, send):
    """With the error's name; who was asked stands there, and nothing of it is current afterwards."""
    one, argument, error = case(open_, request)
    spans.exporter.clear()
    with spans.tracer().start_as_current_span("request") as outer, pytest.raises(error):
        send(take.using(one), argument)

    found = [span for span in spans.finished if span.name.startswith("dispatch")]
    [span] = found
    assert (StatusCode.ERROR, error.__name__) == (span.status.status_code, span.attributes["error.type"])
    assert outer.get_span_context().span_id == span.parent.span_id
    assert span.start_time <= span.end_time
    assert take.name == span.attributes["dispatch.task.name"]
    if error is OutcomeUnknown:
        assert "queue" == span.attributes["dispatch.destination"]
    elif error is not NotConfigured:
        assert span.attributes["dispatch.passed_over"]


@pytest.mark.parametrize("case", [nobody_is_there, it_is_full])
def test_below_an_unsampled_span_an_error_leaves_none(open_, request, case):
    """Sampling is the application's word."""
    spans = Spans(sampler=ParentBased(ALWAYS_OFF))
    with provider_in_place(spans.provider):
        one, argument, error = case(open_, request)
        with spans.tracer().start_as_current_span("request"), pytest.raises(error):
            take.using(one).delay(argument)

    assert [] == spans.finished


def test_a_coroutine_that_is_cancelled_while_it_waits_leaves_its_span_too(spans, open_, black_hole):
    """Both have ended, and say why."""
    one = open_(policy(QUEUE.replace("300ms", "20s"), to="queue"), f"redis://127.0.0.1:{black_hole}/0")

    async def main():
        sending = asyncio.create_task(take.using(one).adelay("x"))
        await asyncio.sleep(0)  # it runs as far as it can
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(main())
    assert ("cancelled", "queue") == tuple(
        spans["dispatch"].attributes[each] for each in ("error.type", "dispatch.destination")
    )
    assert StatusCode.ERROR == spans["dispatch"].status.status_code == spans["publish"].status.status_code
    assert 2 == len(spans.finished)


def test_a_coroutine_that_is_cancelled_while_it_waits_for_room_leaves_one(spans, open_):
    """No worker has ever seen the call."""
    one = open_(policy(FAST.replace("on_full: next", "on_full: block"), to="fast"))
    hold.using(one).delay()
    assert started.wait(10)
    take.using(one).delay("fills it")

    async def main():
        sending = asyncio.create_task(take.using(one).adelay("x"))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(main())
    [span] = [span for span in spans.finished if span.name.startswith("dispatch") and not span.status.is_unset]
    assert ("cancelled", "fast") == (span.attributes["error.type"], span.attributes["dispatch.destination"])
