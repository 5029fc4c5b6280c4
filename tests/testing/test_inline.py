"""inline(): calls run at once, in their caller."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

import dispatch
from dispatch import CallExpired, NotAccepted, ResultNotSerializable, Task
from dispatch._registry import TaskSpec
from dispatch._requirements import Requirements
from dispatch._signature import mirror
from dispatch.policy import parse
from dispatch.telemetry.logs import add_call
from dispatch.testing import capture, inline, parity
from testing import shop


def test_a_call_has_run_when_delay_returns(dispatcher):
    """In the thread that made it, and from a coroutine too."""

    async def whose():
        handle = await shop.whose.adelay()
        return handle.done(), await handle

    with inline():
        handle = shop.whose.delay()
        assert handle.status == "done"
        assert handle.result() == threading.get_ident()
        assert asyncio.run(whose()) == (True, threading.get_ident())


def test_its_log_lines_name_the_call_as_they_do_at_work(dispatcher):
    """Of plain tasks and of coroutines; after it, none."""

    @dispatch.task(name="inline.logs", durability="ephemeral")
    def logs():
        return add_call(None, "info", {})

    @dispatch.task(name="inline.logs_later", durability="ephemeral")
    async def logs_later():
        return add_call(None, "info", {})

    with inline():
        handles = logs.delay(), logs_later.delay()

    assert [{"dispatch_call_id": each.id, "dispatch_task": each.task} for each in handles] == [
        each.result() for each in handles
    ]
    assert {} == add_call(None, "info", {})


def test_the_decision_says_where_the_call_would_have_gone(dispatcher):
    """By the policy that is in force where there is a broker, though there is none."""
    with inline():
        charged, greeted = shop.charge.delay(1), shop.greet.delay("Ada")

    assert (charged.result(), charged.decision.destination, charged.decision.transport) == (1, "queue", "celery")
    assert greeted.decision.destination == "fast"
    with pytest.raises(NotAccepted):
        shop.charge.delay(1)


def test_a_policy_that_was_named_is_the_one_that_decides(dispatcher):
    """One that keeps durable calls nowhere refuses them, inline as at work."""
    with inline(), dispatch.Dispatcher(policy="no-broker") as named:
        with pytest.raises(NotAccepted, match="not_durable"):
            shop.charge.using(named).delay(1)
        assert shop.greet.using(named).delay("Ada").result() == "Hello, Ada"


def test_what_a_task_raises_comes_through_the_handle(dispatcher):
    """`delay` itself raises nothing."""
    with inline():
        handle = shop.fail.delay("no such thing")

    assert handle.failed()
    with pytest.raises(LookupError, match="no such thing"):
        handle.result()


def test_a_task_may_dispatch_and_wait(dispatcher):
    """Its calls run inside it; a capture has them in the order in which they were made."""
    with inline(), capture() as sent:
        assert shop.order.delay(7).result() == "Hello, 7done"

    assert [each.task for each in sent] == [shop.order.name, shop.greet.name, shop.charge.name]


def test_only_calls_for_celery_travel(dispatcher):
    """A tuple for Celery arrives as a list; what stays here stays what it is."""
    thing = object()
    with inline():
        assert shop.charge.delay((1, 2)).result() == [1, 2]
        assert shop.echo.delay(thing).result() is thing
        with pytest.raises(dispatch.NotSerializable, match="argument 'order' is of type object"):
            shop.charge.delay(thing)


def test_a_result_that_celery_could_not_keep(dispatcher):
    """The call has run, and the handle says what it would say there."""
    with inline():
        handle = shop.opaque.options(durability="durable").delay()

    assert isinstance(handle.exception(), ResultNotSerializable)


async def greet_later(name):
    await asyncio.sleep(0)
    return f"{prefix.get()}, {name}"


prefix = ContextVar("prefix", default="Hello")


def test_a_coroutine_function_runs_to_its_end(dispatcher):
    """On a loop of its own, in its caller's context, whether or not its caller is in a loop."""
    spec = TaskSpec(name="shop.later", function=greet_later, signature=mirror(greet_later), requirements=Requirements())
    later = Task(spec)

    async def from_a_coroutine():
        prefix.set("Hi")
        return await (await later.adelay("Bob"))

    with inline():
        assert later.delay("Ada").result() == "Hello, Ada"
        assert asyncio.run(from_a_coroutine()) == "Hi, Bob"
    with inline(), parity():
        assert later.delay("Ada").result() == "Hello, Ada"


def test_what_celery_alone_understands(dispatcher):
    """A delay is not waited for, canvas is refused, and `expires` holds."""
    with inline():
        assert shop.greet.apply_async(("Ada",), countdown=3600).result() == "Hello, Ada"
        with pytest.raises(NotAccepted, match="link: inline mode does not play Celery's canvas"):
            shop.greet.apply_async(("Ada",), link=[])
        assert isinstance(shop.greet.apply_async(("Ada",), expires=-1).exception(), CallExpired)


def test_explaining_goes_along(dispatcher):
    """`explain` asks the understudies, and needs no broker either."""
    with inline():
        assert dispatch.explain(shop.charge, 1).decision.destination == "queue"
        refused = dispatch.explain(shop.charge, object())
    assert refused.decision is None


def test_the_budget_ranks_celery_as_if_it_were_there(dispatcher):
    """A broker that does not exist is not the fastest."""
    policy = """
version: 1
destinations:
  queue: {transport: celery}
  fast: {transport: local}
defaults: {durability: ephemeral}
otherwise: {route_to: queue, fallback: [fast]}
"""
    with inline(), dispatch.Dispatcher(policy=parse(policy)) as ranking:
        greet = shop.greet.using(ranking)
        assert greet.delay("Ada").decision.destination == "queue"
        assert greet.options(latency_budget="1ms").delay("Ada").decision.destination == "fast"
