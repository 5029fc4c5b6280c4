"""All calls of a directory in numbers, read line by line: memory for the ways that calls go, not for the calls."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from dispatch.telemetry._reading.account import Account
from dispatch.telemetry._reading.costs import Costs, Group
from dispatch.telemetry._reading.excerpt import Route, excerpts
from dispatch.telemetry._reading.files import Files
from dispatch.telemetry._reading.starts import Starts, StartsRow, summed
from dispatch.telemetry._reading.wanted import Wanted

Key: TypeAlias = Literal["destination", "transport", "task", "rule"]


class Statistics:
    """What `statistics` has found."""

    def __init__(self, groups: dict[Route, Group], *, files: Files, strangers: int) -> None:
        self._groups = groups
        self.files = len(files.paths)
        self.damaged = files.damaged
        """Lines that could not be read, and were left out: torn, foreign, or no text at all."""
        self.first_damage = files.first_damage
        """The first of them: file, line and what is wrong."""
        self.strangers = strangers
        """Runs of calls that are not in the files; they have no part in the numbers."""

    @property
    def calls(self) -> int:
        return sum(group.starts.calls for group in self._groups.values())

    def by(self, *keys: Key) -> list[Costs]:
        """One row for each way that calls went, as far as `keys` tell ways apart; the busiest first."""
        rows: dict[tuple[str | None, ...], Group] = {}
        for route, group in self._groups.items():
            rows.setdefault(tuple(getattr(route, key) for key in keys), Group()).merge(group)
        told = [group.costs(dict(zip(keys, names, strict=True))) for names, group in rows.items()]
        return sorted(told, key=lambda each: -each.calls)

    def starts(self) -> list[Starts]:
        """One row for each destination, the busiest first."""
        rows: dict[tuple[str | None, str | None], StartsRow] = {}
        for route, group in self._groups.items():
            rows.setdefault((route.destination, route.transport), StartsRow()).merge(group.starts)
        return summed(rows)

    def overhead(self, transport: str) -> list[tuple[float, int]]:
        """How what callers paid is spread: microseconds, and how many calls paid about that much, in their order."""
        whole = Group()
        for route, group in self._groups.items():
            if route.transport == transport:
                whole.merge(group)
        return list(whole.overhead.buckets())


def statistics(place: str | Path, wanted: Wanted | None = None) -> Statistics:
    """Sum up the calls in the directory `place`, or the file `place`. What is damaged is counted, not raised.

    `wanted.slower_ns` is not asked. A million calls take half a minute. What stands in two files counts twice.
    """
    files, account = Files(place), Account(wanted or Wanted())
    for excerpt in files.read(excerpts):
        account.add(excerpt)
    account.close()
    return Statistics(account.groups, files=files, strangers=account.strangers)
