"""What a message carries in place of a payload that is kept elsewhere."""

from __future__ import annotations

import re
import zlib
from hashlib import sha256
from typing import Self
from uuid import uuid4

import msgspec

CLAIM_HEADER = "dispatch-claim"

_FORM = re.compile(r"1;([0-9a-f]{32});([0-9]{1,12});([0-9a-f]{64});(plain|gzip)")
_ZLIB = 15
"""Window bits of kombu's `gzip`, which is zlib's own form."""


class Claim(msgspec.Struct, frozen=True):
    """Which payload, and how it is known again."""

    key: str
    """Of its store: 32 hexadecimal digits, so that no header can name another file or key."""
    size: int
    """Bytes of the payload itself."""
    digest: str
    """SHA-256 of what is stored."""
    encoding: str

    @classmethod
    def on(cls, stored: bytes, size: int, *, compressed: bool) -> Self:
        digest = sha256(stored).hexdigest()
        return cls(uuid4().hex, size, digest, "gzip" if compressed else "plain")

    @classmethod
    def read(cls, text: object) -> Self:
        """Raises `ValueError` for what nobody of us has written."""
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError("its claim to a payload cannot be read")
        return cls(found[1], int(found[2]), found[3], found[4])

    @property
    def text(self) -> str:
        return f"1;{self.key};{self.size};{self.digest};{self.encoding}"

    def opened(self, stored: bytes) -> bytes:
        """The payload. Raises `ValueError` for anything but what was stored; unpacks no more than was packed."""
        if sha256(stored).hexdigest() != self.digest:
            raise ValueError("what the store has is not what was put there (its SHA-256 is another)")
        if self.encoding == "plain":
            return stored
        opened = zlib.decompressobj(_ZLIB).decompress(stored, self.size + 1)
        if len(opened) != self.size:
            raise ValueError(f"what was packed has another size than the {self.size} bytes that it had")
        return opened
