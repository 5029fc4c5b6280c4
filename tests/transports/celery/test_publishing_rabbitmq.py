"""What RabbitMQ does otherwise: confirms, returns, channels that it closes, alarms."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which

import pytest
from celery import signals
from kombu import Connection

from callers import QUORUM, calling, ids, messages, waiting
from dispatch._call import CallOptions
from servers.patience import eventually

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def caller(rabbitmq_url, queue_name):
    with calling(rabbitmq_url, conf=QUORUM, queue=queue_name) as caller:
        yield caller
    with Connection(rabbitmq_url) as connection, connection.channel() as channel:
        channel.queue_delete(queue_name)


def test_an_accepted_call_is_in_the_queue(caller):
    """Confirmed, and not returned: one message, persistent, under the call's id."""
    call = caller.call("blue")

    assert caller.send(call) is None
    (message,) = messages(caller.url, caller.queue)
    assert (call.id, 2) == (message["headers"]["id"], message["properties"]["delivery_mode"])


def test_every_concurrent_call_is_in_the_queue_exactly_once(caller):
    """Each confirm is matched with its message by its number."""
    calls = [caller.call(number) for number in range(320)]

    assert {None} == set(caller.send_all(calls, threads=16))
    assert sorted(call.id for call in calls) == sorted(ids(caller.url, caller.queue))


def test_a_call_to_a_queue_that_was_deleted_is_refused_and_the_next_one_declares_it_anew(caller):
    """Celery would have been told that all is well; a returned message is refused here."""
    caller.brew("first")
    with Connection(caller.url) as connection, connection.channel() as channel:
        channel.queue_delete(caller.queue)

    passed = caller.brew("unroutable")
    assert "refused" == passed.why
    assert "NO_ROUTE" in passed.detail
    assert caller.brew("again") is None
    assert 1 == waiting(caller.url, caller.queue)


def test_of_a_batch_each_call_learns_its_own_outcome(caller):
    """Plain calls that wait together share an exchange; a wrong exchange among them is refused alone."""
    caller.brew("warm")
    nowhere = CallOptions(celery={"exchange": "nowhere", "routing_key": "nobody"})
    options = [None, None, nowhere, None, nowhere, None]
    begun = [caller.begin(caller.call(number, options=each)) for number, each in enumerate(options)]
    answers = [caller.end(*each) for each in begun]

    assert [False, False, True, False, True, False] == [each is not None for each in answers]
    assert 1 + 4 == waiting(caller.url, caller.queue)


def test_a_delayed_call_needs_no_worker_that_was_there_before(caller):
    """The delay queues are declared with the first one, and it reaches its own queue after a whole second."""
    with Connection(caller.url) as connection, connection.channel() as channel:
        channel.exchange_delete("celery_delayed_27")
    call = caller.call("later", options=CallOptions(delay_ns=200_000_000))

    assert caller.send(call) is None
    (message,) = eventually(lambda: messages(caller.url, caller.queue), what="the delayed call is in its queue")
    assert "celery_delayed_0" == message["headers"]["x-death"][0]["queue"]


def test_a_wrong_exchange_is_refused(caller):
    """RabbitMQ closes the channel over it, and it is certain that the message is nowhere."""
    passed = caller.brew("blue", options=CallOptions(celery={"exchange": "nowhere", "routing_key": "nobody"}))

    assert "refused" == passed.why
    assert "NOT_FOUND" in passed.detail
    assert caller.brew("green") is None


def test_a_message_that_amqp_cannot_carry_costs_its_own_call_alone(caller):
    """It is found before anything is written."""

    def before(headers, **_):
        headers["tenant"] = object()

    caller.brew("warm")
    signals.before_task_publish.connect(before)
    try:
        passed = caller.brew("blue")
    finally:
        signals.before_task_publish.disconnect(before)

    assert "refused" == passed.why
    assert caller.brew("green") is None
    assert 2 == waiting(caller.url, caller.queue)


def test_an_app_that_wants_sent_events_gets_them(rabbitmq_url, queue_name):
    """An event is one more message on the channel, and no answer is taken for another's."""
    with calling(rabbitmq_url, conf={"task_send_sent_event": True, **QUORUM}, queue=queue_name) as caller:
        assert [None] * 8 == caller.together(8, "blue")
        assert caller.brew("green") is None
        assert 9 == waiting(rabbitmq_url, queue_name)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is what this is about
def test_a_forked_child_publishes_over_a_connection_of_its_own(caller):
    """With plain Celery parent and child share the socket, and the parent hangs."""
    caller.brew("before")
    child = os.fork()
    if child == 0:
        os._exit(0 if caller.brew("child") is None else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert caller.brew("parent") is None
    assert 3 == waiting(caller.url, caller.queue)


@pytest.mark.slow
def test_while_an_alarm_is_on_calls_are_refused_and_none_is_sent(private_rabbitmq):
    """The first one is written before RabbitMQ says a word: unknown, and it does arrive. Later ones are refused."""
    with calling(private_rabbitmq.url, conf=QUORUM, queue="tea", publish_deadline="1s") as caller:
        caller.brew("warm")
        memory(private_rabbitmq, "0.0000001")
        first = caller.brew("first")
        second = caller.brew("second")
        alarm = caller.destination.unfit("ephemeral")
        shown = caller.destination.statistics().alarm
        memory(private_rabbitmq, "0.6")
        eventually(lambda: caller.destination.unfit("ephemeral") is None)
        assert caller.brew("third") is None

        assert "refused" == second.why == alarm.why
        assert alarm.detail == shown == second.detail
        assert "RabbitMQ takes no messages" in shown
        assert caller.destination.statistics().breaker == "closed"
        assert first.why in ("refused", "unknown")
        found = eventually(lambda: waiting(private_rabbitmq.url, "tea"))
        assert 2 + (first.why == "unknown") == found


def memory(node, share):
    """Set the share of memory above which the node raises its alarm."""
    control = Path(which("rabbitmqctl")).resolve().with_name("rabbitmqctl")
    subprocess.run(
        [control, "-n", f"{node._name}@localhost", "set_vm_memory_high_watermark", share],
        env=node._environment(),
        check=True,
        capture_output=True,
    )
