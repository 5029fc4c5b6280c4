"""Signed calls: a worker with a key runs what was signed as it stands, and turns everything else away."""

from __future__ import annotations

import json
import pickle
from textwrap import dedent
from uuid import uuid4

import pytest
import redis
from celery import chain, group
from kombu import Connection

import dispatch
from dispatch import _default
from dispatch.policy import parse
from dispatch.transports.celery._redis import connect
from dispatch.transports.celery.dead import dead_letters
from servers.patience import eventually

pytestmark = pytest.mark.slow

KEY, NEXT_KEY = "k" * 32, "n" * 32

SHOP = """
import os, dispatch, redis

app = dispatch.celery_app()
app.conf.task_default_queue = __name__
app.conf.accept_content = ["json", *filter(None, [os.environ.get("SHOP_ACCEPTS")])]
there = redis.Redis.from_url(os.environ["SHOP_GATE"], decode_responses=True)

@dispatch.task
def note(word):
    there.rpush("notes", word)
    return word

@dispatch.task(durability="durable")
def keep(word):
    there.rpush("notes", word)
    return word

@dispatch.task(durability="durable", retry=dispatch.Retry(attempts=3, backoff="10ms"))
def stubborn(word):
    if there.rpush("notes", word) < 3:
        raise ConnectionError("not yet")
    return "at last"

@dispatch.task(durability="durable")
def decline(word):
    there.rpush("notes", word)
    raise LookupError(word)

@app.task
def stranger():
    return "by nobody's leave"
"""

POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}, publish_deadline: 10s, lease: 3s}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: queue}}
"""


class Shop:
    def __init__(self, project, dispatcher, gate):
        self.project = project
        self.module = project.load()
        self.app = self.module.app
        self.dispatcher = dispatcher
        self.gate = redis.Redis.from_url(gate, decode_responses=True)
        self.url = project.environment["DISPATCH_BROKER_URL"]

    def task(self, name):
        return getattr(self.module, name).using(self.dispatcher)

    def native(self, name):
        return self.app.tasks[f"{self.project.name}.{name}"]

    def notes(self):
        return self.gate.lrange("notes", 0, -1)

    def inject(self, body, headers, content_type="application/json"):
        """As somebody who can write to the broker does."""
        with Connection(self.url) as line, line.Producer() as producer:
            producer.publish(
                body,
                headers=headers,
                content_type=content_type,
                content_encoding="utf-8",
                exchange="",
                routing_key=self.project.name,
                correlation_id="x",
            )

    def take(self):
        """The next message of the queue: headers and body."""
        with Connection(self.url) as line:
            described = self.app.amqp.queues[self.project.name](line.default_channel)
            message = eventually(lambda: described.get(accept=["json"]))
            message.ack()
            body = message.body if isinstance(message.body, bytes) else message.body.encode()
            return dict(message.headers), body

    def close(self):
        self.dispatcher.shutdown("5s")
        self.gate.close()


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def shop(request, project, new_redis_url, monkeypatch):
    url = new_redis_url() if request.param == "redis" else request.getfixturevalue("rabbitmq_url")
    gate = new_redis_url()
    monkeypatch.setattr(_default._default, "dispatcher", None)
    monkeypatch.setenv("DISPATCH_BROKER_URL", url)
    monkeypatch.setenv("DISPATCH_RESULT_BACKEND", gate)
    monkeypatch.setenv("DISPATCH_SIGNING_KEY", KEY)
    monkeypatch.setenv("SHOP_GATE", gate)
    made = project(dedent(SHOP), broker_url=url, result_backend=gate)
    module = made.load()
    policy = parse(POLICY.format(queue=made.name))
    opened = Shop(made, dispatch.Dispatcher(policy=policy, celery=module.app), gate)
    yield opened
    opened.close()
    _default._default.dispatcher.shutdown()


def worker(shop, pool="threads", **env):
    return shop.project.worker(pool=pool, concurrency=2, env=env, grace=10.0)


def plain(word, name, **headers):
    call_id = uuid4().hex
    said = {"task": name, "id": call_id, "lang": "py", "root_id": call_id, "retries": 0, **headers}
    return json.dumps([[word], {}, {}]).encode(), said


def test_what_dispatch_and_canvas_send_is_run(shop):
    """Plain calls in both forms, delayed ones, retries, links, chains and groups."""
    with worker(shop):
        first = [shop.task("note").delay(f"n{number}") for number in range(3)]
        kept = [shop.task("keep").delay(f"k{number}") for number in range(3)]
        late = shop.task("note").apply_async(("late",), countdown=0.2) if shop.url.startswith("redis") else None
        linked = shop.task("note").apply_async(("linked",), link=shop.native("note").si("link"))
        chained = chain(shop.native("note").s("c1"), shop.native("keep").si("c2")).apply_async()
        grouped = group(shop.native("note").si(f"g{number}") for number in range(2)).apply_async()

        assert ["n0", "n1", "n2"] == [each.result(timeout=20) for each in first]
        assert ["k0", "k1", "k2"] == [each.result(timeout=20) for each in kept]
        assert "linked" == linked.result(timeout=20)
        assert "c2" == chained.get(timeout=20)
        assert ["g0", "g1"] == grouped.get(timeout=20)
        if late is not None:
            assert "late" == late.result(timeout=20)
        eventually(lambda: "link" in shop.notes())
        shop.gate.delete("notes")
        assert "at last" == shop.task("stubborn").delay("again").result(timeout=20)


def test_what_nobody_signed_or_somebody_changed_is_not_run(shop):
    """Nothing is stored for it, nothing of it is logged, and a good call behind it is run."""
    name = f"{shop.project.name}.note"
    shop.task("note").delay("signed")
    headers, body = shop.take()
    with worker(shop):
        shop.inject(*plain("unsigned", name))
        shop.inject(body.replace(b"signed", b"forged"), headers)
        shop.inject(body, headers | {"retries": 1})
        shop.inject(body, headers | {"dispatch-durability": "durable"})
        shop.inject(body, headers | {"dispatch-new": "word"})
        shop.inject(body, headers | {"id": uuid4().hex})
        shop.inject(body, {key: value for key, value in headers.items() if key != "ignore_result"})
        shop.inject(body, headers | {"dispatch-signature": "1;1;" + "0" * 64})
        shop.inject(body, headers | {"dispatch-signature": ["1"]})
        shop.inject(body, headers | {"task": f"{shop.project.name}.keep"})
        assert "good" == shop.task("note").delay("good").result(timeout=20)

        assert ["good"] == shop.notes()
        assert [] == [key for key in shop.gate.keys("celery-task-meta-*") if headers["id"] in key]
        log = eventually(
            lambda: (text := shop.project.log.read_text()).count("is turned away and not run") == 10 and text
        )
        assert "forged" not in log


def test_a_copy_of_an_ephemeral_call_is_run_once_by_a_worker(shop):
    shop.task("note").delay("once")
    headers, body = shop.take()
    with worker(shop):
        for _ in range(3):
            shop.inject(body, headers)
        assert "good" == shop.task("note").delay("good").result(timeout=20)

        assert ["once", "good"] == shop.notes()


def test_messages_of_others_do_not_have_the_worker_sign_for_them(shop):
    """A callback of a task that is not ours, and Celery's own tasks that run or send other tasks."""
    sent = {"task": f"{shop.project.name}.note", "args": ["oracle"], "kwargs": {}, "options": {}, "immutable": True}
    stranger = f"{shop.project.name}.stranger"
    with worker(shop):
        _, headers = plain("x", stranger)
        shop.inject(json.dumps([[], {}, {"callbacks": [sent], "errbacks": [sent]}]).encode(), headers)
        _, headers = plain("x", "celery.starmap")
        shop.inject(json.dumps([[], {"task": sent, "it": [["oracle"]]}, {}]).encode(), headers)
        _, headers = plain("x", "celery.chord_unlock")
        shop.inject(json.dumps([["none", sent], {"result": []}, {}]).encode(), headers)
        assert "good" == shop.task("note").delay("good").result(timeout=20)
        eventually(lambda: "is not run by celery.starmap" in shop.project.log.read_text())
        eventually(lambda: "it is not signed" in shop.project.log.read_text())

        assert ["good"] == shop.notes()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("key", [KEY, ""], ids=["signed", "unsigned"])
