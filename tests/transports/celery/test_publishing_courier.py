"""The publisher's own rules, on lines that fail by order: who is answered, with what, and when."""

from __future__ import annotations

import threading

import pytest

from callers import Caller
from dispatch._flag import Flag
from dispatch.transports.celery.publishing._answer import ACCEPTED, Answer, refused
from dispatch.transports.celery.publishing._breaker import Breaker, Limits
from dispatch.transports.celery.publishing._courier import Courier
from dispatch.transports.celery.publishing._encoding import encode
from dispatch.transports.celery.publishing._message import message_of
from dispatch.transports.celery.publishing._proof import KEPT
from dispatch.transports.celery.publishing._publisher import Publisher
from dispatch.transports.celery.publishing._ticket import Ticket
from servers.patience import eventually

PATIENT = 30.0


class Wire:
    """A line to nowhere, with the faults that a test gives it."""

    def __init__(self, *, answers=None, stands=True, held=None):
        self.broken = False
        self.sent = []
        self.ended = []
        self._posted = []
        self._answers = answers
        self._stands = stands
        self._held = held

    def stands(self):
        return self._stands

    def barred(self):
        return None

    def look(self):
        return False

    def prove(self, queue):
        return KEPT

    def post(self, message):
        self._posted.append(message)

    def exchange(self):
        posted, self._posted = self._posted, []
        self.sent.append([message.id for message in posted])
        if self._held is not None:
            self._held.wait()
        if isinstance(self._answers, Exception):
            raise self._answers
        return self._answers or [ACCEPTED for _ in posted]

    def close(self):
        self.ended.append("closed")

    def drop(self):
        self.ended.append("dropped")

    def disown(self):
        self.ended.append("disowned")


class Started:
    """A publisher that is warm."""

    def __init__(self):
        self.imported, self.warm = Flag(), Flag()
        self.imported.hoist()
        self.warm.hoist()


def message(**options):
    caller = Caller("memory://")
    call = caller.call("blue", **options)
    return message_of(
        call, encode(call.args, call.kwargs), app=caller.app, queue="tea", need="kept", expires_ns=None, headers={}
    )


def ticket(patience=PATIENT):
    return Ticket(message(), Started(), patience)


def over(*wires):
    """A courier whose lines are these, one after the other; an exception is what connecting raises."""
    left = list(wires)

    def connect():
        wire = left.pop(0)
        if isinstance(wire, Exception):
            raise wire
        return wire

    return Courier(lambda: connect, {"tea"}, Breaker(Limits()))


def answered(each):
    each.wait()
    return each.answer


# Tickets ---------------------------------------------------------------------------------------------------------


def test_a_message_that_nobody_took_in_time_is_refused_and_never_sent():
    """Withdrawn at the deadline: the courier, when it comes, finds nothing to send."""
    late, wire = ticket(patience=0.0), Wire()

    assert "refused" == answered(late).verdict
    over(wire).deliver([late])
    assert [[]] == wire.sent


def test_a_message_that_was_taken_and_not_answered_in_time_is_unknown():
    """And stays so for its caller, whatever comes later."""
    sent = ticket(patience=0.0)
    assert sent.take()

    assert "unknown" == answered(sent).verdict
    sent.settle(ACCEPTED)
    assert "unknown" == sent.answer.verdict


def test_the_answer_is_looked_at_once_more_at_the_deadline():
    """It may have come while the caller was waking up."""
    sent = ticket(patience=0.0)
    sent.take()
    sent.settle(ACCEPTED)

    assert ACCEPTED is answered(sent)


def test_a_message_is_taken_or_withdrawn_and_never_both():
    """Whoever is first has the word."""
    first, second = ticket(), ticket()

    assert first.take()
    assert not first.withdraw()
    assert second.withdraw()
    assert not second.take()


# The courier -----------------------------------------------------------------------------------------------------


def test_a_line_found_dead_is_replaced_before_anything_is_sent():
    """Nothing was written to it, so the message goes out over the next one, within the same call."""
    dead, sound = Wire(), Wire()
    courier, first, second = over(dead, sound), ticket(), ticket()
    courier.deliver([first])
    dead._stands = False
    courier.deliver([second])

    assert [ACCEPTED, ACCEPTED] == [answered(first), answered(second)]
    assert ["dropped"] == dead.ended
    assert [[second.message.id]] == sound.sent


def test_when_no_line_can_be_had_everybody_is_refused_with_the_reason():
    """In the broker's own words."""
    both = [ticket(), ticket()]
    obstacle = over(ConnectionRefusedError(111, "nobody listens")).deliver(both)

    assert [obstacle, obstacle] == [answered(each) for each in both]
    assert ("refused", True) == (obstacle.verdict, "nobody listens" in obstacle.detail)


def test_a_line_that_broke_in_the_middle_is_dropped_and_each_keeps_its_own_answer():
    """The next batch begins with a new one."""
    wire = Wire(answers=[ACCEPTED, Answer("unknown"), refused("full")])
    courier, three = over(wire, Wire()), [ticket(), ticket(), ticket()]
    wire.broken = True
    courier.deliver(three)

    assert ["accepted", "unknown", "refused"] == [answered(each).verdict for each in three]
    assert ["dropped"] == wire.ended
    assert courier.open() is None


