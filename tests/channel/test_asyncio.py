"""Coroutines send and receive as threads do, on the same channels."""

import asyncio
import os
import random
from collections import Counter

import pytest

from dispatch.channel import Channel, after, aselect, receive, select, send
from dispatch.errors import ChannelClosed, EndOfChannel

SEED = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**9)))
CAPACITIES = pytest.mark.parametrize("capacity", [0, 1, 4])


async def settle():
    """Let the other coroutines of the loop go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


@CAPACITIES
def test_coroutines_of_one_loop_hand_over(capacity):
    """`asend`, `async for` and the close, in order."""

    async def main():
        channel = Channel(capacity)

        async def produce():
            for number in range(50):
                await channel.asend(number)
            channel.close()

        producing = asyncio.create_task(produce())
        received = [item async for item in channel]
        await producing
        with pytest.raises(EndOfChannel):
            await channel.areceive()
        with pytest.raises(ChannelClosed):
            await channel.asend("item")
        return received

    assert asyncio.run(main()) == list(range(50))


@CAPACITIES
def test_a_timeout_is_kept(capacity):
    """And leaves nothing behind."""

    async def main():
        channel = Channel(capacity)
        with pytest.raises(TimeoutError):
            await channel.areceive(1e-3)
        for _ in range(capacity):
            await channel.asend("before", 0)
        with pytest.raises(TimeoutError):
            await channel.asend("item", 1e-3)
        return channel

    channel = asyncio.run(main())
    assert len(channel) == capacity
    assert not channel._item_bells
    assert not channel._permit_bells


@CAPACITIES
def test_a_thread_sends_to_a_coroutine_and_back(capacity, crew):
    """A loop in one thread, a plain loop in another."""
    there, back = Channel(capacity), Channel(capacity)

    async def echo():
        async for item in there:
            await back.asend(item)
        back.close()

    crew.start(asyncio.run, echo())
    feeder = crew.start(lambda: ([there.send(number) for number in range(100)], there.close()))
    received = list(back)
    feeder.result(10)

    assert received == list(range(100))


@CAPACITIES
def test_send_nowait_finds_a_waiting_coroutine(capacity):
    """A coroutine that waits to receive is somebody who waits to receive."""

    async def main():
        channel = Channel(capacity)
        receiving = asyncio.create_task(channel.areceive())
        await settle()
        if capacity == 0:
            assert channel.statistics().room == 1
        channel.send_nowait("item")
        return await receiving

    assert asyncio.run(main()) == "item"


def test_receive_nowait_finds_a_waiting_coroutine():
    """A coroutine that waits to send is somebody who waits to send."""

    async def main():
        channel = Channel()
        sending = asyncio.create_task(channel.asend("item"))
        await settle()
        item = channel.receive_nowait()
        await sending
        return item

    assert asyncio.run(main()) == "item"


@CAPACITIES
def test_who_was_cancelled_with_an_item_on_its_way_loses_nothing(capacity):
    """The item goes to the next who asks, also when that one was waiting already."""

    async def main():
        channel = Channel(capacity)
        first = asyncio.create_task(channel.areceive())
        await settle()
        second = asyncio.create_task(channel.areceive())
        await settle()
        channel.send_nowait("item")  # meant for the first, which has not heard of it yet
        first.cancel()
        item = await asyncio.wait_for(second, 5)
        assert first.cancelled()
        with pytest.raises(TimeoutError):
            await channel.areceive(0)
        return item, channel._permits.qsize()

    assert asyncio.run(main()) == ("item", capacity)


@CAPACITIES
def test_cancelling_in_the_middle_of_a_storm_loses_nothing(capacity, queues, crew, restless):
    """Receivers are cancelled all the time while threads and coroutines send; every item arrives, every permit too."""
    print(f"STORM_SEED={SEED}")  # noqa: T201 - shown when the test fails
    channel, chance, each = Channel(capacity), random.Random(SEED), 120

    async def one():
        while True:
            received.append(await channel.areceive())

    async def produce():
        for number in range(each):
            await channel.asend(("coroutine", number))

    async def main():
        producing = asyncio.create_task(produce())
        while not (producing.done() and sent.done() and len(received) == 2 * each):
            receivers = [asyncio.create_task(one()) for _ in range(3)]
            await asyncio.sleep(chance.choice([0, 0, 1e-4, 1e-3]))
            for receiver in receivers:
                receiver.cancel()
            await asyncio.gather(*receivers, return_exceptions=True)
        await producing
        channel.close()

    received = []
    sent = crew.start(lambda: [channel.send(("thread", number)) for number in range(each)])
    asyncio.run(asyncio.wait_for(main(), 30))

    assert Counter(received) == Counter((who, number) for who in ("thread", "coroutine") for number in range(each))
    assert channel._permits.qsize() == capacity + 1
    assert channel._items.qsize() == 1
    assert not channel._item_bells
    for who in ("thread", "coroutine"):
        assert [number for name, number in received if name == who] == list(range(each))


def test_cancelled_senders_send_nothing():
    """Cancelled while it waits for room, a coroutine has not sent; nor does a bid of it remain."""

    async def main():
        channel = Channel()
        sending = [asyncio.create_task(channel.asend(number)) for number in range(3)]
        await settle()
        sending[0].cancel()
        sending[2].cancel()
        await settle()
        received = [await channel.areceive()]
        with pytest.raises(TimeoutError):
            await channel.areceive(1e-3)
        await sending[1]
        return received, len(channel._bids)

    assert asyncio.run(main()) == ([1], 0)


def test_aselect_does_what_select_does():
    """Default, timeout, both directions, timers and the end of a channel."""

    async def main():
        quiet, closed = Channel(), Channel()
        closed.close()
        assert await aselect(receive(quiet), default="nothing") == "nothing"
        with pytest.raises(TimeoutError):
            await aselect(receive(quiet), send(quiet, "item"), timeout=1e-3)
        assert (await aselect(receive(quiet), receive(after(1e-3)))).index == 1
        assert (await aselect(receive(quiet), receive(closed))).closed
        with pytest.raises(ValueError, match="for ever"):
            await aselect()
        meeting = asyncio.create_task(aselect(receive(quiet), send(Channel(), "nobody")))
        await settle()
        assert (await aselect(receive(closed) if quiet.closed else None, send(quiet, "item"))).index == 1
        return (await meeting).item

    assert asyncio.run(main()) == "item"


def test_a_select_in_a_thread_meets_one_in_a_coroutine(crew):
    """Each side waits at two channels; everything arrives."""
    first, second = Channel(), Channel()

    async def produce():
        for number in range(100):
            await aselect(send(first, number), send(second, number))

    crew.start(asyncio.run, produce())
    received = [select(receive(first), receive(second), timeout=5).item for _ in range(100)]

    assert received == list(range(100))
