"""Which argument of a call cannot travel, for messages that say so and never show its value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dispatch.errors import PassedOver


class Uncarried(Exception):
    """The arguments cannot be encoded. The message says which one, its type and the cure, and never its value."""

    def __init__(self, argument: str | None, detail: str) -> None:
        self.argument = argument
        super().__init__(detail)

    def passed(self, destination: str) -> PassedOver:
        return PassedOver(destination, "cannot_carry", str(self), argument=self.argument or "arguments")


def uncarried(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    function: Callable[..., Any] | None,
    travels: Callable[[Any], bool],
    *,
    encoder: str,
    reason: str,
    cure: str,
) -> Uncarried:
    """What to raise when `encoder` failed for `reason`: the first argument that does not travel alone is named."""
    for name, value in _named(args, kwargs, function):
        if not travels(value):
            within = _innermost(value, travels)
            holds = "" if within is value else f", and holds a value of type {type_name(within)}"
            of = f"argument {name!r} is of type {type_name(value)}{holds}"
            return Uncarried(name, f"{of}: {encoder} cannot carry that ({reason}). {cure}")
    return Uncarried(None, f"the arguments together are more than {encoder} can carry")


def type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


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


def _innermost(value: Any, travels: Callable[[Any], bool]) -> Any:
    """The innermost part of `value` that does not travel, as far as lists and dicts lead to it."""
    for _ in range(100):  # a list that holds itself has no innermost part
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        worse = next((part for part in parts if not travels(part)), None)
        if worse is None:
            return value
        value = worse
    return value
