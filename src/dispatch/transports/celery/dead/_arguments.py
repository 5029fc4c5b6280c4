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


def unsigned(call_id: str, why: Exception) -> str:
    """Why a letter is not sent again where calls are signed, and the cure."""
    return (
        f"the letter of call {call_id} stays, and is not sent again: {why}, and to sign it now would be to sign for "
        f"whoever wrote it. Look at it with: dispatch dead show {call_id}; then send the call anew, or drop the letter"
    )
