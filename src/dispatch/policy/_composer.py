"""YAML to nodes with their spots: a safe loader of our own.

What YAML would guess, link or overwrite is an error here. Only PyYAML's events are used, never its resolver.
"""

from __future__ import annotations

from typing import TypeGuard, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from dispatch.errors import Problem
from dispatch.policy._node import Broken, Listing, Mapping, Node, Spot, Text, excerpt

_DEEPEST = 40
"""Levels of nesting: a policy needs six, and a conjunction of conjunctions a few more."""


class _Hopeless(Exception):
    """Nothing after this place can be read."""


def compose(source: str, name: str) -> tuple[Node | None, list[Problem]]:
    """The one document in `source`, and every mistake in how it is written. Raises nothing."""
    composer = _Composer(source, name)
    return composer.document(), composer.problems


class _Composer:
    def __init__(self, source: str, name: str) -> None:
        self._source = source
        self._name = name
        self._events = yaml.parse(source, Loader=yaml.SafeLoader)
        self._reached: yaml.Mark | None = None
        self.problems: list[Problem] = []

    def document(self) -> Node | None:
        try:
            return self._document()
        except _Hopeless:
            return None
        except ReaderError as error:
            self._refuse_character(error)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._report_syntax(mark, error.problem or error.context or "it cannot be read")
        except (yaml.YAMLError, ValueError, OverflowError):
            # PyYAML converts escapes and the numbers of directives without looking whether they can be converted.
            self._report_syntax(self._reached, "a number in an escape or a directive is out of range")
        return None

    # ---- the document

    def _document(self) -> Node | None:
        self._next()  # the stream's start
        if isinstance(self._next(), StreamEndEvent):
            self._report_empty()
            return None
        root = self._node(self._next(), 0)
        self._next()  # the document's end
        following = self._next()
        if isinstance(following, DocumentStartEvent):
            self._report(
                following, "several-documents", "a second document begins here", "Keep one document in a file."
            )
        if isinstance(root, Text) and not root.value:
            self._report_empty()
            return None
        return root

    def _node(self, event: Event, depth: int) -> Node:
        if depth > _DEEPEST:
            self._report(event, "too-deep", f"more than {_DEEPEST} levels of nesting", "Nest less deeply.")
            raise _Hopeless
        if isinstance(event, AliasEvent):
            self._report(event, "alias", f"*{event.anchor} is an alias", "Write the value out where it is needed.")
            return Broken(self._spot(event))
        self._look_at_marks(event)
        if isinstance(event, ScalarEvent):
            return Text(self._spot(event), event.value)
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, depth)
        return self._listing(event, depth)

    def _listing(self, start: Event, depth: int) -> Listing:
        items: list[Node] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Listing(self._spot(start, event), items)

    def _mapping(self, start: Event, depth: int) -> Mapping:
        entries: dict[str, tuple[Spot, Node]] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(self._next(), depth + 1)
            if self._is_good_key(key, event, entries):
                entries[key.value] = (key.spot, value)
        return Mapping(self._spot(start, event), entries)

    def _is_good_key(self, key: Node, event: Event, entries: dict[str, tuple[Spot, Node]]) -> TypeGuard[Text]:
        if isinstance(key, Broken):
            return False
        if not isinstance(key, Text):
            wrong = ("bad-key", f"a key is text, and this is {key.shape}", "Write a name, then a colon.")
        elif key.value == "<<" and isinstance(event, ScalarEvent) and event.style is None:
            wrong = ("merge-key", "`<<` would merge another mapping", "Write the keys out.")
        elif key.value in entries:
            line = entries[key.value][0].line
            wrong = ("duplicate-key", f"`{_shown(key.value)}` stands already in line {line}", "Keep one of the two.")
        else:
            return True
        self.problems.append(key.spot.problem(*wrong))
        return False

    def _look_at_marks(self, event: Event) -> None:
        if not isinstance(event, NodeEvent):
            return
        if event.anchor is not None:
            self._report(event, "anchor", f"&{event.anchor} is an anchor", "Remove it; nothing may refer to it.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._report(event, "tag", "a tag would choose the type", "Remove it; types follow from the keys.")

    # ---- events and their spots

    def _next(self) -> Event:
        event = next(self._events)
        self._reached = cast("yaml.Mark", event.end_mark)
        return event

    def _spot(self, event: Event, last: Event | None = None) -> Spot:
        start, end = cast("yaml.Mark", event.start_mark), cast("yaml.Mark", (last or event).end_mark)
        return self._at(start.line, start.column, excerpt(self._source, start.index, end.index))

    def _at(self, line: int, column: int, text: str) -> Spot:
        return Spot(self._name, line + 1, column + 1, text)

    # ---- mistakes

    def _report(self, event: Event, code: str, message: str, cure: str) -> None:
        self.problems.append(self._spot(event).problem(code, message, cure))

    def _report_empty(self) -> None:
        self.problems.append(
            self._at(0, 0, "").problem(
                "empty-file", "there is nothing in this policy", "Start with a ready one; `default` is explained."
            )
        )

    def _report_syntax(self, mark: yaml.Mark | None, what: str) -> None:
        index, line, column = (mark.index, mark.line, mark.column) if mark else (0, 0, 0)
        spot = self._at(line, column, excerpt(self._source, index, index))
        self.problems.append(
            spot.problem("syntax", f"this is not YAML: {what}", "Look at indentation, colons and quotes around here.")
        )

    def _refuse_character(self, error: ReaderError) -> None:
        before = self._source[: error.position]
        line = before.count("\n")
        column = error.position - (before.rfind("\n") + 1)
        self.problems.append(
            self._at(line, column, f"U+{ord(self._source[error.position]):04X}").problem(
                "bad-character",
                f"the character U+{ord(self._source[error.position]):04X} may not stand in a policy",
                "Remove it; YAML allows printable characters only.",
            )
        )


def _shown(text: str) -> str:
    """Text that may hold anything, fit for one line of a message."""
    return text if text.isprintable() else ascii(text)[1:-1]
