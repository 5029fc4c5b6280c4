"""Programs that Go's users write with channels."""

import itertools
import threading

import pytest

from dispatch.channel import Channel
from dispatch.errors import WouldWait


@pytest.mark.parametrize("capacity", [0, 8])
def test_the_prime_sieve(capacity, crew):
    """Each prime is a thread that filters its multiples out of what it hands on."""

    def count(out, limit):
        for number in range(2, limit):
            out.send(number)
        out.close()

    def sieve(numbers, out, prime):
        for number in numbers:
            if number % prime:
                out.send(number)
        out.close()

    numbers, primes = Channel[int](capacity), []
    crew.start(count, numbers, 120)
    while (prime := next(iter(numbers), None)) is not None:
        primes.append(prime)
        sieved = Channel[int](capacity)
        crew.start(sieve, numbers, sieved, prime)
        numbers = sieved

    assert primes == [number for number in range(2, 120) if all(number % divisor for divisor in range(2, number))]


@pytest.mark.parametrize("capacity", [0, 1, 128, 10_000])
def test_five_workers_drain_ten_thousand_items(capacity, crew):
    """The results channel is closed when all workers are done, and every result has arrived by then."""
    number_of_items = 10_000 if capacity > 1 else 1_000
    tasks, results = Channel[int](capacity), Channel[int](capacity)
    busy = itertools.count(4, -1)

    def work():
        for task in tasks:
            results.send(2 * task)
        if next(busy) == 0:
            results.close()

    def feed():
        for task in range(number_of_items):
            tasks.send(task)
        tasks.close()

    for _ in range(5):
        crew.start(work)
    crew.start(feed)

    assert sorted(results) == [2 * task for task in range(number_of_items)]


def test_a_pipeline(crew):
    """Stages hand on, and the close runs down the line."""

    def stage(function, source):
        out = Channel(4)

        def run():
            for item in source:
                out.send(function(item))
            out.close()

        crew.start(run)
        return out

    source = Channel(4)
    pipeline = stage(str, stage(lambda number: number * number, source))
    crew.start(lambda: ([source.send(number) for number in range(50)], source.close()))

    assert list(pipeline) == [str(number * number) for number in range(50)]


def test_a_buffered_channel_is_a_semaphore(crew):
    """At most `capacity` threads are between a send and its receive."""
    slots, inside, most = Channel(3), set(), []

    def work(me):
        slots.send(me)
        inside.add(me)
        most.append(len(inside))
        inside.discard(me)
        slots.receive()

    crew_members = [crew.start(work, me) for me in range(20)]
    for member in crew_members:
        member.result(10)

    assert max(most) <= 3
    with pytest.raises(WouldWait):
        slots.receive_nowait()


def test_closing_is_a_broadcast(crew):
    """A channel that only ever closes tells any number of threads to stop."""
    stop, stopped = Channel[None](), Channel[int](10)

    def wait(me):
        for _ in stop:
            raise AssertionError
        stopped.send(me)

    for me in range(10):
        crew.start(wait, me)
    stop.close()

    assert sorted(stopped.receive(10) for _ in range(10)) == list(range(10))


def test_a_token_runs_through_a_ring(crew):
    """Two hundred threads in a row of unbuffered channels: each hands the token to the next."""
    threads = 200
    ring = [Channel[int]() for _ in range(threads + 1)]

    def hand_on(source, out):
        out.send(source.receive() + 1)

    before = threading.stack_size(128 * 1024)
    try:
        for source, out in itertools.pairwise(ring):
            crew.start(hand_on, source, out)
    finally:
        threading.stack_size(before)
    ring[0].send(0)

    assert ring[-1].receive(20) == threads
