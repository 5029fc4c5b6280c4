"""Many calls at once: one span over them all, each call's own below it."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

import dispatch
from dispatch import telemetry
from dispatch.errors import PartlySent
from dispatch.policy import parse
from dispatch.settings import Settings
from servers.patience import eventually
from telemetry.handmade import Spans, provider_in_place

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 1}
  spare: {transport: local, workers: 1}
  queue: {transport: celery, publish_deadline: 2s, reached_by: pins}
defaults: {durability: ephemeral}
rules:
  - {name: large, match: {payload: '> 100B'}, route_to: spare}
otherwise: {route_to: fast}
"""


@dispatch.task
def double(number):
    return number


def mapped(task, items):
    return task.map(items)


def amapped(task, items):
    async def main():
        return await task.amap(items)

    return asyncio.run(main())


both = pytest.mark.parametrize("send", [mapped, amapped])


@pytest.fixture
def open_(leaving_app):
    made = []

    def make(broker_url=None):
        app = None if broker_url is None else leaving_app(broker_url)
        made.append(dispatch.Dispatcher(policy=parse(POLICY), celery=app))
        return made[-1]

    yield make
    for one in made:
        one.shutdown("5s")


def named(spans, word):
    return [span for span in spans.finished if span.name.split()[0] == word]


@both
def test_each_call_is_below_the_one_span(spans, open_, send):
    """request, map, dispatch, execute; how many were drawn and sent, and where to."""
    task = double.using(open_())
    with spans.tracer().start_as_current_span("request") as request:
        group = send(task, [1, 2, "x" * 200])
        assert request is trace.get_current_span()
    group.results(10)
    eventually(lambda: len(named(spans, "execute")) == 3)

    whole = spans["map"]
    assert (f"map {double.name}", SpanKind.INTERNAL) == (whole.name, whole.kind)
    assert request.get_span_context().span_id == whole.parent.span_id
    assert {
        "dispatch.task.name": double.name,
        "dispatch.map.calls": 3,
        "dispatch.map.sent": 3,
        "dispatch.map.destinations": ("fast:2", "spare:1"),
    } == dict(whole.attributes)
    assert [whole.context.span_id] * 3 == [span.parent.span_id for span in named(spans, "dispatch")]
    assert 1 == len({span.context.trace_id for span in spans.finished})


@both
def test_what_makes_the_items_is_below_it_too(spans, open_, send):
    """They are drawn while it is current."""

    def items():
        with spans.tracer().start_as_current_span("query"):
            pass
        yield 1

    send(double.using(open_()), items()).results(10)

    assert spans["map"].context.span_id == spans["query"].parent.span_id


def test_calls_through_a_broker_are_below_it(spans, open_, redis_url):
    """Although they travel together."""
    double.using(open_(redis_url)).options(route_to="queue").map(range(20))

    whole = spans["map"]
    assert ("queue:20",) == whole.attributes["dispatch.map.destinations"]
    assert [whole.context.span_id] * 20 == [span.parent.span_id for span in named(spans, "dispatch")]
    assert 20 == len(named(spans, "publish"))
    assert all(whole.start_time <= span.end_time <= whole.end_time for span in named(spans, "publish"))


@both
def test_items_that_break_off_turn_it_red_with_what_was_sent(spans, open_, send):
    """By the caller's own error's name, or that of the account it gets instead."""

    def items():
        yield from (1, 2)
        raise OSError("no more")

    with pytest.raises(PartlySent) as caught:
        send(double.using(open_()), items())
    caught.value.sent.results(10)

    whole = spans["map"]
    assert (StatusCode.ERROR, "PartlySent") == (whole.status.status_code, whole.attributes["error.type"])
    assert (2, 2) == (whole.attributes["dispatch.map.calls"], whole.attributes["dispatch.map.sent"])
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_item_that_nobody_takes_is_counted_as_drawn(spans, open_, closed_port):
    """And has its own red `dispatch`."""
    task = double.using(open_(f"redis://127.0.0.1:{closed_port}/0")).options(route_to="queue")
    with pytest.raises(dispatch.NotAccepted):
        task.map([1, 2])

    whole = spans["map"]
    assert (1, 0, ()) == tuple(whole.attributes[f"dispatch.map.{each}"] for each in ("calls", "sent", "destinations"))
    assert "NotAccepted" == whole.attributes["error.type"]
    assert [whole.context.span_id] == [span.parent.span_id for span in named(spans, "dispatch")]


def test_two_maps_of_one_loop_do_not_mix(spans, open_):
    """Each coroutine has its own current span, also while the other one draws."""
    task = double.using(open_())

    async def items(number):
        for _ in range(5):
            await asyncio.sleep(0)
            yield number

    async def main():
        return await asyncio.gather(*(task.amap(items(number)) for number in (1, 2)))

    for group in asyncio.run(main()):
        group.results(10)
    eventually(lambda: len(named(spans, "dispatch")) == 10)
    below = [span.parent.span_id for span in named(spans, "dispatch")]
    assert [5, 5] == [below.count(whole.context.span_id) for whole in named(spans, "map")]


def test_one_lot_is_drawn_for_all_of_them(open_):
    """A map that is left out leaves out its calls."""
    spans = Spans(sampler=ParentBased(TraceIdRatioBased(0)))
    with provider_in_place(spans.provider):
        double.using(open_()).map(range(10)).results(10)

    assert [] == spans.finished


def test_below_an_unsampled_span_nothing_is_built():
    """Not even a span that is dropped."""
    spans = Spans(sampler=ParentBased(ALWAYS_OFF))
    with (
        provider_in_place(spans.provider),
        spans.tracer().start_as_current_span("request") as request,
        telemetry.MapSpan("shop.resize", lambda: (0, {})),
    ):
        assert request is trace.get_current_span()


def test_without_an_sdk_and_with_telemetry_off_there_is_none(open_, spans, nobody_listens):
    """As for a single call."""
    double.using(open_()).map(range(3)).results(10)
    telemetry.follow(Settings(telemetry="off"))

    assert [] == spans.finished


def test_a_tracer_that_raises_costs_a_count(open_, failures):
    """The calls are sent."""
    spans = Spans()
    with provider_in_place(spans.provider):
        spans.provider.get_tracer = lambda *_, **__: Broken()
        telemetry.follow(Settings())
        assert [1, 2] == double.using(open_()).map([1, 2]).results(10)

    assert failures() >= 1


class Broken(trace.Tracer):
    def start_span(self, *_, **__):
        raise RuntimeError("no ink")

    def start_as_current_span(self, *_, **__):
        raise RuntimeError("no ink")
