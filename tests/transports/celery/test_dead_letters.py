"""Durable calls that fail for good, on both brokers: whole in the dead letters, and good for another try."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest
import redis
from click.testing import CliRunner
from kombu import Connection

import dispatch
from dispatch import _default
from dispatch.cli import main
from dispatch.errors import CallTimeout, DeadLettered, DispatchError, NotConfigured
from dispatch.policy import parse
from dispatch.transports.celery import build_app
from dispatch.transports.celery._dead_queue import DEAD, declare
from dispatch.transports.celery.dead import dead_letters
from dispatch.transports.celery.worker._burial import bury, max_deliveries
from servers.patience import eventually

pytestmark = pytest.mark.slow

SHOP = """
import os, signal, dispatch, redis

app = dispatch.celery_app()
app.conf.task_default_queue = __name__
there = redis.Redis.from_url(os.environ["SHOP_GATE"], decode_responses=True)

@dispatch.task(durability="durable")
def deadly(name):
    if there.incr(f"runs:{name}") and there.get("mercy") is None:
        os.kill(os.getpid(), 9)
    return name

@dispatch.task(durability="durable")
def decline(order, *, items=()):
    there.incr("runs:decline")
    if there.get("mercy") is None:
        items.clear()
        raise LookupError(f"no order {order}")
    return [order, items]

@dispatch.task(durability="durable", retry=dispatch.Retry(attempts=2, backoff="10ms"))
def stubborn(name):
    if there.incr(f"runs:{name}") == 1 or there.get("mercy") is None:
        raise ConnectionError("not now")

@dispatch.task(durability="durable", timeout="200ms")
def deaf(name):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # Celery's soft limit
    there.incr(f"runs:{name}")
    signal.sigwait({signal.SIGUSR2})  # nobody sends it

@dispatch.task
def light(name):
    raise LookupError(name)

@dispatch.task(durability="durable")
def count(name):
    return there.incr(f"runs:{name}")
"""

POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}, publish_deadline: 10s, max_deliveries: 2}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: queue}}
"""


class Shop:
    """A project on one broker, its tasks bound to a dispatcher here, and the dead letters of its tasks.

    RabbitMQ's are those of all tests of the run.
    """

    def __init__(self, project, dispatcher, gate):
        self.project = project
        self.app = project.load().app
        self.dispatcher = dispatcher
        self.gate = gate
        self.dead = dead_letters(self.app)

    def task(self, name):
        return getattr(self.project.load(), name).using(self.dispatcher)

    def runs(self, name):
        return int(self.gate.get(f"runs:{name}") or 0)

    def worker(self, pool="prefork"):
        return self.project.worker(pool=pool, concurrency=1, grace=0.5 if pool == "solo" else 10.0)

    def letters(self):
        return [letter for letter in self.dead.letters() if letter.task.startswith(f"{self.project.name}.")]

    def letter(self):
        (letter,) = eventually(self.letters, within=60)
        return letter


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def shop(request, project, new_redis_url, monkeypatch):
    monkeypatch.setattr(_default._default, "dispatcher", None)
    gate = new_redis_url()
    broker = gate if request.param == "redis" else request.getfixturevalue("rabbitmq_url")
    monkeypatch.setenv("DISPATCH_BROKER_URL", broker)
    monkeypatch.setenv("DISPATCH_RESULT_BACKEND", gate)
    monkeypatch.setenv("SHOP_GATE", gate)
    written = project(dedent(SHOP), broker_url=broker, result_backend=gate)
    app = written.load().app
    client = redis.Redis.from_url(gate, decode_responses=True)
    made = Shop(written, dispatch.Dispatcher(policy=parse(POLICY.format(queue=written.name)), celery=app), client)
    yield made
    made.dead.drop({letter.id for letter in made.letters()})
    made.dispatcher.shutdown("5s")
    made.dead.close()
    client.close()
    dispatch.shutdown("5s")


on_rabbitmq = pytest.mark.parametrize("shop", [pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)], indirect=True)


@pytest.mark.timeout(120)
def test_a_call_that_always_kills_its_worker_is_buried_and_its_handle_says_so(shop):
    """It has run as often as the policy allows, and the worker lives on."""
    with shop.worker():
        handle = shop.task("deadly").delay("dynamite")
        error = handle.exception(timeout=60)
        letter = shop.letter()

        assert isinstance(error, DeadLettered)
        assert f"dispatch dead show {handle.id}" in str(error)
        assert (2, "max_deliveries", handle.id) == (shop.runs("dynamite"), letter.reason, letter.id)
        assert 1 == shop.task("count").delay("after").result(timeout=20)


