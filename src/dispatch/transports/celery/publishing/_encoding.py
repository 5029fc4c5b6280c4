"""Arguments as they travel: Celery's body, encoded on the caller's thread, before anything is handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kombu import serialization
from kombu.exceptions import EncodeError
from kombu.utils import json

from dispatch.transports._arguments import Uncarried, type_name, uncarried

_dumps: Callable[..., tuple[str, str, str | bytes]] = serialization.dumps
_serializers: dict[str, tuple[str, str, Callable[..., Any]]] = serialization.registry._encoders  # noqa: SLF001 - see `_encoded`
_json: Callable[[Any], str] = json.JSONEncoder().encode

_EMBED: dict[str, None] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""What canvas writes into a body; a plain call has none of it."""


JSON = "json"
"""kombu's name for the one form in which arguments travel."""


def only_json(serializer: object) -> str:
    """Why arguments do not travel in another form, and the cure."""
    return (
        f"arguments travel as JSON alone, and serializer={serializer!r} is not: what a worker unpickles can be any "
        "program. Leave serializer out, and pass what JSON can carry"
    )


class Body(tuple[Any, ...]):  # noqa: SLOT001 - a tuple takes no slots that hold anything
    """Celery's body, which receivers of its signals see as they know it, and the text that is sent for it.

    A receiver that changes the arguments changes nothing: they were encoded before.
    """

    text: str | bytes
    plain: str | bytes
    """The text before compression."""
    content_type: str
    content_encoding: str
    size: int
    """Of the text in bytes, before compression and the envelope. JSON is ASCII here."""
    compression: str | None = None
    """How the text is compressed, in kombu's words."""
    claim: str | None = None
    """What the message says of arguments that are kept elsewhere, and are not in the text."""

    @property
    def compressed_size(self) -> int | None:
        """Bytes on the wire, before the envelope, of one that is compressed."""
        return None if self.compression is None else len(self.text)


def encode(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    function: Callable[..., Any] | None = None,
    serializer: str = "json",
) -> Body:
    """The body of a plain call. Tuples arrive as lists, keys of mappings as text: that is JSON's way, and Celery's.

    `function` knows the names of positional arguments. Raises `Uncarried`.
    """
    if serializer != JSON:
        raise Uncarried("serializer", only_json(serializer))
    plain = (args, kwargs, _EMBED)
    try:
        content_type, content_encoding, text = _encoded(plain, serializer)
    except EncodeError as error:
        raise uncarried(
            args,
            kwargs,
            function,
            lambda value: _travels(value, serializer),
            encoder=serializer,
            reason=str(error),
            cure="Pass text, numbers, lists or dicts, such as an id to look it up by",
        ) from error
    body = Body(plain)
    body.text, body.content_type, body.content_encoding = text, content_type, content_encoding
    body.plain, body.size = text, len(text)
    return body


def check(name: str, value: Any) -> None:
    """That `value` can travel. Raises `Uncarried`, naming it `name`."""
    if not _travels(value, "json"):
        raise Uncarried(name, f"{name} cannot travel as JSON; they are of type {type_name(value)}")


def _encoded(plain: Any, serializer: str) -> tuple[str, str, str | bytes]:
    """As kombu does it. Its own `json` makes an encoder for each message anew, which costs as much as encoding."""
    known = _serializers.get(serializer)
    if known is not None and known[2] is json.dumps:
        content_type, content_encoding, _ = known
        try:
            return content_type, content_encoding, _json(plain)
        except Exception:  # noqa: BLE001, S110 - kombu says in its own words what is wrong
            pass
    return _dumps(plain, serializer=serializer)


def _travels(value: Any, serializer: str) -> bool:
    try:
        _dumps([value], serializer=serializer)
    except EncodeError:
        return False
    return True
