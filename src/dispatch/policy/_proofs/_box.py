"""Sets of calls: for each fact what it may be, all of them together."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from dispatch.policy._proofs._glob import Glob

EVERY = -1
"""All bits: whatever the value."""

_NONE: frozenset[Glob] = frozenset()
_NO_TAGS: frozenset[str] = frozenset()


class Box(msgspec.Struct, frozen=True):
    """The calls whose every fact is as it says. Values are bits, as `Axes` numbers them; names and tags are words."""

    kinds: int = EVERY
    durabilities: int = EVERY
    budgets: int = EVERY
    sizes: int = EVERY
    tags: frozenset[str] = _NO_TAGS
    lacks: frozenset[str] = _NO_TAGS
    """Tags that it must not have."""
    like: frozenset[Glob] = _NONE
    unlike: frozenset[Glob] = _NONE


_NUMBERED = ("kinds", "durabilities", "budgets", "sizes")


def meet(one: Box, other: Box) -> Box | None:
    """The calls in both; `None` when there are surely none. Whether a name is left is not asked here."""
    met = Box(
        one.kinds & other.kinds,
        one.durabilities & other.durabilities,
        one.budgets & other.budgets,
        one.sizes & other.sizes,
        one.tags | other.tags,
        one.lacks | other.lacks,
        one.like | other.like,
        one.unlike | other.unlike,
    )
    if not (met.kinds and met.durabilities and met.budgets and met.sizes):
        return None
    if not met.tags.isdisjoint(met.lacks) or not met.like.isdisjoint(met.unlike):
        return None
    heads = [glob.head for glob in met.like]
    longest = max(heads, key=len, default="")
    return met if all(longest.startswith(head) for head in heads) else None


def without(box: Box, taken: Box, whole: Box) -> Iterator[Box]:
    """`box` less `taken`, in pieces that do not overlap; `whole` says which bits there are."""
    left: Box | None = box
    for is_in, is_out in _halves(taken, whole):
        if left is None:
            return
        piece = meet(left, is_out)
        if piece is not None:
            yield piece
        left = meet(left, is_in)


def _halves(taken: Box, whole: Box) -> Iterator[tuple[Box, Box]]:
    """Each thing that `taken` asks, and its opposite."""
    for name in _NUMBERED:
        bits, every = getattr(taken, name), getattr(whole, name)
        if bits & every != every:
            yield _WITH[name](bits), _WITH[name](every & ~bits)
    for tag in sorted(taken.tags):
        yield Box(tags=frozenset({tag})), Box(lacks=frozenset({tag}))
    for tag in sorted(taken.lacks):
        yield Box(lacks=frozenset({tag})), Box(tags=frozenset({tag}))
    for glob in sorted(taken.like, key=_text):
        yield Box(like=frozenset({glob})), Box(unlike=frozenset({glob}))
    for glob in sorted(taken.unlike, key=_text):
        yield Box(unlike=frozenset({glob})), Box(like=frozenset({glob}))


_ANY = Box()
_WITH = {name: (lambda bits, name=name: replace(_ANY, **{name: bits})) for name in _NUMBERED}


def _text(glob: Glob) -> str:
    return glob.text