def test_a_call_that_fails_for_good_is_kept_whole(shop):
    """With its arguments as they were sent, whatever the task has made of them since."""
    with shop.worker("solo"):
        handle = shop.task("decline").delay(7, items=["tea"])
        assert isinstance(handle.exception(timeout=20), LookupError)
        letter = shop.letter()

    assert (handle.id, f"{shop.project.name}.decline", "failed") == (letter.id, letter.task, letter.reason)
    assert ("LookupError: no order 7", 1, 1) == (letter.error, letter.attempts, letter.deliveries)
    assert "raise LookupError" in letter.traceback
    assert [[7], {"items": ["tea"]}] == json.loads(letter.arguments)[:2]
    assert (shop.project.name, letter) == (letter.queue, shop.dead.show(handle.id))


def test_only_the_last_attempt_of_a_durable_call_makes_a_letter(shop):
    """What is attempted again has not failed for good, and an ephemeral call may be lost."""
    with shop.worker("solo"):
        light = shop.task("light").delay("feather")
        assert isinstance(light.exception(timeout=20), LookupError)
        stubborn = shop.task("stubborn").delay("mule")
        assert isinstance(stubborn.exception(timeout=30), ConnectionError)
        shop.gate.set("mercy", "yes")
        shop.task("stubborn").delay("donkey").result(timeout=30)
        letter = shop.letter()

    assert (stubborn.id, 2, 2, 2) == (letter.id, letter.attempts, shop.runs("mule"), shop.runs("donkey"))


