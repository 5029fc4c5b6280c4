"""What a call becomes on its way into Celery's queue. On Redis; RabbitMQ has a file of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from base64 import b64decode
from contextvars import ContextVar
from datetime import datetime
from types import SimpleNamespace

import pytest
import redis
from celery import signals
from celery._state import _task_stack

from callers import Caller, calling, ids, messages, spec, waiting
from dispatch._call import CallOptions
from servers.patience import eventually


@pytest.fixture
def caller(redis_url):
    with calling(redis_url) as caller:
        yield caller


def only_message(caller):
    (message,) = messages(caller.url, caller.queue)
    return message


def body(message):
    return json.loads(b64decode(message["raw"]["body"]))


def test_a_call_is_a_message_that_any_celery_worker_reads(caller):
    """Protocol 2, JSON, under the call's own id; tuples are lists on the wire, as with Celery itself."""
    call = caller.call("blue", 1, 2, sugar=(3, 4))

    assert caller.send(call) is None
    message = only_message(caller)
    assert ["blue", 1, 2] == body(message)[0]
    assert {"sugar": [3, 4]} == body(message)[1]
    assert "application/json" == message["raw"]["content-type"]
    assert ("kitchen.brew", call.id, 0) == tuple(message["headers"][each] for each in ("task", "id", "retries"))
    assert call.id == message["properties"]["correlation_id"]


def test_arguments_are_not_printed_into_the_message(caller):
    """What a log or a monitor shows of a call is not its arguments."""
    caller.brew("secret")

    headers = only_message(caller)["headers"]
    assert ("", "") == (headers["argsrepr"], headers["kwargsrepr"])


def test_durability_the_trace_and_the_callers_headers_travel_as_headers(caller):
    """The worker obeys the header, not a policy of its own."""
    caller.brew("blue", options=CallOptions(headers={"tenant": "north"}))

    headers = only_message(caller)["headers"]
    assert ("ephemeral", "north") == (headers["dispatch-durability"], headers["tenant"])
    assert headers["dispatch-sent-ns"].isdigit()


@pytest.mark.parametrize(
    ("result", "said", "ignored"), [(True, None, False), (False, None, True), (True, True, True), (False, False, False)]
)
def test_whether_the_result_is_kept_is_the_calls_word_and_else_the_tasks(caller, result, said, ignored):
    """`ignore_result` of the call wins over `result` of the task."""
    caller.brew("blue", spec=spec(result=result), options=CallOptions(ignore_result=said))

    assert ignored is only_message(caller)["headers"]["ignore_result"]


def test_the_shortest_expires_holds_and_counts_from_delay(redis_url):
    """Destination, task and call may each set one; RabbitMQ's own expiry, which tells nobody, is not used."""
    with calling(redis_url, expires="1h") as caller:
        call = caller.call("blue", spec=spec(expires_ns=60 * 10**9), options=CallOptions(expires_ns=120 * 10**9))
        caller.send(call)

        message = only_message(caller)
        left = datetime.fromisoformat(message["headers"]["expires"]) - datetime.now().astimezone()
        assert 50 < left.total_seconds() <= 60
        assert "expiration" not in message["properties"]


def test_an_accepted_call_knows_when_it_was_sent_and_where_its_result_comes_from(redis_url):
    """The times are in order, and the source is the dispatcher's."""
    results = SimpleNamespace(outlooks={})
    with calling(redis_url, results=results) as caller:
        call = caller.call("blue")
        caller.send(call)

        assert call.entered <= call.serialized <= call.sent
        assert results is call.source


def test_celerys_signals_are_sent_as_celery_sends_them(caller):
    """Receivers see the body as a tuple and may add headers; they run in the caller's context."""
    tenant = ContextVar("tenant", default="nobody")
    seen = []

    def before(sender, body, headers, **_):
        headers["stamped"] = "yes"
        seen.append((sender, body[0], tenant.get()))

    def after(sender, headers, **_):
        seen.append((sender, headers["stamped"]))

    tenant.set("north")
    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    try:
        caller.brew("blue")
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)

    assert [("kitchen.brew", ("blue",), "north"), ("kitchen.brew", "yes")] == seen
    assert "yes" == only_message(caller)["headers"]["stamped"]


def test_a_message_that_a_receiver_spoils_costs_its_own_call_alone(caller):
    """Nothing of that message was sent, so it is refused; the next one goes out over the same connection."""

    def before(headers, **_):
        headers["tenant"] = object()

    signals.before_task_publish.connect(before)
    try:
        passed = caller.brew("blue")
    finally:
        signals.before_task_publish.disconnect(before)

    assert "refused" == passed.why
    assert caller.brew("green") is None
    assert 1 == waiting(caller.url, caller.queue)


def test_a_call_made_by_a_celery_task_keeps_its_lineage(caller):
    """As with `apply_async` inside a task: root and parent are that task's."""
    task = SimpleNamespace(request=SimpleNamespace(id="parent", root_id="root", called_directly=False))
    _task_stack.push(task)
    try:
        caller.brew("blue")
    finally:
        _task_stack.pop()

    headers = only_message(caller)["headers"]
    assert ("root", "parent") == (headers["root_id"], headers["parent_id"])


# Options that only Celery knows ----------------------------------------------------------------------------------


def with_options(caller, **celery):
    return caller.brew("blue", options=CallOptions(celery=celery))


