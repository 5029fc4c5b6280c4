"""Messages that are written from a template: the same as kombu's, and only where nobody could tell them apart."""

from __future__ import annotations

import functools
import json
import os
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from textwrap import dedent

import msgspec
import pytest
import wrapt
from celery import signals
from celery.app.amqp import AMQP
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu import Exchange, Queue, messaging, serialization
from kombu.transport.virtual import Channel

import dispatch
from callers import Caller, calling, messages
from dispatch import _default
from dispatch._call import CallOptions
from dispatch._retry import Retry
from dispatch.policy import parse
from dispatch.transports.celery.ledger import NO_STAMP, Terms
from dispatch.transports.celery.publishing._encoding import encode
from dispatch.transports.celery.publishing._message import message_of
from dispatch.transports.celery.publishing._redis_line import RedisLine

CALM = settings(max_examples=100, deadline=None)


class Size(StrEnum):
    LARGE = "large"


class Post:
    """A line to Redis, and what it is about to send."""

    def __init__(self, caller):
        self.caller = caller
        self.line = RedisLine(caller.app, 5.0)

    def message(self, *args, durability="ephemeral", options=None, trace=None, lineage=None, terms=None, **kwargs):
        call = self.caller.call(*args, durability=durability, options=options, **kwargs)
        return msgspec.structs.replace(
            message_of(
                call,
                encode(call.args, call.kwargs),
                app=self.caller.app,
                queue=self.caller.queue,
                need="nothing",
                expires_ns=call.expires_ns,
                headers=trace or {},
                terms=terms,
            ),
            lineage=lineage or {},
        )

    def sent(self, message):
        """The commands that the line is about to send for it."""
        self.line.post(message)
        return self.line._posted.pop()

    def as_kombu_sends_it(self, message):
        commands = self.line._made(message)
        return commands if message.terms is None else self.line._kept(message, message.terms, commands)

    def names(self):
        """Those of the commands for one more plain message."""
        return [command[0] for command in self.sent(self.message("blue"))]

    def text(self):
        """Of one more plain message."""
        ((_, _, text),) = self.sent(self.message("blue"))
        return json.loads(text)


@contextmanager
def posting(url, *, amqp=AMQP, **conf):
    """Past the first message for a queue that is there."""
    caller = Caller(url, conf=conf)
    if amqp is not AMQP:
        vars(caller.app).pop("amqp", None)
        caller.app.amqp_cls = amqp
    post = Post(caller)
    try:
        post.line.prove(caller.queue)
        post.sent(post.message("the first"))
        yield post
    finally:
        post.line.drop()


@pytest.fixture
def post(redis_url):
    with posting(redis_url) as post:
        yield post


@pytest.fixture(scope="module")
def lasting_post(new_redis_url):
    with posting(new_redis_url()) as post:
        yield post


@pytest.fixture
def by_kombu(monkeypatch):
    """The routing keys of the messages that kombu has made, as far as can be seen from beneath everything else."""
    made = []
    augment = Channel._inplace_augment_message

    def note(self, message, exchange, routing_key):
        made.append(routing_key)
        augment(self, message, exchange, routing_key)

    monkeypatch.setattr(Channel, "_inplace_augment_message", note)
    return made


def untagged(commands):
    """The commands with their messages decoded, and without what is each message's own."""
    return [_untagged(*command) for command in commands]


def _untagged(name, *words):
    if name == "LPUSH":
        key, text = words
        rest = (name, key)
    else:
        *rest, before, after = (name, *words[:5], *words[7:], *words[5:7])
        text = f"{before}{NO_STAMP}{after}"
    message = json.loads(text)
    del message["properties"]["delivery_tag"]
    return rest, message


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # half surrogate pairs too
PLAIN = TEXT | st.integers() | st.booleans() | st.none()
ODD = (
    st.floats(allow_nan=False)
    | st.datetimes(timezones=st.just(UTC))
    | st.uuids()
    | st.just(Size.LARGE)
    | st.lists(PLAIN, max_size=3)
    | st.dictionaries(TEXT, PLAIN, max_size=2)
)
NESTED = st.recursive(
    PLAIN | ODD | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=5
)
ARGUMENTS = st.lists(NESTED, min_size=1, max_size=2)
CELERYS = st.sampled_from(["task", "id", "root_id", "expires", "compression", "ignore_result", "dispatch-route"])
OPTIONS = st.none() | st.builds(
    CallOptions,
    task_id=st.none() | TEXT.filter(len),
    headers=st.none() | st.dictionaries(TEXT | CELERYS, PLAIN | ODD, max_size=4),
    ignore_result=st.none() | st.booleans(),
    expires_ns=st.none() | st.integers(1, 10**15),
    retry=st.none() | st.builds(Retry, attempts=st.integers(2, 9)),
)
TRACE = st.dictionaries(st.sampled_from(["traceparent", "tracestate", "dispatch-route"]), TEXT)
LINEAGE = st.just({}) | st.fixed_dictionaries(
    {"root_id": TEXT | st.uuids(), "parent_id": TEXT | st.none() | st.uuids()}
)