def test_a_pickle_is_not_unpickled_even_where_the_app_accepts_it(shop, tmp_path, key):
    hole = tmp_path / "hole"
    body = pickle.dumps([[Bomb(str(hole))], {}, {}])
    with worker(shop, DISPATCH_SIGNING_KEY=key, SHOP_ACCEPTS="pickle", C_FORCE_ROOT="1"):
        _, headers = plain("x", f"{shop.project.name}.note")
        shop.inject(body, headers, content_type="application/x-python-serialize")
        assert "good" == shop.task("note").delay("good").result(timeout=20)

        assert not hole.exists()
        eventually(lambda: "are not JSON" in shop.project.log.read_text())


def test_keys_are_replaced_without_a_gap(shop):
    """Workers know both before anybody signs with the new one."""
    with worker(shop, DISPATCH_SIGNING_KEY=f"{NEXT_KEY},{KEY}"):
        assert "old" == shop.task("note").delay("old").result(timeout=20)
    with worker(shop, DISPATCH_SIGNING_KEY=NEXT_KEY):
        shop.task("note").delay("too old")
        eventually(lambda: "no key that is known here" in shop.project.log.read_text())


def test_a_dead_letter_is_signed_anew_when_it_is_sent_again(shop):
    with worker(shop, pool="prefork"):
        handle = shop.task("decline").delay("no")
        with pytest.raises(LookupError):
            handle.result(timeout=20)
        letters = dead_letters(shop.app)
        eventually(lambda: letters.show(handle.id))
        assert {handle.id: "sent"} == letters.retry([handle.id])
        eventually(lambda: shop.notes() == ["no", "no"])
        eventually(lambda: letters.show(handle.id))
        letters.drop([handle.id])
        letters.close()


def test_a_durable_call_older_than_the_window_is_run_where_the_ledger_knows_it_and_else_kept(shop):
    """On Redis a copy of what the ledger does not know is turned away; on RabbitMQ it is a dead letter."""
    handle = shop.task("keep").delay("copied")
    if shop.url.startswith("redis"):
        headers, body = shop.take()
        client = connect(shop.app)._client
        client.delete(f"dispatch:ledger:{handle.id}")
        client.zrem("dispatch:due", handle.id)
        waited = shop.task("keep").delay("waited")
    with worker(shop, DISPATCH_SIGNING_WINDOW="1ms"):
        if shop.url.startswith("redis"):
            assert "waited" == waited.result(timeout=20)
            shop.inject(body, headers)
            assert "behind" == shop.task("keep").delay("behind").result(timeout=20)
            assert ["waited", "behind"] == shop.notes()
        else:
            letters = dead_letters(shop.app)
            assert "stale" == eventually(lambda: letters.show(handle.id)).reason
            assert [] == shop.notes()
            letters.drop([handle.id])
