"""Messages that nobody of ours has written: a worker turns them away, lives on, and runs the good call behind them."""

from __future__ import annotations

import json
import pickle
from textwrap import dedent
from uuid import uuid4

import psutil
import pytest
import redis
from kombu import Connection

import dispatch
from dispatch import _default
from dispatch.policy import parse

pytestmark = pytest.mark.slow

SHOP = """
import os, dispatch, redis

app = dispatch.celery_app()
app.conf.task_default_queue = __name__
there = redis.Redis.from_url(os.environ["SHOP_GATE"], decode_responses=True)

@dispatch.task
def note(word):
    there.rpush("notes", word)
    return word

@dispatch.task(durability="durable")
def keep(word):
    there.rpush("notes", word)
    return word
"""

POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}, publish_deadline: 10s}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: queue}}
"""

KEY = "f" * 32

HEADERS = [
    "id", "root_id", "parent_id", "group", "group_index", "shadow", "origin", "lang", "argsrepr", "kwargsrepr", "eta",
    "expires", "retries", "timelimit", "ignore_result", "replaced_task_nesting", "stamped_headers", "stamps",
    "dispatch-stamp", "dispatch-delivery", "dispatch-taken", "dispatch-encoded-as", "dispatch-verified",
    "dispatch-durability", "dispatch-max-deliveries", "dispatch-retry", "dispatch-route", "dispatch-sent",
    "dispatch-signature", "dispatch-claim", "traceparent", "tracestate", "baggage", "x-delivery-count", "compression",
]  # fmt: skip

VALUES = [
    None, True, False, 0, -1, 1, 2**31, 2**62, -(2**62), 1.5, "", "x", "durable", "ephemeral",
    "0" * 13, "9" * 13, "x" * 3000,
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-45", "*",
    "a}:b{", "dispatch:ledger:*", "ü\u2028✓",
    [], [None, None], [0.001, 0.001], [-1, -1], ["a", "b"], [1, 2, 3], {}, {"a": {"b": []}}, ["x", "y", "z", True],
    "gzip", "bzip2",
    '{"attempts": 99999999999, "on": [], "backoff_ns": -1, "max_backoff_ns": 0, "jitter": true}',
    "00-" + "f" * 32 + "-" + "f" * 16 + "-01", "1;" + "9" * 90 + ";00", "1;1;ü",
]  # fmt: skip


def nested(depth):
    return b"[" * depth + b"]" * depth


BODIES = [
    b"", b"null", b"[]", b"{}", b"[[], {}]", b"[1, 2, 3]", b'[["w"], [], {}]', b"[{}, {}, {}]",
    b'[["w"], {}, {"callbacks": 1}]',
    b'[["w"], {}, {"callbacks": [1], "errbacks": ["x"], "chain": {}, "chord": []}]', b'[["w"], {"1": 2}, null]',
    b'[["w"',
    b'[["w"], {}, {"chain": [{"task": "celery.accumulate"}]}, 4]', b"\xff\xfe\x00", nested(100_000),
    b'[["w", "w", "w"], {}, {}]',
    b'[[{"__type__": "datetime", "__value__": "x"}], {}, {}]', b"[[1e999, NaN], {}, {}]", pickle.dumps([["w"], {}, {}]),
]  # fmt: skip

TYPES = ["application/json"] * 6 + [
    "application/x-python-serialize",
    "application/x-yaml",
    "application/data",
    "",
    "no/such",
]


class Mischief:
    """One hostile message after the other, the same for the same seed."""

    def __init__(self, dice, name):
        self._dice = dice
        self._name = name

    def message(self):
        dice = self._dice
        call_id = uuid4().hex
        task = dice.choice(["note", "keep", "note", "keep", "gone"])
        headers = {"task": f"{self._name}.{task}", "id": call_id, "lang": "py", "root_id": call_id, "retries": 0}
        for name in dice.sample(HEADERS, dice.choice([0, 1, 1, 2, 5])):
            headers[name] = dice.choice(VALUES)
        if task == "gone":
            headers["id"] = call_id  # Celery itself writes the results of tasks that it does not know
        if dice.random() < 0.1:
            del headers["id"]
            headers["task"] = f"{self._name}.note"
        good = json.dumps([["hostile"], {}, {}]).encode()
        body = good if dice.random() < 0.5 else dice.choice([*BODIES, dice.randbytes(64)])
        return body, headers, dice.choice(TYPES)


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def shop(request, project, new_redis_url, monkeypatch):
    url = new_redis_url() if request.param == "redis" else request.getfixturevalue("rabbitmq_url")
    gate = new_redis_url()
    monkeypatch.setattr(_default._default, "dispatcher", None)
    for name, value in {"BROKER_URL": url, "RESULT_BACKEND": gate, "SIGNING_KEY": KEY}.items():
        monkeypatch.setenv(f"DISPATCH_{name}", value)
    monkeypatch.setenv("SHOP_GATE", gate)
    made = project(dedent(SHOP), broker_url=url, result_backend=gate)
    module = made.load()
    dispatcher = dispatch.Dispatcher(policy=parse(POLICY.format(queue=made.name)), celery=module.app)
    client = redis.Redis.from_url(gate, decode_responses=True)
    yield made, module, dispatcher, client
    dispatcher.shutdown("5s")
    _default._default.dispatcher.shutdown()
    client.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", [KEY, ""], ids=["signed", "unsigned"])
def test_a_worker_outlives_hostile_messages(shop, dice, rounds, key):
    """With a key nothing of them is run and nothing stored; without one, only what is well-formed is."""
    made, module, dispatcher, gate = shop
    mischief = Mischief(dice, made.name)
    url = made.environment["DISPATCH_BROKER_URL"]
    with made.worker(pool="threads", concurrency=2, env={"DISPATCH_SIGNING_KEY": key}) as worker:
        process = psutil.Process(worker.pid)
        begun = process.create_time()
        before = process.memory_info().rss
        for _ in range(rounds(4, 100)):
            with Connection(url) as line, line.Producer() as producer:
                for _ in range(40):
                    body, headers, content_type = mischief.message()
                    producer.publish(
                        body,
                        headers=headers,
                        content_type=content_type,
                        content_encoding="utf-8" if content_type == "application/json" else "binary",
                        exchange="",
                        routing_key=made.name,
                    )
            assert "good" == module.note.using(dispatcher).delay("good").result(timeout=60)
            assert "kept" == module.keep.using(dispatcher).delay("kept").result(timeout=60)

        assert worker.running
        assert begun == process.create_time()
        assert process.memory_info().rss - before < 200 << 20
        notes = gate.lrange("notes", 0, -1)
        if key:
            assert {"good", "kept"} == set(notes)
        log = made.log.read_text()
        assert "Unrecoverable error" not in log
        assert "Connection to broker lost" not in log
        assert log.count("is turned away and not run") > 20
    if url.startswith("redis") and key:
        ledger = redis.Redis.from_url(url, decode_responses=True)
        states = {ledger.hget(each, "state") for each in ledger.scan_iter("dispatch:ledger:*")}
        ledger.close()
        assert {"settled"} == states