@CALM
@given(
    args=ARGUMENTS,
    sugar=NESTED,
    options=OPTIONS,
    trace=TRACE,
    lineage=LINEAGE,
    durability=st.sampled_from(["ephemeral", "durable"]),
    terms=st.none() | st.just(Terms(lease_ms=3_000)),
)
def test_what_is_sent_is_what_kombu_would_have_sent(lasting_post, args, sugar, **said):
    """Any arguments, headers, lineage: decoded it is the same, but for the tag that each delivery has of its own."""
    message = lasting_post.message(*args, sugar=sugar, **said)

    assert untagged(lasting_post.as_kombu_sends_it(message)) == untagged(lasting_post.sent(message))


@pytest.mark.parametrize("terms", [None, Terms(lease_ms=3_000)])
def test_kombu_makes_the_first_message_for_a_queue_and_no_other_plain_one(redis_url, by_kombu, terms):
    """Ephemeral or kept in the ledger, with or without headers."""
    with posting(redis_url) as post:
        options = CallOptions(headers={"tenant": "north", "tries": 3, "urgent": True, "shop": None})
        for durability in ("ephemeral", "durable"):
            post.sent(post.message("blue", durability=durability, terms=terms, trace={"traceparent": "00"}))
            post.sent(post.message("red", durability=durability, terms=terms, options=options))

    assert [post.caller.queue] == by_kombu


@pytest.mark.parametrize(
    "headers", [{"size": Size.LARGE}, {"price": 1.5}, {"since": datetime.now(UTC)}, {"half": "\ud83d"}, {7: "seven"}]
)
def test_kombu_makes_what_has_a_form_of_its_own_in_json(post, by_kombu, headers):
    """Of what only it knows how to write, nothing is guessed."""
    post.sent(post.message("blue", options=CallOptions(headers=headers)))

    assert [post.caller.queue] == by_kombu


def test_a_stranger_among_the_callers_ids_is_written_by_kombu(post, by_kombu):
    """Celery takes ids of any type."""
    post.sent(post.message("blue", lineage={"root_id": uuid.uuid4(), "parent_id": "brew-1"}))

    assert [post.caller.queue] == by_kombu


@pytest.mark.parametrize("written", [("latin-1", "brewed \xe0 la carte"), ("utf-8", b"brewed"), ("binary", b"\xe0")])
def test_a_body_in_another_encoding_is_kombus(post, by_kombu, monkeypatch, written):
    """An application may register a `json` of its own."""
    encoding, text = written
    monkeypatch.setitem(serialization.registry._encoders, "json", ("application/x-brew", encoding, lambda _: text))
    post.text()

    assert [post.caller.queue] == by_kombu


def test_a_body_of_another_type_says_so(post, monkeypatch):
    """The template is of one type, and each message has its own."""
    known = serialization.registry._encoders["json"]
    monkeypatch.setitem(serialization.registry._encoders, "json", ("application/x-brew", *known[1:]))

    assert "application/x-brew" == post.text()["content-type"]


# Whoever has a say -----------------------------------------------------------------------------------------------


def test_a_receiver_that_came_late_may_change_every_message(post):
    """Signals are asked for each message, not once."""

    def before(headers, properties, **_):
        headers["tenant"] = "north"
        properties["priority"] = 9

    assert "tenant" not in post.text()["headers"]
    signals.before_task_publish.connect(before)
    try:
        changed = [post.text(), post.text()]
    finally:
        signals.before_task_publish.disconnect(before)

    assert [("north", 9)] * 2 == [(each["headers"]["tenant"], each["properties"]["priority"]) for each in changed]
    assert "tenant" not in post.text()["headers"]


