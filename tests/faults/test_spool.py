"""Brokers that are away, silent or out of memory, and callers that are killed: what `delay` took on is not lost."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import signal
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from textwrap import dedent

import pytest
import redis

from callers import ids, messages
from dispatch._dispatcher import Dispatcher
from dispatch.policy import parse
from dispatch.settings import Settings
from faults.logbook import NOTE, Logbook
from house.policies import RUN_FROM_DISK
from servers.patience import eventually
from servers.program import program
from servers.proxy import Proxy

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

FORWARDING = """
version: 1
destinations:
  queue: {transport: celery, queue: QUEUE, publish_deadline: 500ms, breaker: {open_for: 100ms, max_open: 500ms}}
  disk: {transport: spool, durability: asserted, forward_to: queue}
defaults: {durability: durable}
otherwise: {route_to: queue, fallback: [disk]}
"""

SHOP = NOTE + dedent("""
    import dispatch

    @dispatch.task
    def work(number):
        note("began", number)
        time.sleep(0.005)
        note("ended", number)
    """)

CALLER = """
import itertools, sys
import dispatch, spool_shop

dispatch.configure()
if len(sys.stdin.readline()) > 1:
    print("ready")
    for number in itertools.count(int(sys.stdin.readline())):
        print(number, spool_shop.work.delay(number).id)
