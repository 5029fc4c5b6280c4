"""Who waits for a result waits on while its Redis dies and comes back, and has it in the end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from servers.patience import eventually


def by_thread(handle):
    return handle.result(timeout=100)


def by_coroutine(handle):
    async def wait():
        async with asyncio.timeout(100):
            return await handle

    return asyncio.run(wait())


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_a_handle_that_is_awaited_through_restarts_gets_its_result(synced_redis, open_shop, book, dice, rounds):
    """A thread and a coroutine wait, the calls are running, and the server is killed and started under all of them."""
    shop = open_shop(synced_redis.url, ledger="lease: 5s")
    with shop.worker("threads"), ThreadPoolExecutor(2) as waiters:
        handles = [shop.task("answer").delay(number) for number in range(2)]
        eventually(lambda: len(book.numbers("began")) == 2, within=30)
        waits = [waiters.submit(way, handle) for way, handle in zip((by_thread, by_coroutine), handles, strict=True)]
        for _ in range(rounds(2, 20)):
            with redis.Redis(port=synced_redis.port) as client:
                eventually(lambda client=client: len(client.pubsub_channels("celery-task-meta-*")) == 2, within=30)
            synced_redis.kill()
            threading.Event().wait(dice.uniform(0, 0.5))
            synced_redis.start()
        book.path.with_name("logbook.go").touch()

        assert [0, 1] == [wait.result() for wait in waits]