@pytest.mark.parametrize("signal", [signals.before_task_publish, signals.after_task_publish, signals.task_sent])
def test_each_signal_that_has_a_receiver_is_sent_for_every_message(post, signal):
    """Also the one that Celery has deprecated."""
    seen = []

    def note(sender, **_):
        seen.append(sender)

    signal.connect(note)
    try:
        post.text()
        post.text()
    finally:
        signal.disconnect(note)
    post.text()

    assert ["kitchen.brew"] * 2 == seen


def test_nothing_is_learnt_from_a_message_that_a_receiver_has_changed(redis_url):
    """A receiver that leaves after the first message has had no say in the second."""

    def once(headers, properties, **_):
        headers["tenant"], properties["priority"] = "north", 9
        signals.before_task_publish.disconnect(once)

    signals.before_task_publish.connect(once)
    with posting(redis_url) as post:
        later = [post.text(), post.text()]

    assert [(False, 0)] * 2 == [("tenant" in each["headers"], each["properties"]["priority"]) for each in later]


class Counting(AMQP):
    """An application's own."""

    numbers = count(1)

    def as_task_v2(self, *args, **options):
        made = super().as_task_v2(*args, **options)
        made.headers["number"] = next(self.numbers)
        return made


def test_an_app_with_an_amqp_of_its_own_has_it_asked_each_time(redis_url):
    """A subclass may make each message another one."""
    with posting(redis_url, amqp=Counting) as post:
        first, second = (post.text()["headers"]["number"] for _ in range(2))

        assert 1 == second - first


def test_an_amqp_that_the_app_is_given_later_is_asked_each_time(post, monkeypatch):
    """In the place of Celery's own."""
    monkeypatch.setitem(vars(post.caller.app), "amqp", Counting(post.caller.app))

    assert [True, True] == ["number" in post.text()["headers"] for _ in range(2)]


@pytest.mark.parametrize("maker", ["as_task_v2", "send_task_message"])
def test_what_is_laid_over_the_apps_amqp_is_asked_each_time(post, monkeypatch, maker):
    """Late, on the object itself."""
    theirs, seen = getattr(post.caller.app.amqp, maker), []
    monkeypatch.setitem(
        vars(post.caller.app.amqp), maker, lambda *args, **options: seen.append(maker) or theirs(*args, **options)
    )
    post.text()
    post.text()

    assert [maker] * 2 == seen


def by_hand(wrapped, note):
    @functools.wraps(wrapped)
    def wrapper(*args, **options):
        note()
        return wrapped(*args, **options)

    return wrapper


def by_wrapt(wrapped, note):
    """Its wrappers pass for what they wrap, in comparisons too."""
    return wrapt.FunctionWrapper(wrapped, lambda wrapped, _, args, options: note() or wrapped(*args, **options))


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("wrap", [by_hand, by_wrapt])
@pytest.mark.parametrize("maker", [(AMQP, "as_task_v2"), (messaging.Producer, "publish"), (Channel, "basic_publish")])
def test_a_tracer_that_wraps_what_makes_messages_sees_every_one(redis_url, monkeypatch, early, wrap, maker):
    """Several do, before the first message or later."""
    owner, name = maker
    seen = []
    wrapper = wrap(getattr(owner, name), lambda: seen.append(name))
    if early:
        monkeypatch.setattr(owner, name, wrapper)
    with posting(redis_url) as post:
        if not early:
            monkeypatch.setattr(owner, name, wrapper)
        seen.clear()
        post.text()
        post.text()

    assert [name] * 2 == seen


# Settings and options --------------------------------------------------------------------------------------------


def test_compressed_bodies_are_kombus(redis_url, by_kombu):
    """The first message shows it."""
    with posting(redis_url, task_compression="gzip") as post:
        message = post.message("blue")

        assert untagged(post.as_kombu_sends_it(message)) == untagged(post.sent(message))
        assert [post.caller.queue] * 3 == by_kombu


def test_every_message_has_its_sent_event(redis_url):
    """Where the app asks for them."""
    with posting(redis_url, task_send_sent_event=True) as post:
        assert [["LPUSH", "PUBLISH"]] * 2 == [post.names(), post.names()]


