"""Signatures of messages: who has the key may have calls run, and nobody else."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from celery import Celery
from kombu import compression
from kombu.utils import json

from dispatch._clock import wall
from dispatch.telemetry import messages
from dispatch.transports.celery.ledger import STAMP_HEADER

SIGNATURE_HEADER = "dispatch-signature"

_VERSION = "1"
_LONGEST = 128
"""Characters of a signature that are looked at."""

_UNSIGNED = frozenset({SIGNATURE_HEADER, STAMP_HEADER, "dispatch-dead", "compression", "x-delivery-count", "x-death"})
_UNSIGNED_BEGINNINGS = ("x-first-death-", "x-last-death-", "x-opt-", "x-acquired-")
"""Headers that brokers, the ledger and kombu write behind our back, and names that such headers begin with."""

_loads: Callable[[str], Any] = json.loads
_dumps: Callable[[Any], str] = json.dumps
_unpacked: Callable[..., bytes] = compression.decompress
_canonical = msgspec.json.Encoder(order="deterministic").encode


class Forged(Exception):
    """No key of ours has signed this message as it stands. Says why, and nothing of what the message holds."""


class Signer:
    """Signs with the first of its keys, and knows the signatures of all: so a key is replaced without a gap.

    HMAC-SHA256 over every header but those that others write on the way, the form of the body, the time, and the body
    itself as it travels, before kombu's own `compression`.
    """

    def __init__(self, keys: Sequence[str], window_ns: int) -> None:
        self._keys = tuple(key.encode() for key in keys)
        self.window_ns = window_ns
        """How old a message may be that no ledger remembers."""

    def sign(self, headers: Mapping[str, Any], body: str | bytes, content_type: str, content_encoding: str) -> str:
        """The value of the header for a message that is written now."""
        at = str(wall() // 1_000_000)
        told = _told(at, headers, body, content_type, content_encoding)
        return f"{_VERSION};{at};{hmac.digest(self._keys[0], told, 'sha256').hex()}"

    def written_ns(
        self, headers: Mapping[str, Any], body: str | bytes, content_type: str, content_encoding: str
    ) -> int:
        """When the message was signed, in nanoseconds since 1970. Raises `Forged`."""
        said = headers.get(SIGNATURE_HEADER)
        if said is None:
            raise Forged("it is not signed")
        if not isinstance(said, str) or len(said) > _LONGEST or not said.isascii():
            raise Forged("its signature is none")
        version, _, rest = said.partition(";")
        at, _, mac = rest.partition(";")
        if version != _VERSION or not at.isdigit():
            raise Forged("its signature is none")
        try:
            told = _told(at, headers, body, content_type, content_encoding)
        except (TypeError, ValueError, RecursionError) as error:
            raise Forged("its headers cannot be written as JSON") from error
        # Each key is asked, whatever the one before has said.
        known = [hmac.compare_digest(hmac.digest(key, told, "sha256").hex(), mac) for key in self._keys]
        if not any(known):
            raise Forged("no key that is known here has signed it as it stands")
        return int(at) * 1_000_000

    def is_stale(self, headers: Mapping[str, Any], written_ns: int) -> bool:
        """Whether a message is older than the window, counted from when it was due."""
        due = messages.sent_at(headers) or 0
        return wall() - max(written_ns, due) > self.window_ns


def rewritten(app: Celery, before: str, after: str) -> str:
    """`after`, a message made of `before`, signed anew where the app signs. Both as kombu writes them into a list.

    Raises `Forged` where `before` has no good signature: who can write to the broker must not have us sign for him.
    """
    signer = signer_of(app)
    if signer is None:
        return after
    signer.written_ns(*_parts(before))
    message = _loads(after)
    message["headers"][SIGNATURE_HEADER] = signer.sign(*_parts(after))
    return _dumps(message)


def _parts(text: str) -> tuple[dict[str, Any], bytes, str, str]:
    """Raises `Forged` for what is no message."""
    try:
        message = _loads(text)
        headers, body = message["headers"], message["body"]
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        if headers.get("compression"):
            body = _unpacked(body, headers["compression"])
        return headers, body, message["content-type"], message["content-encoding"]
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise Forged("it is no message") from error


def _told(at: str, headers: Mapping[str, Any], body: str | bytes, content_type: str, content_encoding: str) -> bytes:
    """What is signed. JSON has no line break of its own, so nothing can pass from one part into the other."""
    covered = {
        name: value
        for name, value in headers.items()
        if name not in _UNSIGNED and not name.startswith(_UNSIGNED_BEGINNINGS)
    }
    head = _canonical([_VERSION, at, content_type, content_encoding, covered])
    return b"%b\n%b" % (head, body.encode() if isinstance(body, str) else bytes(body))


_signers: dict[int, Signer] = {}
"""By the id of the app, for as long as it is registered with."""


def signer_of(app: Celery) -> Signer | None:
    """Who signs an app's messages; `None` where nobody does."""
    return _signers.get(id(app))


def sign_for(app: Celery, signer: Signer | None) -> None:
    """From now on. `None`: nobody signs."""
    if signer is None:
        _signers.pop(id(app), None)
    else:
        _signers[id(app)] = signer
