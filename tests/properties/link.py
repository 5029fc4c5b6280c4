"""The way between one process and Redis, and the process's life: a test says what becomes of the next words on it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import redis

Trouble: TypeAlias = Literal["none", "lost", "silent", "late", "dies before", "dies after", "dies on disk"]
"""`lost`: the next words do not arrive. `silent`: they do, and their answer does not. `late`: it comes when nobody
waits for it any more. The others end the process.
"""


class Died(BaseException):
    """The process is no more: nobody catches this and goes on."""


class Link:
    """Up, until it is told otherwise; each trouble is met once."""

    def __init__(self) -> None:
        self.away = False
        self.dead = False
        self.trouble: Trouble = "none"
        self.spared = 0
        """So many answers, or steps on disk, before the trouble begins."""

    def meet(self, trouble: Trouble, spared: int = 0) -> None:
        self.trouble, self.spared = trouble, spared

    def breathe(self) -> None:
        """Asked at each step that a process takes outside itself."""
        if self.dead:
            raise Died

    def crossing(self) -> None:
        """Words are about to be sent."""
        self.breathe()
        if self._meets("dies before"):
            self._die()
        if self.away or self._meets("lost"):
            raise redis.ConnectionError("the connection is gone")

    def answering(self) -> None:
        """The server has done what it was told, and its answer is on the way."""
        if self._meets("silent", "dies after"):
            if self.spared:
                self.spared -= 1
                return
            trouble, self.trouble = self.trouble, "none"
            if trouble == "dies after":
                self._die()
            raise redis.TimeoutError("no answer came")

    def on_disk(self) -> None:
        """Something was written, or read."""
        if self._meets("dies on disk"):
            if not self.spared:
                self._die()
            self.spared -= 1

    def _meets(self, *troubles: Trouble) -> bool:
        return self.trouble in troubles

    def _die(self) -> None:
        self.dead = True
        raise Died


class Socket:
    """The publisher's connection, over a link."""

    def __init__(self, real: Any, link: Link) -> None:
        self._real = real
        self._link = link

    def send_packed_command(self, *words: Any, **options: Any) -> None:
        self._link.crossing()
        self._real.send_packed_command(*words, **options)

    def read_response(self) -> Any:
        try:
            return self._real.read_response()
        finally:
            self._link.answering()

    @property
    def is_connected(self) -> bool:
        return self._real.is_connected and not self._link.away

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Client:
    """A worker's client of the ledger, over a link."""

    def __init__(self, real: redis.Redis, link: Link) -> None:
        self._real = real
        self._link = link

    def execute_command(self, *words: Any) -> Any:
        return self._over(lambda: self._real.execute_command(*words))

    def hmget(self, *words: Any) -> Any:
        return self._over(lambda: self._real.hmget(*words))

    def _over(self, ask: Any) -> Any:
        self._link.crossing()
        answer = ask()
        self._link.answering()
        return answer