sys.stdin.readline()
"""


@pytest.fixture
def forwarding(queue_name):
    """To a queue that is new in the broker, too."""
    return FORWARDING.replace("QUEUE", queue_name)


@pytest.fixture
def shop(tmp_path, forwarding):
    """The environment of callers that share one spool."""
    (tmp_path / "spool_shop.py").write_text(SHOP)
    (tmp_path / "policy.yaml").write_text(forwarding)
    return {
        "PYTHONPATH": str(tmp_path),
        "DISPATCH_APPLICATION": "kitchen",
        "DISPATCH_SPOOL_DIR": str(tmp_path / "state"),
        "DISPATCH_POLICY": str(tmp_path / "policy.yaml"),
        "LOGBOOK": str(tmp_path / "logbook"),
    }


@pytest.fixture
def open_(tmp_path, project, forwarding):
    """Makes a dispatcher before a broker, and a task to send by it."""
    made = []
    task = project("import dispatch\n@dispatch.task\ndef work(number): ...\n").load().work

    def make(url):
        settings = Settings(application="kitchen", spool_dir=tmp_path / "state", broker_url=url, shutdown_grace="5s")
        made.append(Dispatcher(policy=parse(forwarding), settings=settings))
        made[-1].celery.warm()
        made[-1].begin()
        return made[-1], task.using(made[-1])

    yield make
    for one in made:
        one.shutdown()


def rows(dispatcher):
    return dispatcher.destinations["disk"].spool.ls()


def arguments(message):
    raw = message["raw"]
    return json.loads(base64.b64decode(raw["body"]) if isinstance(raw, dict) else raw.body)[0]


def settle_in(work):
    """Until the broker takes a call, and not the disk: a new queue of RabbitMQ may take longer than the deadline."""
    eventually(lambda: work.delay(0).decision.transport == "celery", within=30)


LEASE = 30
"""Seconds for which the forwarder of a killed process holds off the next one."""


def emptied(dispatcher):
    eventually(lambda: not rows(dispatcher), within=LEASE + 60, what="the spool to be empty")


# The broker ------------------------------------------------------------------------------------------------------


def test_calls_made_while_the_broker_is_away_arrive_when_it_is_back(server, open_, queue_name):
    """Each once, under the id that its caller knows, durable in its headers."""
    dispatcher, work = open_(server.url)
    settle_in(work)
    server.stop()
    handles = [work.delay(number) for number in range(1, 21)]
    assert {"spooled"} == {handle.status for handle in handles}
    server.start()
    emptied(dispatcher)

    found = [each for each in messages(server.url, queue_name) if arguments(each) != [0]]
    assert Counter(handle.id for handle in handles) == Counter(each["headers"]["id"] for each in found)
    assert {"durable"} == {each["headers"]["dispatch-durability"] for each in found}
    assert list(range(1, 21)) == sorted(arguments(each)[0] for each in found)


def test_a_delay_and_an_expiry_go_on_counting_on_disk(private_redis, open_):
    """What comes to the worker are moments."""
    dispatcher, work = open_(private_redis.url)
    work.delay(0)
    private_redis.stop()
    handle = work.apply_async((1,), countdown=3600, expires=7200)
    assert "spooled" == handle.status
    private_redis.start()
    emptied(dispatcher)

    with redis.Redis(port=private_redis.port, decode_responses=True) as client:
        due = client.zscore("dispatch:due", handle.id) / 1000
        text = client.hget(f"dispatch:ledger:{handle.id}", "after") + client.hget(
            f"dispatch:ledger:{handle.id}", "before"
        )
    expires = datetime.fromisoformat(re.search(r'"expires": "([^"]+)"', text)[1]).timestamp()
    assert 3500 < due - time.time() <= 3600
    assert 3500 < expires - due <= 3700


def test_a_call_sent_into_silence_is_spooled_and_arrives(server, open_, queue_name):
    """At least once, under one id; `delay` says `unknown` by its handle, and raises nothing."""
    with Proxy(server.port) as wire:
        dispatcher, work = open_(server.url.replace(f":{server.port}/", f":{wire.port}/"))
        settle_in(work)
        # What is still under way when the wire falls silent would keep the next call from being sent.
        emptied(dispatcher)
        with wire.mute():
            handle = work.delay(1)
            assert "unknown" == handle.status
            assert ["unknown"] == [row.state for row in rows(dispatcher)]
        emptied(dispatcher)

        assert handle.id in ids(server.url, queue_name)


def test_a_redis_out_of_memory_has_its_calls_when_it_has_some(private_redis, open_, queue_name):
    """Refused by the broker, kept on disk."""
    dispatcher, work = open_(private_redis.url)
    work.delay(0)
    with redis.Redis(port=private_redis.port) as client:
        client.config_set("maxmemory", "1mb")
        handles = [work.delay("x" * 10_000) for _ in range(5)]
        assert {"spooled"} == {handle.status for handle in handles}
        client.config_set("maxmemory", "0")
    emptied(dispatcher)

    assert {handle.id for handle in handles} <= set(ids(private_redis.url, queue_name))


# The caller ------------------------------------------------------------------------------------------------------


@pytest.fixture
def campaign(seed, rounds):
    """The dice, and how often a caller is killed."""
    return random.Random(seed), rounds(3, 30)


def killed(shop, dice, first):
    """What a caller said before it was killed at a random moment: numbers and ids, each after its `delay`."""
    said = []
    with program(CALLER, Path(shop["PYTHONPATH"]), env=shop) as caller:
        caller.say("call")
        assert "ready" == caller.line(), caller.err
        caller.say(str(first))
        said += [caller.line() for _ in range(dice.randrange(1, 60))]
        os.kill(caller.pid, signal.SIGKILL)
        assert caller.process.stdout is not None
        said += [line.strip() for line in caller.process.stdout if line.endswith("\n")]
    return {int(number): call for number, call in map(str.split, said)}


def test_every_call_of_a_caller_killed_while_the_broker_is_away_arrives(server, open_, queue_name, shop, campaign):
    """Killed at random points: whatever its `delay` returned for is forwarded by the next process."""
    dice, rounds = campaign
    promised = {}
    url = server.url
    server.stop()
    for number in range(rounds):
        promised |= killed(shop | {"DISPATCH_BROKER_URL": url}, dice, number * 1_000_000)
    server.start()
    dispatcher, _ = open_(url)
    emptied(dispatcher)
    arrived = set(ids(url, queue_name))
    print(f"{len(promised)} promised, {len(set(promised.values()) - arrived)} missing")

    assert set() == set(promised.values()) - arrived


def test_every_call_that_was_to_run_here_does_though_its_process_is_killed(shop, tmp_path, campaign):
    """Killed in the middle of runs: what had begun is begun again, what waited is run, by the next process."""
    dice, rounds = campaign
    promised, book = {}, Logbook(tmp_path / "logbook")
    (tmp_path / "policy.yaml").write_text(RUN_FROM_DISK)
    for number in range(rounds):
        promised |= killed(shop, dice, number * 1_000_000)
    with program(CALLER, tmp_path, env=shop) as heir:
        heir.say("")
        eventually(lambda: set(promised) <= book.ended(), within=LEASE + 60, what="every promised call to run")
    print(f"{len(promised)} promised, {len(set(promised) - book.ended())} missing")
