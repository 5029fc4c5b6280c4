"""Globs on task names, as automata: exactly what `fnmatchcase` matches with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from fnmatch import translate
from itertools import pairwise

from dispatch.policy._proofs._effort import Effort

_STAR = "*"
_ONE = "?"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"
_SURROGATES = range(0xD800, 0xE000)


class Glob:
    """One glob. A state of it is a set of positions between its pieces, kept as the bits of a number."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._pattern = re.compile(translate(text))
        self._pieces = tuple(_pieces(text))
        self._sets = {piece: re.compile(translate(piece)) for piece in self._pieces if len(piece) > 1}
        self._end = len(self._pieces)
        self._reached = self._skips()
        self._steps: dict[tuple[int, str], int] = {}
        self.start = self._reached[0]
        wild = next((at for at, piece in enumerate(self._pieces) if _is_wild(piece)), None)
        self.is_literal = wild is None
        self.head = "".join(_unquoted(piece) for piece in self._pieces[:wild])
        """What every name that it matches begins with."""

    def matches(self, name: str) -> bool:
        return self._pattern.match(name) is not None

    def step(self, state: int, letter: str) -> int:
        """The state after one letter more; 0: nothing can match any more."""
        known = self._steps.get((state, letter))
        if known is None:
            known = 0
            for at in _positions(state):
                if at < self._end and self._pieces[at] == _STAR:
                    known |= self._reached[at]  # and the star may end here
                elif at < self._end and self._takes(self._pieces[at], letter):
                    known |= self._reached[at + 1]
            self._steps[state, letter] = known
        return known

    def accepts(self, state: int) -> bool:
        return bool(state >> self._end & 1)

    def accepts_all_after(self, state: int) -> bool:
        """Whether it also matches whatever may follow."""
        return any(at < self._end and set(self._pieces[at:]) == {_STAR} for at in _positions(state))

    def next_letters(self, state: int) -> set[str] | None:
        """The only letters that lead on; `None`: there may be others."""
        letters = set()
        for at in _positions(state):
            if at < self._end:
                if _is_wild(self._pieces[at]):
                    return None
                letters.add(_unquoted(self._pieces[at]))
        return letters

    @property
    def mentioned(self) -> set[str]:
        """The letters at which its answers may change."""
        return {letter for piece in self._pieces if piece not in (_STAR, _ONE) for letter in piece}

    def example(self, filler: str) -> str:
        """A name that it probably matches, with `filler` for every star."""
        return "".join(filler if piece == _STAR else self._one_of(piece) for piece in self._pieces)

    def _one_of(self, piece: str) -> str:
        if not _is_wild(piece):
            return _unquoted(piece)
        return next((letter for letter in (*_LETTERS, *piece) if self._takes(piece, letter)), "x")

    def _takes(self, piece: str, letter: str) -> bool:
        if piece == _ONE:
            return True
        return self._sets[piece].match(letter) is not None if len(piece) > 1 else piece == letter

    def _skips(self) -> list[int]:
        """Of each position those that are reached from it with no letter: a star may stand for nothing."""
        reached = [0] * self._end + [1 << self._end]
        for at in reversed(range(self._end)):
            reached[at] = 1 << at | (reached[at + 1] if self._pieces[at] == _STAR else 0)
        return reached


def find_name(like: Collection[Glob], unlike: Collection[Glob], effort: Effort) -> str | None:
    """A name that all of `like` match and none of `unlike`; `None` when there is none. Raises `Unsure`."""
    if not set(like).isdisjoint(unlike):
        return None
    for name in _guesses(like):
        effort.spend(1 + len(like) + len(unlike))
        if name and all(glob.matches(name) for glob in like) and not any(glob.matches(name) for glob in unlike):
            return name
    if any(glob.is_literal for glob in like):
        return None  # it was guessed, and it is the only one
    return _searched([*like], [*unlike], effort)


def _guesses(like: Collection[Glob]) -> Iterator[str]:
    if not like:
        yield from ("shop.task", "x")
    for glob in like:
        yield from (glob.example(filler) for filler in ("x", "", "x.x"))


def _searched(like: list[Glob], unlike: list[Glob], effort: Effort) -> str | None:
    """The shortest such name, by walking all the automata at once."""
    letters = _representatives({letter for glob in (*like, *unlike) for letter in glob.mentioned})
    wanted = len(like)
    globs = like + unlike
    layer = {tuple(glob.start for glob in globs): ""}
    seen = set(layer)
    while layer:
        following: dict[tuple[int, ...], str] = {}
        for states, name in layer.items():
            for letter in _leading_on(like, states, letters):
                effort.spend(len(globs))
                after = tuple(glob.step(state, letter) for glob, state in zip(globs, states, strict=True))
                if after in seen or not all(after[:wanted]):
                    continue
                seen.add(after)
                pairs = list(zip(globs, after, strict=True))
                if any(glob.accepts_all_after(state) for glob, state in pairs[wanted:]):
                    continue
                if all(glob.accepts(state) == (at < wanted) for at, (glob, state) in enumerate(pairs)):
                    return name + letter
                following[after] = name + letter
        layer = following
    return None


def _leading_on(like: list[Glob], states: tuple[int, ...], letters: list[str]) -> Collection[str]:
    for glob, state in zip(like, states, strict=False):
        only = glob.next_letters(state)
        if only is not None:
            return only
    return letters


def _representatives(mentioned: set[str]) -> list[str]:
    """One letter for each class of letters that no glob tells apart."""
    edges = sorted({0, 0x110000, *map(ord, mentioned), *(ord(letter) + 1 for letter in mentioned)})
    found = []
    for begin, end in pairwise(edges):
        nice = next((letter for letter in _LETTERS if begin <= ord(letter) < end), None)
        first = _SURROGATES.stop if begin in _SURROGATES else begin
        if nice is not None or first < end:
            found.append(nice or chr(first))
    return found


def _pieces(text: str) -> Iterator[str]:
    """The glob cut as `fnmatch` cuts it: stars, question marks, sets, and letters."""
    at = 0
    while at < len(text):
        end = at + 1
        if text[at] == "[":
            end = _end_of_set(text, at)
        piece = text[at:end]
        yield f"[{piece}]" if piece == "[" else piece
        at = end


def _end_of_set(text: str, at: int) -> int:
    """Behind the bracket that closes the set; a bracket that nothing closes is a letter."""
    inner = at + 1
    inner += text[inner : inner + 1] == "!"
    inner += text[inner : inner + 1] == "]"
    close = text.find("]", inner)
    return at + 1 if close < 0 else close + 1


def _is_wild(piece: str) -> bool:
    return piece in (_STAR, _ONE) or (len(piece) > 1 and piece != "[[]")


def _unquoted(piece: str) -> str:
    return "[" if piece == "[[]" else piece


def _positions(state: int) -> Iterator[int]:
    while state:
        low = state & -state
        yield low.bit_length() - 1
        state ^= low
