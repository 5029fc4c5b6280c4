"""The values of a policy: names, words, counts, sizes and durations, each typed from text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec
from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from dispatch._units import duration_ns as nanoseconds_in
from dispatch._units import size as bytes_in
from dispatch.policy._mistake import Mistake

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_COUNT = re.compile(r"[0-9]{1,9}")
_LONGEST_NS = 3650 * 24 * 3600 * 10**9

SIZE_FORM = r"[0-9]+(\.[0-9]+)? ?([KMGTPEkmgtpe][Ii]?)?[Bb]"
DURATION_FORM = r"([0-9]+(\.[0-9]+)?(ns|us|µs|μs|ms|s|m|h|d|w))+"
"""What editors are told of sizes and durations; the parsers know more."""
ABOVE_ZERO = r"(?=[0-9. ]*[1-9])"

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


class _Counted(msgspec.Struct, frozen=True):
    """Reads a count, and tells editors which it takes."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(_count(self.least, self.most), handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        pattern = f"^{_COUNT.pattern}$"
        return {"type": ["integer", "string"], "minimum": self.least, "maximum": self.most, "pattern": pattern}


def counted(least: int, most: int) -> Any:
    """A whole number from `least` to `most`."""
    return _Counted(least, most)


def form(pattern: str, *examples: str) -> WithJsonSchema:
    """What editors are told of a text of which all has to match `pattern`."""
    shown = {"examples": list(examples)} if examples else {}
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **shown})


_WORD = {"type": ["string", "number", "boolean"], "minLength": 1}
"""Scalars are read as text; an editor takes `0x10` and `on` for something else, and both are good."""

Name: TypeAlias = Annotated[str, BeforeValidator(_name), form(_NAME.pattern)]
RuleName: TypeAlias = Annotated[str, BeforeValidator(_rule_name), form(f"(?!otherwise$){_NAME.pattern}")]
Word: TypeAlias = Annotated[str, BeforeValidator(_word), WithJsonSchema(_WORD)]
Words: TypeAlias = Annotated[
    tuple[Word, ...],
    BeforeValidator(_words),
    WithJsonSchema({"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}]}),
]
Size: TypeAlias = Annotated[int, BeforeValidator(_size), form(ABOVE_ZERO + SIZE_FORM, "512B", "64KiB", "1MiB")]
"""In bytes."""
DurationNs: TypeAlias = Annotated[
    int, BeforeValidator(_duration), form(ABOVE_ZERO + DURATION_FORM, "250ms", "2s", "1m30s")
]
"""In nanoseconds."""
