"""The values of a policy: names, words, counts, sizes and durations, each typed from text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from dispatch._units import duration_ns as nanoseconds_in
from dispatch._units import size as bytes_in
from dispatch.policy._mistake import Mistake

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_COUNT = re.compile(r"[0-9]{1,9}")
_LONGEST_NS = 3650 * 24 * 3600 * 10**9

_SIZE_CURE = "Write a number and a unit, such as 512B, 64KiB or 1MiB."
_DURATION_CURE = "Write a number and a unit, such as 250ms, 2s or 1m30s."


def _text(value: object, what: str, cure: str) -> str:
    if isinstance(value, str):
        return value
    shape = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)
    raise Mistake("wrong-shape", f"{what} is expected here, and this is {shape}", cure)


def _word(value: object) -> str:
    text = _text(value, "text", "Write one word or phrase.")
    # What is not printable could neither be shown in a message nor travel in a header.
    if not text or not text.isprintable():
        raise Mistake("bad-text", "printable text is expected here", "Write at least one printable character.")
    return text


def _name(value: object) -> str:
    text = _text(value, "a name", "Write one name.")
    if not _NAME.fullmatch(text):
        raise Mistake(
            "bad-name",
            f"{text!a} cannot be a name",
            "Begin with a letter; go on with letters, digits, `_`, `-` and `.`, at most 64 in all.",
        )
    return text


def _rule_name(value: object) -> str:
    if value == "otherwise":
        raise Mistake("bad-name", "`otherwise` is what the last resort is called", "Give the rule another name.")
    return _name(value)


def not_empty(value: object) -> object:
    """The value, unless it is a list or a mapping that holds nothing. Raises `Mistake`."""
    if value in ([], {}):
        raise Mistake("empty", "there is nothing in it", "Write at least one entry.")
    return value


def _words(value: object) -> object:
    """One word stands for a list of one."""
    return [value] if isinstance(value, str) else not_empty(value)


def _count(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, int):
            return value
        cure = f"Write a whole number from {least} to {most}."
        text = _text(value, "a whole number", cure)
        if not _COUNT.fullmatch(text) or not least <= int(text) <= most:
            raise Mistake("bad-count", f"{text!a} does not do here", cure)
        return int(text)

    return parse


def size(text: str) -> int:
    """Bytes in `text`. Raises `Mistake`."""
    try:
        return bytes_in(text)
    except ValueError:
        raise Mistake("bad-size", f"{text!a} is not a size", _SIZE_CURE) from None


def duration_ns(text: str) -> int:
    """Nanoseconds in `text`. Raises `Mistake`."""
    try:
        nanoseconds = nanoseconds_in(text)
    except ValueError:
        raise Mistake("bad-duration", f"{text!a} is not a duration", _DURATION_CURE) from None
    if nanoseconds > _LONGEST_NS:
        raise Mistake("bad-duration", f"{text!a} is longer than ten years", "Write less, or remove the key.")
    return nanoseconds


def _size(value: object) -> int:
    if isinstance(value, int):
        return value
    amount = size(_text(value, "a size", _SIZE_CURE))
    if amount == 0:
        raise Mistake("zero", "nothing fits into no bytes at all", "Write at least 1B, or remove the key.")
    return amount


def _duration(value: object) -> int:
    if isinstance(value, int):
        return value
    nanoseconds = duration_ns(_text(value, "a duration", _DURATION_CURE))
    if nanoseconds == 0:
        raise Mistake("zero", "no time at all makes no sense here", "Write more than zero, or remove the key.")
    return nanoseconds


def counted(least: int, most: int) -> Any:
    """A whole number from `least` to `most`."""
    return BeforeValidator(_count(least, most))


_TEXT = WithJsonSchema({"type": "string"})

Name: TypeAlias = Annotated[str, BeforeValidator(_name)]
RuleName: TypeAlias = Annotated[str, BeforeValidator(_rule_name)]
Word: TypeAlias = Annotated[str, BeforeValidator(_word)]
Words: TypeAlias = Annotated[tuple[Word, ...], BeforeValidator(_words)]
Size: TypeAlias = Annotated[int, BeforeValidator(_size), _TEXT]
"""In bytes."""
DurationNs: TypeAlias = Annotated[int, BeforeValidator(_duration), _TEXT]
"""In nanoseconds."""
