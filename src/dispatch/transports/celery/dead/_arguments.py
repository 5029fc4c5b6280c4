"""A message's body, for people to read."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any


def unpacked(body: str, encoding: str | None) -> bytes:
    """The body of a message as kombu writes it into a Redis list."""
    return b64decode(body) if encoding == "base64" else body.encode()


def shown(body: bytes, content_type: str | None, headers: Mapping[str, Any]) -> str:
    """The text of a JSON body; of another, what it is. Nothing is unpickled to be looked at."""
    packed = headers.get("compression")
    if content_type == "application/json" and not packed:
        return body.decode(errors="replace")
    return f"{len(body)} B of {packed or content_type}"
