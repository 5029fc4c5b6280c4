"""Arguments of a call, written as JSON on the command line."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import click

from dispatch.cli._waterfall import plain

_AROUND = 30
"""Characters shown on either side of a mistake."""
_NAMES = {list: "a list", dict: "an object", str: "text", bool: "true or false", type(None): "null"}


class JsonArgument(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """A JSON value of one kind. A mistake in it is shown with its place."""

    def __init__(self, kind: type[list[Any] | dict[str, Any]], example: str) -> None:
        self.name = "json"
        self._kind = kind
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            read = json.loads(value, parse_constant=_refuse)
        except json.JSONDecodeError as error:
            self.fail(f"not JSON: {_pointed(error)}{self._hint(value)}", param, ctx)
        except (ValueError, RecursionError) as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(read, self._kind):
            kind = _NAMES.get(type(read), "a number")
            self.fail(f"this is {kind}, and must be {_NAMES[self._kind]}, such as {self._example}", param, ctx)
        return read

    def _hint(self, value: str) -> str:
        """Whoever writes Python's quotes gets JSON's."""
        meant = value.replace("'", '"')
        with suppress(ValueError, RecursionError):
            return f"\nDid you mean '{meant}'?" if isinstance(json.loads(meant), self._kind) else ""
        return ""


def _pointed(error: json.JSONDecodeError) -> str:
    """What is wrong, the line where it is, and a mark below the place."""
    begin = error.doc.rfind("\n", 0, error.pos) + 1
    line = error.doc[begin:].split("\n", 1)[0]
    at = error.pos - begin
    first = max(0, at - _AROUND)
    shown = plain(("…" if first else "") + line[first : at + _AROUND])
    mark = " " * (at - first + bool(first)) + "^"
    return f"{error.msg}, at line {error.lineno}, column {error.colno}\n    {shown}\n    {mark}"


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is JavaScript's")
