"""Log lines that a task writes name its trace and its call, wherever it runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from io import StringIO

import pytest
import structlog
from opentelemetry import trace

import dispatch
from dispatch import telemetry
from dispatch.telemetry import _running
from dispatch.telemetry.logs import CallFilter, add_call
from telemetry.handmade import Spans, provider_in_place

POLICY = """
version: 1
destinations:
  fast: {transport: local, workers: 1, capacity: 10}
  mine: {transport: local, runner: asyncio, loop: caller}
  narrow: {transport: local, workers: 1, capacity: 1, on_full: caller_runs}
  cpu: {transport: local, runner: process, workers: 1}
defaults: {durability: ephemeral}
rules:
  - {name: mine, match: {task: "logs.mine.*"}, route_to: mine}
  - {name: narrow, match: {task: "logs.narrow.*"}, route_to: narrow}
  - {name: cpu, match: {task: "*.cpu_*"}, route_to: cpu}
otherwise: {route_to: fast}
"""


@pytest.fixture(autouse=True)
def house(dispatcher):
    """Nobody listens to spans, unless a test asks for them."""
    with provider_in_place(None):
        yield dispatcher(POLICY)


@pytest.fixture
def spans():
    spans = Spans()
    with provider_in_place(spans.provider):
        yield spans
    spans.provider.shutdown()


def said() -> dict[str, str]:
    """What a structlog event says here, beside its own words."""
    return dict(add_call(None, "info", {}))


def call(handle) -> dict[str, str]:
    """What an event in the body of this call is to say, with no span about."""
    return {"dispatch_call_id": handle.id, "dispatch_task": handle.task}


@dispatch.task(name="logs.plain")
def plain():
    return said()


@dispatch.task(name="logs.coroutine")
async def coroutine():
    return said()


@dispatch.task(name="logs.mine.coroutine")
async def on_my_loop():
    await asyncio.sleep(0)
    return said()


# Where a body runs -------------------------------------------------------------------------------------------------


def test_outside_of_all_tasks_nothing_is_said():
    """Before, and after."""
    assert {} == said()
    plain.delay().result(10)
    assert {} == said()


def test_a_task_in_a_pool_s_thread_is_named(house):
    """Its id is that of the handle."""
    handle = plain.delay()

    assert call(handle) == handle.result(10)


def test_a_coroutine_task_is_named_on_the_pool_s_own_loop():
    """Which has no thread for each."""
    handle = coroutine.delay()

    assert call(handle) == handle.result(10)


def test_coroutine_tasks_are_named_on_their_caller_s_loop():
    """Where many take turns; between them nothing is said."""

    async def main():
        handles = [on_my_loop.delay() for _ in range(3)]
        return handles, [await handle for handle in handles], said()

    handles, told, between = asyncio.run(main())

    assert [call(handle) for handle in handles] == told
    assert {} == between


def test_what_a_coroutine_starts_is_its_own():
    """Its own tasks, and threads that it lends its context to."""

    @dispatch.task(name="logs.starts")
    async def starts():
        return [await asyncio.create_task(told_later()), await asyncio.to_thread(said)]

    async def told_later():
        await asyncio.sleep(0)
        return said()

    handle = starts.delay()
    assert [call(handle)] * 2 == handle.result(10)


def test_a_task_in_a_worker_process_is_named_there(project, house):
    """The process is told which call it runs."""
    shop = project("""
        import dispatch
        from dispatch.telemetry.logs import add_call

        @dispatch.task
        def cpu_said():
            return dict(add_call(None, "info", {}))
        """).load()
    handles = [shop.cpu_said.delay() for _ in range(2)]

    assert [call(handle) for handle in handles] == [handle.result(30) for handle in handles]


# One call inside another -------------------------------------------------------------------------------------------


@dispatch.task(name="logs.outer")
def outer():
    """On the only worker, which therefore runs the inner one itself."""
    inner = plain.delay()
    return call(inner), inner.result(), said(), threading.current_thread().name


def test_of_calls_run_in_place_the_inner_one_is_named():
    """And the outer one again afterwards."""
    handle = outer.delay()
    inner, told_inside, told_after, _ = handle.result(10)

    assert inner == told_inside
    assert call(handle) == told_after


@contextmanager
def held(name):
    """The destination `narrow` has its worker held and its one place taken, so that callers run what they send."""
    started, opened = threading.Event(), threading.Event()

    @dispatch.task(name=f"logs.narrow.{name}")
    def hold():
        started.set()
        assert opened.wait(20)

    handles = [hold.delay()]
    assert started.wait(20)
    handles.append(hold.delay())
    try:
        yield
    finally:
        opened.set()
        for handle in handles:
            handle.result(20)


@dispatch.task(name="logs.narrow.said")
def inline():
    return said()


def test_a_call_that_its_caller_runs_is_named_in_the_caller_s_thread():
    """For as long as it runs."""
    with held("for_a_thread"):
        handle = inline.delay()

        assert handle.done
        assert call(handle) == handle.result(10)
        assert {} == said()


def test_a_call_that_a_coroutine_runs_in_its_loop_s_thread_is_the_inner_one():
    """`delay` in a running loop, with nowhere else to go."""

    @dispatch.task(name="logs.mine.runs")
    async def runs():
        handle = inline.delay()
        return call(handle), handle.result(), said()

    async def main():
        handle = runs.delay()
        return handle, await handle

    with held("for_a_loop"):
        handle, (inner, told_inside, told_after) = asyncio.run(main())

    assert inner == told_inside
    assert call(handle) == told_after


def test_a_call_that_a_coroutine_sends_to_a_thread_is_named_there_and_not_its_sender():
    """Its context has travelled along, and the sender still runs."""

    @dispatch.task(name="logs.sends")
    async def sends():
        handle = plain.delay()
        return call(handle), await handle

    inner, told = sends.delay().result(10)

    assert inner == told


def test_a_coroutine_on_a_loop_that_a_plain_task_runs_is_the_inner_one():
    """And the plain task around it is named again, in its own loop and after it."""

    @dispatch.task(name="logs.runs_a_loop")
    def runs_a_loop():
        async def main():
            handle = on_my_loop.delay()
            return call(handle), await handle, said()

        return *asyncio.run(main()), said()

    handle = runs_a_loop.delay()
    inner, told_inside, told_beside, told_after = handle.result(10)

    assert inner == told_inside
    assert [call(handle)] * 2 == [told_beside, told_after]


# The trace ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [plain, coroutine], ids=["thread", "loop"])
def test_the_span_is_that_of_the_body(spans, task):
    """In hexadecimal, as traces show it."""
    told = task.delay().result(10)

    context = spans["execute"].context
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (told["trace_id"], told["span_id"])


def test_a_span_outside_of_all_tasks_is_named_alone(spans):
    """In a request, for example."""
    with spans.tracer().start_as_current_span("request") as span:
        told = said()

    assert {"trace_id": f"{span.get_span_context().trace_id:032x}", "span_id": f"{span.context.span_id:016x}"} == told


# The two ways to say it --------------------------------------------------------------------------------------------


@pytest.fixture
def written():
    """What a handler with the filter writes, of a logger that no test configures."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter("%(message)s|%(dispatch_call_id)s|%(dispatch_task)s|%(trace_id)s|%(span_id)s")
    )
    handler.addFilter(CallFilter())
    logger = logging.getLogger("shop")
    logger.addHandler(handler)
    yield lambda: stream.getvalue().splitlines()
    logger.removeHandler(handler)