@pytest.mark.timeout(120)
def test_a_call_whose_process_had_to_be_killed_for_its_timeout_is_kept_once(shop):
    """It has failed for good by that, and the next call runs."""
    with shop.worker():
        handle = shop.task("deaf").delay("post")
        assert isinstance(handle.exception(timeout=60), CallTimeout)
        letter = shop.letter()
        assert 1 == shop.task("count").delay("after").result(timeout=20)

    assert (handle.id, "failed", 1) == (letter.id, letter.reason, shop.runs("post"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("task", "pool"), [("decline", "solo"), ("deadly", "prefork")])
def test_a_letter_that_is_retried_is_a_first_attempt_of_the_same_call(shop, task, pool):
    """Its handle has the new outcome, and the letter is gone."""
    options = {"items": ["tea"]} if task == "decline" else {}
    with shop.worker(pool):
        handle = shop.task(task).delay(7, **options)
        assert handle.exception(timeout=60) is not None
        shop.letter()
        shop.gate.set("mercy", "yes")

        assert {handle.id: "sent"} == shop.dead.retry([handle.id, "nobody"])

        outcome = [7, ["tea"]] if task == "decline" else 7
        eventually(lambda: shop.app.AsyncResult(handle.id).status == "SUCCESS", within=30)
        assert outcome == shop.app.AsyncResult(handle.id).result
    assert [] == shop.letters()


def test_a_letter_that_is_dropped_is_gone(shop):
    """And only that one."""
    with shop.worker("solo"):
        first, second = (shop.task("decline").delay(order, items=[]) for order in (1, 2))
        eventually(lambda: len(shop.letters()) == 2, within=30)

    assert {first.id} == shop.dead.drop([first.id, "nobody"])
    assert [second.id] == [letter.id for letter in shop.letters()]
    assert shop.dead.show(first.id) is None


def test_the_command_finds_the_broker_by_the_app(shop):
    """All of one task at once, as an operator would: looked for, sent again, and none left."""
    ask, task = CliRunner(env={"DISPATCH_CELERY_APP": f"{shop.project.name}:app"}), f"{shop.project.name}.decline"
    with shop.worker("solo"):
        handle = shop.task("decline").delay(1, items=[])
        shop.letter()
        shop.gate.set("mercy", "yes")
        sent = ask.invoke(main, ["dead", "retry", "--all", "--task", task])
        eventually(lambda: shop.runs("decline") == 2, within=30)

    assert f"{handle.id} sent again\n" == sent.output
    assert "no dead letters\n" == ask.invoke(main, ["dead", "ls", "--task", task]).output


def test_letters_that_were_looked_at_are_still_there_the_newest_first(shop):
    """However often."""
    with shop.worker("solo"):
        sent = [shop.task("decline").delay(order, items=[]) for order in (1, 2)]
        eventually(lambda: len(shop.letters()) == 2, within=30)

    for _ in range(3):
        assert [call.id for call in reversed(sent)] == [letter.id for letter in shop.letters()]


@on_rabbitmq
def test_what_rabbitmq_takes_out_by_itself_is_a_dead_letter_too(shop):
    """A worker that dies before it can count leaves it to the queue's own limit."""
    handle = shop.task("count").delay("unlucky")
    with shop.app.connection_for_read() as line:
        channel = line.default_channel
        for _ in range(102):
            message = eventually(lambda: channel.basic_get(shop.project.name) or shop.letters())
            if isinstance(message, list):
                break
            channel.basic_reject(message.delivery_tag, requeue=True)

    letter = shop.letter()
    assert (handle.id, "delivery_limit", shop.project.name) == (letter.id, letter.reason, letter.queue)
    assert {handle.id: "sent"} == shop.dead.retry([handle.id])
    with shop.worker("solo"):
        assert 1 == handle.result(timeout=20)


@on_rabbitmq
def test_a_worker_sees_to_the_dead_queue_as_it_starts(shop):
    """RabbitMQ drops what it cannot move there."""
    with shop.app.connection_for_write() as line:
        line.default_channel.queue_delete(DEAD)
        with shop.worker("solo"):
            assert DEAD == line.default_channel.queue_declare(DEAD, passive=True).queue


@on_rabbitmq
def test_a_letter_whose_queue_is_gone_stays(shop):
    """RabbitMQ says so, and nothing is acknowledged."""
    with shop.worker("solo"):
        handle = shop.task("decline").delay(1, items=[])
        shop.letter()
    with shop.app.connection_for_write() as line:
        line.default_channel.queue_delete(shop.project.name)

    with pytest.raises(DispatchError, match=f"'{shop.project.name}' does not take call {handle.id}"):
        shop.dead.retry([handle.id])
    assert handle.id == shop.letter().id


@on_rabbitmq
@pytest.mark.timeout(120)
def test_a_call_whose_letter_cannot_be_kept_goes_back_to_its_queue(shop):
    """It fails once more when the letter can be kept."""
    handle = shop.task("decline").delay(3, items=[])
    with shop.app.connection_for_write() as line:
        channel = line.default_channel
        channel.queue_delete(DEAD)
        channel.queue_declare(DEAD, durable=True, auto_delete=False)  # somebody's classic queue: no letter goes in
    try:
        with shop.worker("solo"):
            eventually(lambda: "cannot be kept" in shop.project.log.read_text(), within=30)
            _clear(shop.app)
            assert handle.id == shop.letter().id
    finally:
        _clear(shop.app)


def _clear(app):
    with app.connection_for_write() as line:
        line.default_channel.queue_delete(DEAD)
    with app.connection_for_write() as line:
        declare(line.default_channel)


@on_rabbitmq
def test_a_long_traceback_is_cut_at_its_beginning_and_the_letter_is_kept(shop):
    """Headers must fit into one frame."""
    shop.task("count").delay("long")
    with shop.app.connection_for_read() as line:
        simple = line.SimpleQueue(shop.app.amqp.queues[shop.project.name])
        message = simple.get(timeout=10)
        bury(shop.app, message, "failed", "e" * 10**6, "begin" + "x" * 10**6 + "end")
        message.ack()
        simple.close()

    letter = shop.letter()
    assert (1_000, 16_000) == (len(letter.error), len(letter.traceback))
    assert letter.traceback.endswith("end")


@pytest.mark.rabbitmq
def test_somebody_elses_message_among_the_letters_disturbs_nobody(rabbitmq_url, leaving):
    """It is shown as far as it says anything, and can be dropped."""
    dead = dead_letters(leaving(build_app(rabbitmq_url)))
    dead.drop([""])
    with Connection(rabbitmq_url) as line:
        declare(line.default_channel)
        line.Producer().publish(b"\xff?", routing_key=DEAD, content_type="image/png", content_encoding="binary")
    eventually(lambda: dead.show("") is not None)

    letter = dead.show("")
    assert ("", "", "unknown", "2 B of image/png") == (letter.task, letter.queue, letter.reason, letter.arguments)
    assert {""} == dead.drop([""])


@pytest.mark.parametrize(("headers", "most"), [({}, 5), ({"dispatch-max-deliveries": 2}, 2)])
def test_a_call_whose_policy_says_nothing_may_be_delivered_five_times(headers, most):
    """Also one that came by other means than dispatch."""
    assert most == max_deliveries(headers)


@pytest.mark.parametrize("said", ["2", 0, -1, None, True])
def test_a_header_that_is_no_number_of_deliveries_says_nothing(said):
    """Whoever wrote it."""
    assert 5 == max_deliveries({"dispatch-max-deliveries": said})


def test_a_broker_of_another_kind_keeps_none(leaving):
    """The sentence names those that do."""
    app = leaving(build_app("memory://"))

    with pytest.raises(NotConfigured, match="only on Redis and RabbitMQ"):
        dead_letters(app)


def test_a_broker_that_is_away_is_an_error_of_ours(leaving, closed_port):
    """Whatever the driver calls it."""
    for scheme in ("redis", "amqp"):
        app = leaving(build_app(f"{scheme}://127.0.0.1:{closed_port}"))
        with pytest.raises(DispatchError, match="cannot be asked"):
            list(dead_letters(app).letters())
