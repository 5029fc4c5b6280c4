"""A wire between a client and a server that a test can cut, hold and slow down."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread
from types import TracebackType
from typing import Any, Self

_CHUNK = 65536

_MEETING = 5
"""Turns of the loop until whoever was accepted has been met. One who comes between is left open by asyncio's close."""


class Proxy:
    """Listens on `port` and passes bytes to and from `target`, both on 127.0.0.1, until told otherwise."""

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        """Seconds that each chunk is late, in both directions."""
        self.chunk = _CHUNK
        """Bytes that pass at once; with 1, and a delay of 1.0, a byte a second."""
        self.fuse: int | None = None
        """So many bytes still pass, both directions together; then the connection is reset, and the next is good."""
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy")
        self._flowing = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._do(self._close())

    def restore(self) -> None:
        """Listen again, on the same port."""
        self._do(self._listen())

    @contextmanager
    def mute(self) -> Iterator[None]:
        """For the length of the block connections stay open, new ones are taken, and not a byte passes."""
        self._loop.call_soon_threadsafe(self._flowing.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flowing.set)

    def __enter__(self) -> Self:
        self._thread.start()
        self._flowing.set()
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listener is not None:
            for each in self._listener.sockets:
                self._loop.remove_reader(each.fileno())
            for _ in range(_MEETING):
                await asyncio.sleep(0)
            self._listener.close()
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = asyncio.ensure_future(self._join(reader, writer))
        self._pairs.add(pair)
        pair.add_done_callback(self._pairs.discard)
        # A task that is cancelled before its first step runs nothing, no `finally` either.
        pair.add_done_callback(lambda _: writer.transport.abort())

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from its first byte to its end."""
        ends = [writer]
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(server)
            await _first_of(self._pump(reader, server, ends), self._pump(answers, writer, ends))
        except OSError:
            pass  # the server refused, or an end broke: so does this connection
        finally:
            for end in ends:
                end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, ends: list[asyncio.StreamWriter]
    ) -> None:
        while read := await source.read(_CHUNK):
            while read:
                await asyncio.sleep(self.delay)
                await self._flowing.wait()
                chunk = read[: self._burn(min(len(read), self.chunk))]
                read = read[len(chunk) :]
                sink.write(chunk)
                await sink.drain()
                if self.fuse == 0:
                    self.fuse = None
                    _reset_when_closed(ends)
                    return

    def _burn(self, count: int) -> int:
        """How many of so many bytes may pass."""
        if self.fuse is None:
            return count
        passing = min(count, self.fuse)
        self.fuse -= passing
        return passing


def _reset_when_closed(ends: list[asyncio.StreamWriter]) -> None:
    """They send no good-bye (FIN), but a reset (RST)."""
    for end in ends:
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _first_of(*pumps: Coroutine[Any, Any, None]) -> None:
    """Until one direction has ended; the other one ends with it."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
