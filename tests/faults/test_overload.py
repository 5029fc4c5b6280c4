"""A producer that is a hundred times faster than its consumers fills the pool, and not the memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRODUCER = """
import resource, sys, time
import dispatch
from dispatch.policy import parse

on_full, seconds = sys.argv[1], float(sys.argv[2])
CAPACITY, PAYLOAD = 1000, 20_000

@dispatch.task(result=False)
def eat(food):
    time.sleep(0.005)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

dispatcher = dispatch.Dispatcher(policy=parse(f'''
version: 1
destinations:
  fast: {{transport: local, workers: 2, capacity: {CAPACITY}, on_full: {on_full}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast}}
'''))
eat_here = eat.using(dispatcher)
for number in range(2 * CAPACITY):  # once full, the memory is what it will be
    try:
        eat_here.delay(str(number) * (PAYLOAD // len(str(number))))
    except dispatch.NotAccepted:
        pass
full, began, accepted, refused = peak(), time.monotonic(), 0, 0
while time.monotonic() - began < seconds:
    try:
        eat_here.delay(str(accepted) * (PAYLOAD // len(str(accepted))))
        accepted += 1
    except dispatch.NotAccepted:
        refused += 1
print(accepted, refused, peak() - full)
dispatcher.shutdown(0)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("on_full", ["block, block_timeout: 50ms", "next"], ids=["block", "next"])
def test_a_producer_that_outruns_its_pool_fills_the_pool_and_not_the_memory(on_full, tmp_path, rounds):
    """With a thousand calls of 20 kB waiting, the resident set grows no more: it would by 20 kB for each call."""
    done = subprocess.run(
        [sys.executable, "-c", PRODUCER, on_full, str(rounds(3, 30))], capture_output=True, text=True, check=True
    )
    accepted, refused, growth = map(int, done.stdout.split())
    print(f"{on_full}: {accepted} accepted, {refused} refused, {growth / 2**20:.1f} MiB more than when it was full")

    assert accepted > 100
    assert growth < 8 * 2**20
