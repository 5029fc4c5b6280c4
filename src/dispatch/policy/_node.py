"""What a policy file holds, each piece with its spot: text, mappings and lists, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import msgspec

from dispatch.errors import Problem

_LONGEST_EXCERPT = 100


class Spot(msgspec.Struct, frozen=True):
    """Where a piece stands, and what it says there."""

    file: str
    line: int
    """From 1, as is `column`."""
    column: int
    text: str
    """The first line of the piece as it stands in the file; the whole line where the piece itself is empty."""

    def problem(self, code: str, message: str, cure: str) -> Problem:
        return Problem(
            file=self.file,
            line=self.line,
            column=self.column,
            code=code,
            text=self.text,
            message=message,
            cure=cure,
        )


class Text(msgspec.Struct, frozen=True):
    """A scalar, as it was written: nothing has guessed at a type."""

    shape: ClassVar[str] = "text"
    spot: Spot
    value: str


class Broken(msgspec.Struct, frozen=True):
    """Something that was already reported and cannot be read; nobody should complain about it twice."""

    shape: ClassVar[str] = "nothing"
    spot: Spot


class Listing(msgspec.Struct, frozen=True):
    shape: ClassVar[str] = "a list"
    spot: Spot
    items: list[Node] = msgspec.field(default_factory=list)


class Mapping(msgspec.Struct, frozen=True):
    shape: ClassVar[str] = "a mapping"
    spot: Spot
    entries: dict[str, tuple[Spot, Node]] = msgspec.field(default_factory=dict)
    """Key to the key's spot and the value, in the order of the file."""

    def get(self, key: str) -> Node | None:
        found = self.entries.get(key)
        return None if found is None else found[1]

    def items(self) -> Iterator[tuple[str, Spot, Node]]:
        for key, (spot, node) in self.entries.items():
            yield key, spot, node


Node: TypeAlias = Text | Listing | Mapping | Broken


def plain(node: Node) -> object:
    """The same as Python's own `str`, `list` and `dict`; what is broken is left as it is."""
    if isinstance(node, Text):
        return node.value
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    if isinstance(node, Mapping):
        return {key: plain(value) for key, _, value in node.items()}
    return node


def excerpt(source: str, start: int, end: int) -> str:
    """The first line of `source[start:end]`, or, where there is nothing, the line around it; never very long."""
    first = source[start:end].strip().split("\n", 1)[0].strip()
    if not first:
        begin = source.rfind("\n", 0, start) + 1
        stop = source.find("\n", start)
        first = source[begin : stop if stop >= 0 else None].strip()
    return first if len(first) <= _LONGEST_EXCERPT else first[: _LONGEST_EXCERPT - 1] + "…"