def test_a_call_with_a_priority_goes_into_the_list_of_its_priority(post):
    """Before it and after it, the others into theirs."""
    urgent = post.message("blue", options=CallOptions(celery={"priority": 9}))
    keys = [post.sent(each)[0][1] for each in (post.message("red"), urgent, post.message("red"))]

    assert ["celery", "celery\x06\x169", "celery"] == keys


def test_the_apps_priority_is_every_messages(redis_url):
    """It chooses the list, too."""
    with posting(redis_url, task_default_priority=6) as post:
        ((_, key, text),) = post.sent(post.message("blue"))

        assert ("celery\x06\x166", 6) == (key, json.loads(text)["properties"]["priority"])


def test_a_delay_that_the_ledger_does_not_keep_is_celerys(post):
    """It travels as a date, which the worker waits for."""
    late = post.message("blue", options=CallOptions(delay_ns=10**12))
    ((_, _, text),) = post.sent(late)

    assert json.loads(text)["headers"]["eta"] is not None
    assert post.text()["headers"]["eta"] is None


def test_a_list_that_expires_is_given_its_time_with_each_message(redis_url):
    """kombu puts off the expiry of the queue's lists whenever it puts something into one."""
    with posting(redis_url, task_queues=[Queue("celery", queue_arguments={"x-expires": 60_000})]) as post:
        assert ["LPUSH", "PEXPIRE"] == post.names()[:2]


def test_who_is_bound_to_a_topic_is_asked_for_each_message(redis_url):
    """A queue that comes to it later gets the next message."""
    topic = Exchange("drinks", type="topic")
    tea = Queue("celery", topic, routing_key="tea")
    with posting(redis_url, task_queues=[tea]) as post:
        assert [["LPUSH"]] * 2 == [post.names(), post.names()]
        Queue("audit", topic, routing_key="#")(post.line._channel).declare()

        assert ["LPUSH", "LPUSH"] == post.names()


def test_a_queue_that_the_app_describes_anew_is_obeyed_at_once(post):
    """As far as messages carry it: here, that they need not be kept."""
    assert 2 == post.text()["properties"]["delivery_mode"]
    post.caller.app.amqp.queues.add(Queue("celery", Exchange("kitchen", delivery_mode=1), routing_key="celery"))

    assert 1 == post.text()["properties"]["delivery_mode"]


# Delivery tags ---------------------------------------------------------------------------------------------------


def tags(url, queue):
    return [each["properties"]["delivery_tag"] for each in messages(url, queue)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is what this is about
def test_no_delivery_tag_is_used_twice(redis_url):
    """Nor by another line of the same process, nor in a forked child: workers keep account of deliveries by it."""
    with calling(redis_url) as one, calling(redis_url) as other:
        for caller in (one, other):
            assert [None] * 20 == caller.together(20, "blue")
        child = os.fork()
        if child == 0:
            os._exit(0 if [None] * 20 == one.together(20, "blue") else 1)
        assert [None] * 20 == one.together(20, "blue")
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        one.broker.way().publisher.renew_line()
        assert [None] * 20 == one.together(20, "blue")

    assert 100 == len(set(tags(redis_url, "celery")))


# Real servers ----------------------------------------------------------------------------------------------------

SHOP = """
import dispatch

app = dispatch.celery_app()
app.conf.task_default_queue = __name__

@dispatch.task
def double(number):
    return 2 * number
"""

POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: queue}}
"""


def test_a_real_worker_runs_calls_in_the_short_form(project, redis_url, monkeypatch):
    """Ephemeral ones, and durable ones through the ledger; their results come back."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    monkeypatch.setenv("DISPATCH_RESULT_BACKEND", redis_url)
    written = project(dedent(SHOP), broker_url=redis_url, result_backend=redis_url)
    module = written.load()
    with dispatch.Dispatcher(policy=parse(POLICY.format(queue=written.name)), celery=module.app) as dispatcher:
        double = module.double.using(dispatcher)
        groups = [double.options(durability=each).map(range(5)) for each in ("ephemeral", "durable")]
        short = [tag for tag in tags(redis_url, written.name) if "." in tag]
        with written.worker(pool="solo", concurrency=1):
            results = [group.results(timeout=20) for group in groups]

    dispatch.shutdown("5s")

    assert 9 == len(short)
    assert [[0, 2, 4, 6, 8]] * 2 == results
