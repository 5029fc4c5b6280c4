"""A function's signature, as something that can be called to check arguments, and the name others import it by."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def mirror(function: Callable[..., Any]) -> Callable[..., None]:
    """A function with the same parameters and an empty body.

    Calling it raises the very `TypeError` that the call would, for a twentieth of a microsecond, where
    `inspect.Signature.bind` takes three.
    """
    try:
        parameters = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    except (TypeError, ValueError):
        return _anything  # a builtin that does not tell its signature
    source = f"def mirror({_head(parameters)}): pass"
    room: dict[str, Any] = {"_": None}
    exec(source, room)  # noqa: S102 - the text is made of parameter names alone, and Python has checked those
    made: Callable[..., None] = room["mirror"]
    made.__name__ = getattr(function, "__name__", "task")
    made.__qualname__ = getattr(function, "__qualname__", made.__name__)  # the name in the TypeError
    return made


def refuse_odd_shapes(function: Callable[..., Any]) -> None:
    """Raises `TypeError` for what can be called and is no task: a method, or a generator."""
    called = getattr(function, "__qualname__", repr(function))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{called} is a generator: its body would run when somebody iterates it, not in a worker")
    inside = called.rpartition("<locals>.")[2]
    first = next(iter(getattr(getattr(function, "__code__", None), "co_varnames", ())), "")
    if "." in inside and first in ("self", "cls"):
        raise TypeError(f"{called} is a method: declare a function, and pass it what it needs of the object")


def importable_name(function: Callable[..., Any]) -> tuple[str, bool]:
    """The dotted name under which another process finds `function`, and whether it can.

    Raises `TypeError` for a partial, or another object that has no name of its own.

    A program's own module is called `__main__` only in that program; a worker imports it by its file's name.
    """
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if module is None or qualname is None:
        raise TypeError(f"{function!r} has no name that another process could find: wrap it in a function")
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:
            module = spec.name.removesuffix(".__main__")
        elif file is not None:
            module = Path(file).stem
        else:
            return f"{module}.{qualname}", False  # an interactive session
    return f"{module}.{qualname}", "<" not in qualname


def _head(parameters: list[inspect.Parameter]) -> str:
    parts: list[str] = []
    kinds = [parameter.kind for parameter in parameters]
    for index, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.VAR_POSITIONAL not in kinds and "*" not in parts:
            parts.append("*")
        star = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        default = "" if parameter.default is parameter.empty else "=_"
        parts.append(f"{star}{parameter.name}{default}")
        last_positional = kinds[index + 1 : index + 2] != [parameter.POSITIONAL_ONLY]
        if parameter.kind is parameter.POSITIONAL_ONLY and last_positional:
            parts.append("/")
    return ", ".join(parts)


def _anything(*_args: object, **_kwargs: object) -> None:
    pass
