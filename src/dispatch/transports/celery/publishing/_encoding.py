"""Arguments as they travel: Celery's body, encoded on the caller's thread, before anything is handed over."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kombu import serialization
from kombu.exceptions import EncodeError, SerializerNotInstalled

from dispatch.errors import PassedOver

_dumps: Callable[..., tuple[str, str, str | bytes]] = serialization.dumps

_EMBED: dict[str, None] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""What canvas writes into a body; a plain call has none of it."""


class Body(tuple[Any, ...]):  # noqa: SLOT001 - a tuple takes no slots that hold anything
    """Celery's body, which receivers of its signals see as they know it, and the text that is sent for it.

    A receiver that changes the arguments changes nothing: they were encoded before.
    """

    text: str | bytes
    content_type: str
    content_encoding: str

    @property
    def size(self) -> int:
        """Bytes on the wire, before compression and the envelope. JSON is ASCII here."""
        return len(self.text)


class Uncarried(Exception):
    """JSON cannot carry the arguments. The message says which one, its type and the cure, and never its value."""

    def __init__(self, argument: str | None, detail: str) -> None:
        self.argument = argument
        super().__init__(detail)

    def passed(self, destination: str) -> PassedOver:
        return PassedOver(destination, "cannot_carry", str(self), argument=self.argument or "arguments")


def encode(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    function: Callable[..., Any] | None = None,
    serializer: str = "json",
) -> Body:
    """The body of a plain call. Tuples arrive as lists, keys of mappings as text: that is JSON's way, and Celery's.

    `function` knows the names of positional arguments. Raises `Uncarried`.
    """
    plain = (args, kwargs, _EMBED)
    try:
        content_type, content_encoding, text = _dumps(plain, serializer=serializer)
    except SerializerNotInstalled as error:
        raise Uncarried("serializer", str(error)) from error
    except EncodeError as error:
        raise _uncarried(args, kwargs, function, serializer, str(error)) from error
    body = Body(plain)
    body.text, body.content_type, body.content_encoding = text, content_type, content_encoding
    return body


def check(name: str, value: Any) -> None:
    """That `value` can travel. Raises `Uncarried`, naming it `name`."""
    if not _travels(value, "json"):
        raise Uncarried(name, f"{name} cannot travel as JSON; they are of type {_type(value)}")


def _uncarried(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    function: Callable[..., Any] | None,
    serializer: str,
    reason: str,
) -> Uncarried:
    for name, value in _named(args, kwargs, function):
        if not _travels(value, serializer):
            within = _culprit(value, serializer)
            holds = "" if within is value else f", and holds a value of type {_type(within)}"
            return Uncarried(
                name,
                f"argument {name!r} is of type {_type(value)}{holds}: {serializer} cannot carry that "
                f"({reason}). Pass text, numbers, lists or dicts, such as an id to look it up by",
            )
    return Uncarried(None, f"the arguments together are more than {serializer} can carry")


def _named(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], function: Callable[..., Any] | None
) -> Iterator[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values() if function is not None else ()
    names = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    rest = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), None)
    for place, value in enumerate(args):
        if place < len(names):
            yield names[place], value
        else:
            yield f"number {place + 1}" if rest is None else f"{rest}[{place - len(names)}]", value
    yield from kwargs.items()


def _culprit(value: Any, serializer: str) -> Any:
    """The innermost part of `value` that does not travel, as far as lists and dicts lead to it."""
    for _ in range(100):  # a list that holds itself has no innermost part
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        worse = next((part for part in parts if not _travels(part, serializer)), None)
        if worse is None:
            return value
        value = worse
    return value


def _travels(value: Any, serializer: str) -> bool:
    try:
        _dumps([value], serializer=serializer)
    except EncodeError:
        return False
    return True


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