@dispatch.task(name="logs.writes")
def writes():
    logging.getLogger("shop.orders").warning("in the body")


def test_a_format_may_name_what_the_filter_gives(written):
    """Also of lines that no task writes; and a handler sees the records of every logger."""
    handle = writes.delay()
    handle.result(10)
    logging.getLogger("shop.orders").warning("outside")

    assert [f"in the body|{handle.id}|logs.writes||", "outside||||"] == written()


def test_a_record_says_what_it_said_first(written):
    """A second handler may stand in another thread, behind a queue."""
    logging.getLogger("shop").warning("later", extra={"dispatch_call_id": "1", "trace_id": "2"})

    assert ["later|1||2|"] == written()


def test_an_event_keeps_its_own_words(spans):
    """Somebody else's processor may know better."""

    @dispatch.task(name="logs.words")
    def words():
        return add_call(None, "info", {"event": "paid", "trace_id": "mine"})

    told = words.delay().result(10)

    assert ("paid", "mine") == (told["event"], told["trace_id"])
    assert told["dispatch_task"] == "logs.words"


def test_an_event_that_names_another_call_is_left_alone(spans):
    """Whoever runs here has nothing to do with it."""

    @dispatch.task(name="logs.another")
    def another():
        return add_call(None, "info", {"dispatch_call_id": "another"})

    assert {"dispatch_call_id": "another"} == another.delay().result(10)


def test_structlog_takes_it_as_a_processor():
    """As an application configures it."""
    stream = StringIO()
    structlog.configure(
        processors=[add_call, structlog.processors.LogfmtRenderer()],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    try:

        @dispatch.task(name="logs.structlog")
        def logs():
            structlog.get_logger().info("paid", order=7)

        handle = logs.delay()
        handle.result(10)
    finally:
        structlog.reset_defaults()

    assert f"order=7 event=paid dispatch_call_id={handle.id} dispatch_task=logs.structlog\n" == stream.getvalue()


def test_whoever_cannot_tell_costs_the_words_and_not_the_line(monkeypatch, written):
    """Counted, like all that goes wrong in telemetry."""

    def confused():
        raise LookupError("who am I?")

    monkeypatch.setattr(_running, "_known_by", [confused])
    before = telemetry.failures()

    assert {"event": "paid"} == add_call(None, "info", {"event": "paid"})
    logging.getLogger("shop").warning("all the same")
    assert ["all the same||||"] == written()
    assert before + 2 <= telemetry.failures()  # one more, if it was the first: that is said in the log


# dispatch's own lines ----------------------------------------------------------------------------------------------


def test_dispatch_s_own_lines_in_a_body_name_it(caplog, spans):
    """The application has configured nothing."""

    @dispatch.task(name="logs.own")
    def own():
        from dispatch._log import logger

        logger("shop").warning("something about a call")

    handle = own.delay()
    handle.result(10)

    [record] = [each for each in caplog.records if each.name == "dispatch.shop"]
    assert f"dispatch_call_id={handle.id} dispatch_task=logs.own" in record.getMessage()
    assert f"trace_id={spans['execute'].context.trace_id:032x}" in record.getMessage()


def test_dispatch_s_own_lines_about_a_call_name_that_one(caplog):
    """From wherever they are written, and once."""

    @dispatch.task(name="logs.done")
    def done():
        return None

    handle = done.delay()
    handle.result(10)
    handle.add_done_callback(lambda _: 1 / 0)

    [record] = [each for each in caplog.records if "a done callback failed" in each.getMessage()]
    assert 1 == record.getMessage().count(f"dispatch_call_id={handle.id}")
    assert 1 == record.getMessage().count("dispatch_task=logs.done")


def test_the_current_span_of_somebody_else_is_not_touched(spans):
    """Looking does not change what is looked at."""
    with spans.tracer().start_as_current_span("request") as span:
        said()
        assert span is trace.get_current_span()
