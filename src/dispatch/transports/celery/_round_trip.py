"""What arrives on the far side of a broker, found without one: for `dispatch.testing`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu import serialization

from dispatch._call import Call
from dispatch.errors import ResultNotSerializable
from dispatch.transports.celery.publishing import check, encode

_dumps: Callable[..., tuple[str, str, str | bytes]] = serialization.dumps
_loads: Callable[..., Any] = serialization.loads


def arguments_after(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as the worker would see them, by the encoder that publishes. Raises `Uncarried`."""
    options = call.options
    if options is not None and options.headers:
        check("headers", options.headers)
    serializer = (options.celery.get("serializer") if options is not None else None) or "json"
    body = encode(call.args, call.kwargs, call.spec.function, serializer)
    args, kwargs, _ = _loads(body.text, body.content_type, body.content_encoding)
    return tuple(args), kwargs


def result_after(task: str, value: Any) -> Any:
    """`value` as a caller would read it from a result backend. Raises `ResultNotSerializable`."""
    try:
        content_type, content_encoding, text = _dumps(value, serializer="json")
    except Exception as error:
        raise ResultNotSerializable(
            f"{task} has run, and its result cannot be stored as json: {error}. "
            "It is not run again. Return what can be stored, or declare the task with result=False"
        ) from error
    return _loads(text, content_type, content_encoding)
