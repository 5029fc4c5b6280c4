"""One Lua script, and the way to have a server run it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from importlib import resources
from typing import Any, TypeAlias

import redis
from redis.exceptions import NoScriptError

Command: TypeAlias = tuple[str | int, ...]
"""A command of Redis and its arguments, ready to be packed."""

_FOLDER = resources.files(__package__) / "lua"
_WORDS = (_FOLDER / "words.lua").read_text(encoding="utf-8")


class Script:
    """Known to the server by the hash of its text. A server that restarted has forgotten it, and is told again."""

    def __init__(self, name: str, *, words: bool = True) -> None:
        own = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        self.text = _WORDS + own if words else own
        # Redis names scripts so; nothing is kept secret by it.
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def command(self, root: str, *arguments: str | int) -> Command:
        """To run it with `root` as its only key. A server that does not know it answers `NOSCRIPT`: see `lesson`."""
        return ("EVALSHA", self.sha, 1, root, *arguments)

    def lesson(self) -> Command:
        """To teach it to the server, which runs nothing."""
        return ("SCRIPT", "LOAD", self.text)

    def run(self, client: redis.Redis, root: str, *arguments: str | int) -> Any:
        """Run it and return what it says, texts as `str`. Raises `redis.RedisError`.

        `NOSCRIPT` means that nothing was run, so it is sent again, whole.
        """
        with suppress(NoScriptError):
            return read(client.execute_command(*self.command(root, *arguments)))  # type: ignore[no-untyped-call]
        return read(client.execute_command("EVAL", self.text, 1, root, *arguments))  # type: ignore[no-untyped-call]


def read(reply: Any) -> Any:
    """A reply with its texts as `str`, whichever way the client leaves them."""
    if isinstance(reply, list):
        return [read(each) for each in reply]
    return reply.decode() if isinstance(reply, bytes) else reply
