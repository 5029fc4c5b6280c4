"""Messages over a socket: eight bytes that say how long, then that many.

Both ends take turns, one sends while the other receives, so that messages of any size pass without a deadlock.
"""

from __future__ import annotations

import select
import socket
import struct

_LENGTH = struct.Struct("!Q")


class Wire:
    """One end of a connection, used by one thread at a time. Raises `EOFError` when the other end has gone."""

    def __init__(self, sock: socket.socket, *, death: int | None = None) -> None:
        """`death`: a descriptor that turns readable when the process at the other end has ended (a pidfd).

        The socket alone would not tell: what a task has forked holds the other end open.
        """
        sock.settimeout(0)  # see `_wait`
        self._sock = sock
        self._death = death

    def send(self, message: bytes) -> None:
        for part in (_LENGTH.pack(len(message)), message):
            rest = memoryview(part)
            while rest:
                try:
                    rest = rest[self._sock.send(rest) :]
                except BlockingIOError:
                    self._wait(select.POLLOUT)
                except OSError as error:
                    raise EOFError from error

    def receive(self) -> bytearray:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def finish(self) -> None:
        """Say that nothing more will be sent; the other end may still answer."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it has gone already

    def close(self) -> None:
        self._sock.close()

    def _exactly(self, length: int) -> bytearray:
        message = bytearray(length)
        rest = memoryview(message)
        while rest:
            try:
                count = self._sock.recv_into(rest)
            except BlockingIOError:
                self._wait(select.POLLIN)
                continue
            except OSError as error:
                raise EOFError from error
            if not count:
                raise EOFError
            rest = rest[count:]
        return message

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._sock, event)
        if self._death is not None:
            poll.register(self._death, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        # What was sent before the death is read first.
        if self._sock.fileno() not in ready:
            raise EOFError