def test_a_delayed_call_waits_in_the_ledger_and_in_no_worker(caller):
    """Its message goes into the queue when it is due, which is counted from `delay`; an ephemeral one as well."""
    call = caller.call("blue", options=CallOptions(delay_ns=60_000_000_000))
    call.entered -= 5_000_000_000
    assert caller.send(call) is None

    with redis.Redis.from_url(caller.url) as client:
        ((who, due),) = client.zrange("dispatch:due", 0, -1, withscores=True)
    assert (0, call.id) == (waiting(caller.url, caller.queue), who.decode())
    assert 45 < due / 1000 - time.time() <= 55


def test_a_call_with_its_own_queue_goes_there(caller):
    """The policy's queue is for calls that name none."""
    assert with_options(caller, queue="elsewhere") is None

    assert (0, 1) == (waiting(caller.url, caller.queue), waiting(caller.url, "elsewhere"))


def test_a_call_with_options_asks_for_its_result_and_subscribes_to_nothing(caller):
    """The worker is told to keep the result; Celery's own subscription at publish is not made."""
    with_options(caller, shadow="tea")

    headers = only_message(caller)["headers"]
    assert (False, "tea") == (headers["ignore_result"], headers["shadow"])
    assert 1 == len(messages(caller.url, caller.queue))


def test_an_option_that_celery_cannot_use_is_refused(caller):
    """Its error is in the answer, and nothing was sent."""
    passed = with_options(caller, countdown="soon")

    assert "refused" == passed.why
    assert 0 == waiting(caller.url, caller.queue)


def test_arguments_travel_as_json_alone_whatever_the_app_accepts(caller):
    """Its own check comes before anything is sent."""
    caller.app.conf.accept_content = ["json", "yaml"]

    for serializer in ("yaml", "pickle", "msgpack", "morse"):
        passed = with_options(caller, serializer=serializer)
        assert ("cannot_carry", "serializer") == (passed.why, passed.argument)
    assert with_options(caller, serializer="json") is None
    assert "application/json" == only_message(caller)["raw"]["content-type"]


def test_an_app_that_wants_sent_events_gets_them(redis_url):
    """`task_send_sent_event` is the app's setting, and holds here too."""
    with calling(redis_url, conf={"task_send_sent_event": True}) as caller:
        assert caller.brew("blue") is None
        assert caller.brew("green") is None
        assert 2 == waiting(caller.url, caller.queue)


# The publisher ---------------------------------------------------------------------------------------------------


def test_every_concurrent_call_is_in_the_queue_exactly_once(caller):
    """Sixteen threads share one connection and its exchanges."""
    calls = [caller.call(number) for number in range(800)]

    assert {None} == set(caller.send_all(calls, threads=16))
    assert sorted(call.id for call in calls) == sorted(ids(caller.url, caller.queue))


def test_the_apps_settings_stay_as_they_are(redis_url):
    """The publisher's bounds are its own connection's."""
    with calling(redis_url, conf={"broker_transport_options": {"visibility_timeout": 99}}) as caller:
        caller.brew("blue")

        assert {"visibility_timeout": 99} == caller.app.conf.broker_transport_options


def test_options_that_would_send_twice_are_not_taken_over(redis_url):
    """`retry_on_timeout` of the app is good for its workers, and would double messages here."""
    with calling(redis_url, conf={"broker_transport_options": {"retry_on_timeout": True}}) as caller:
        assert caller.brew("blue") is None
        assert 1 == waiting(caller.url, caller.queue)


def test_a_coroutine_is_answered_without_a_thread_and_without_blocking_its_loop(caller):
    """Other coroutines go on while the broker is asked."""

    async def both():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        answers = await asyncio.gather(*(caller.asend(caller.call(each)) for each in range(20)))
        counting.cancel()
        return answers, turns

    answers, turns = asyncio.run(both())

    assert [None] * 20 == answers
    assert turns > 1
    assert 20 == waiting(caller.url, caller.queue)


def test_what_waits_when_the_publisher_is_closed_is_sent(caller):
    """`close` flushes; what comes later is refused at once, and twice is once."""
    caller.brew("warm")
    begun = [caller.begin(caller.call(each)) for each in range(50)]

    assert 0 == caller.close().left
    assert [None] * 50 == [caller.end(*each) for each in begun]
    assert 51 == waiting(caller.url, caller.queue)
    assert "refused" == caller.brew("late").why
    assert 0 == caller.close().left


def test_a_publisher_that_nobody_holds_ends_its_thread(redis_url):
    """A dispatcher that was dropped without `close` leaves no thread behind."""
    caller = Caller(redis_url)
    caller.brew("blue")
    thread = caller.thread
    del caller
    gc.collect()
    thread.join(5.0)

    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is what this is about
def test_a_forked_child_publishes_over_a_connection_of_its_own(caller):
    """`os.fork` after a publish: parent and child both go on."""
    caller.brew("before")
    child = os.fork()
    if child == 0:
        os._exit(0 if caller.brew("child") is None else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert caller.brew("parent") is None
    assert 3 == waiting(caller.url, caller.queue)


def test_warming_opens_the_connection_before_the_first_call(caller):
    """`configure()` warms: the broker is asked what it keeps, in the background."""
    caller.broker.warm()

    assert eventually(lambda: caller.publisher.proof(caller.queue, "kept")).kept
