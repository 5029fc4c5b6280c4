"""Publishing in processes of other kinds: under gevent, and at the end of a program that says no good-bye."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from callers import waiting

TESTS = Path(__file__).parents[2]

UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()

import sys
import gevent
from callers import QUORUM, Caller

url, queue, mute = sys.argv[1:]
caller = Caller(url, conf=QUORUM if url.startswith("amqp") else {}, queue=queue)
greenlets = [gevent.spawn(caller.brew, number) for number in range(50)]
gevent.joinall(greenlets, timeout=20)
assert [None] * 50 == [each.value for each in greenlets], [each.value for each in greenlets]

caller = Caller(mute, publish_deadline="300ms")
greenlets = [gevent.spawn(caller.brew, number) for number in range(5)]
gevent.joinall(greenlets, timeout=10)
assert ["refused"] * 5 == [each.value.why for each in greenlets]
"""

WITHOUT_GOOD_BYE = """
import sys
from callers import Caller

assert Caller(sys.argv[1], queue=sys.argv[2]).brew("blue") is None
"""


def run(program, *words):
    """Run it with every warning, also about files left open, as an error."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", program, *words],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_under_gevent_the_publisher_is_a_greenlet_among_greenlets(redis_url, black_hole):
    """Fifty at once are accepted, and a mute broker holds none of them longer than the deadline."""
    run(UNDER_GEVENT, redis_url, "tea", f"redis://127.0.0.1:{black_hole}/0")

    assert 50 == waiting(redis_url, "tea")


@pytest.mark.rabbitmq
def test_under_gevent_over_amqp(rabbitmq_url, queue_name, black_hole):
    """The same over AMQP."""
    run(UNDER_GEVENT, rabbitmq_url, queue_name, f"amqp://guest:guest@127.0.0.1:{black_hole}//")

    assert 50 == waiting(rabbitmq_url, queue_name)


def test_a_program_that_ends_without_closing_ends(redis_url):
    """The thread is a daemon; nothing is printed, and what was accepted is there."""
    run(WITHOUT_GOOD_BYE, redis_url, "tea")

    assert 1 == waiting(redis_url, "tea")
