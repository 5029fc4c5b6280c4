"""What an examination finds: something to mend, with its cure, or something that is well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

Severity: TypeAlias = Literal["error", "warning", "note"]
"""Calls fail or may be lost; they will some day, or are slow; good to know, and fine where it is meant."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to mend. `docs/doctor.md` has a heading for each code, with its cause and its cure."""

    code: str
    severity: Severity
    about: str
    """What it was found at: `broker`, `queue shop`, `worker celery@host`, `spool disk`. Never an address's password."""
    fact: str
    cure: str
    hints: tuple[str, ...] = ()
    """Lines to paste: of a shell, a configuration file, a policy or a program."""


class Fact(msgspec.Struct, frozen=True):
    """What was seen and is well."""

    about: str
    said: str


Seen: TypeAlias = Finding | Fact


def error(code: str, about: str, fact: str, cure: str, *hints: str) -> Finding:
    return Finding(code=code, severity="error", about=about, fact=fact, cure=cure, hints=hints)


def warning(code: str, about: str, fact: str, cure: str, *hints: str) -> Finding:
    return Finding(code=code, severity="warning", about=about, fact=fact, cure=cure, hints=hints)


def note(code: str, about: str, fact: str, cure: str, *hints: str) -> Finding:
    return Finding(code=code, severity="note", about=about, fact=fact, cure=cure, hints=hints)


def guarded(about: str, check: Callable[[], Iterable[Seen]]) -> Iterator[Seen]:
    """What `check` sees; one that fails is a finding itself, and costs the others nothing."""
    try:
        yield from check()
    except Exception as raised:  # noqa: BLE001 - whatever it is
        yield unmade(about, raised)


def unmade(about: str, raised: Exception) -> Finding:
    return warning(
        "check-failed",
        about,
        f"it could not be looked at: {str(raised) or type(raised).__name__} ({type(raised).__name__})",
        "Where a broker forbids the question, nothing is wrong. Else see whether it is there, and what its log says.",
    )