def test_a_driver_that_stumbles_leaves_the_outcome_unknown():
    """What it had written by then, nobody can say; the thread goes on with another line."""
    wire, sent = Wire(answers=RuntimeError("half a reply")), ticket()
    over(wire).deliver([sent])

    assert ("unknown", True) == (answered(sent).verdict, "half a reply" in sent.answer.detail)
    assert ["dropped"] == wire.ended


def test_calls_with_options_of_celerys_go_alone():
    """Plain ones before and after them share an exchange each."""
    from dispatch._call import CallOptions

    special = CallOptions(celery={"queue": "elsewhere"})
    wire = Wire()
    tickets = [Ticket(message(options=each), Started(), PATIENT) for each in (None, None, special, special, None)]
    over(wire).deliver(tickets)

    assert [2, 1, 1, 1] == [len(together) for together in wire.sent]


# The publisher ---------------------------------------------------------------------------------------------------


@pytest.fixture
def publish():
    """Makes publishers over given lines, and ends them."""
    made = []

    def make(*wires):
        left = list(wires)
        made.append(Publisher(lambda: lambda: left.pop(0)))
        return made[-1]

    yield make
    for publisher in made:
        publisher.close(5.0)


def test_what_waits_at_one_moment_goes_out_together(publish):
    """While one exchange is under way, the next one gathers."""
    held = threading.Event()
    wire = Wire(held=held)
    publisher = publish(wire)
    first = publisher.submit(message(), PATIENT)
    eventually(lambda: wire.sent)
    others = [publisher.submit(message(), PATIENT) for _ in range(20)]
    held.set()

    assert {ACCEPTED} == {answered(each) for each in (first, *others)}
    assert [1, 20] == [len(together) for together in wire.sent]


def test_closing_says_good_bye_to_the_broker(publish):
    """In good order: nothing is under way any more."""
    wire = Wire()
    publisher = publish(wire)
    assert ACCEPTED is answered(publisher.submit(message(), PATIENT))
    publisher.close(5.0)

    assert ["closed"] == wire.ended


def test_a_publisher_closed_before_it_ever_started_refuses_at_once(publish):
    """There is no thread to wait for."""
    publisher = publish()
    publisher.close(1.0)

    assert "refused" == answered(publisher.submit(message(), PATIENT)).verdict


def test_a_mistake_of_ours_does_not_end_the_thread(publish, caplog, monkeypatch):
    """It is logged, and the next message goes out."""
    publisher = publish(Wire())
    assert ACCEPTED is answered(publisher.submit(message(), PATIENT))
    with monkeypatch.context() as patch:
        patch.setattr(Courier, "deliver", lambda *_: 1 / 0)
        assert "refused" == answered(publisher.submit(message(), 0.2)).verdict

    assert ACCEPTED is answered(publisher.submit(message(), PATIENT))
    assert "mistake" in caplog.text


# Two real lines --------------------------------------------------------------------------------------------------


def answers_over(line, caller, queues):
    for queue in queues:
        call = caller.call("blue")
        body = encode(call.args, call.kwargs)
        line.post(message_of(call, body, app=caller.app, queue=queue, need="nothing", expires_ns=None, headers={}))
    return [answer.verdict for answer in line.exchange()]


def test_each_message_in_one_pipeline_has_its_own_answer(redis_url):
    """kombu's own flush would raise "uncertain" for all five."""
    import redis

    from dispatch.transports.celery.publishing._redis_line import RedisLine

    with redis.Redis.from_url(redis_url) as client:
        client.set("spoiled", "no list")
    caller = Caller(redis_url)
    line = RedisLine(caller.app, 2.0)
    try:
        assert ["accepted", "refused", "accepted", "refused", "accepted"] == answers_over(
            line, caller, ["tea", "spoiled", "tea", "spoiled", "tea"]
        )
        assert ["accepted"] == answers_over(line, caller, ["tea"])
    finally:
        line.drop()


@pytest.mark.rabbitmq
def test_each_message_on_one_channel_has_its_own_answer(rabbitmq_url, queue_name):
    """A returned one between confirmed ones: confirms are matched by number, returns by id."""
    from dispatch.transports.celery.publishing._rabbitmq_line import RabbitMQLine

    caller = Caller(rabbitmq_url)
    line = RabbitMQLine(caller.app, 5.0)
    try:
        line.prove(queue_name)
        queues = [queue_name, "nowhere", queue_name, "nowhere", queue_name]
        assert ["accepted", "refused", "accepted", "refused", "accepted"] == answers_over(line, caller, queues)
    finally:
        line._channel.queue_delete(queue_name)
        line.close()


def test_while_the_broker_is_tried_its_breaker_is_half_open():
    """And then open again, or closed."""
    breaker, phases, nobody = Breaker(Limits()), [], [OSError("nobody there")]

    def connect():
        phases.append(breaker.phase)
        if nobody:
            raise nobody.pop()
        return Wire()

    courier = Courier(lambda: connect, (), breaker)
    breaker.open("gone")
    for _ in range(2):
        courier.probe()
        phases.append(breaker.phase)

    assert ["half_open", "open", "half_open", "closed"] == phases
