"""Calls that the policy itself sends where nothing takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from dispatch._requirements import Durability
from dispatch._units import show_duration, show_size
from dispatch.errors import Problem
from dispatch.policy._facts import Facts
from dispatch.policy._proofs._box import Box, meet
from dispatch.policy._proofs._effort import Unsure
from dispatch.policy._proofs._subject import Subject

_REFUSES: dict[str, Durability] = {"local": "durable", "spool": "ephemeral"}
"""What a transport never takes: memory keeps nothing durable, and what is spooled may run twice."""

_CURE: dict[Durability, str] = {
    "durable": "Add a Celery destination or a spool under `fallback`, or send durable calls elsewhere by a rule before "
    "this one: `match: {durability: durable}`.",
    "ephemeral": "Add a local or a Celery destination, or send ephemeral calls elsewhere by a rule before this one.",
}


class _Source(msgspec.Struct, frozen=True):
    """Who says that calls have a durability, and which calls."""

    words: str
    boxes: Sequence[Box]


def refusals(subject: Subject) -> Iterator[Problem]:
    """Each rule that gets calls by the policy's own word which none of its candidates can ever take."""
    sources = {durability: _sources(subject, durability) for durability in _CURE}
    for at, rule in enumerate(subject.rules):
        refused = {_REFUSES.get(subject.file.destinations[name].transport) for name in rule.targets}
        limited = any(name in subject.limits for name in rule.targets)
        try:
            if (refused != {None} or limited) and _never_carried(subject, at):
                yield _nobody(subject, at)
                continue
        except Unsure:
            pass
        (durability, *others) = refused
        if durability is not None and not others:
            yield from _sent_in_vain(subject, at, durability, sources[durability])


def _never_carried(subject: Subject, at: int) -> bool:
    """Whether the rule gets calls, and takes none of them. Raises `Unsure`."""
    search, rule = subject.search, subject.rules[at]
    before = [*subject.laws, *subject.rules[:at]]
    boxes = search.region(rule)
    taken = [met for box in boxes for name in rule.targets if (met := meet(box, _taken_by(subject, name)))]
    return search.left_over(taken, before) is None and search.left_over(boxes, before) is not None


def _taken_by(subject: Subject, name: str) -> Box:
    """The calls that this destination may take, as far as the policy says."""
    axes = subject.search.regions.axes
    refused = _REFUSES.get(subject.file.destinations[name].transport)
    return Box(
        durabilities=axes.whole.durabilities & ~(0 if refused is None else axes.durability(refused)),
        sizes=axes.sizes_within(subject.limits.get(name)),
    )


def _nobody(subject: Subject, at: int) -> Problem:
    why = "; ".join(_why(subject, name) for name in subject.rules[at].targets)
    return subject.spot(at, "route_to").problem(
        "never-carried",
        f"every call that comes here is refused: {why}",
        "Name a destination that takes such calls, or change what comes here.",
    )


def _why(subject: Subject, name: str) -> str:
    transport = subject.file.destinations[name].transport
    words = []
    if transport in _REFUSES:
        words.append(f"takes nothing {_REFUSES[transport]}")
    if name in subject.limits:
        words.append(f"takes at most {show_size(subject.limits[name])}")
    return f"{name} ({transport}) {' and '.join(words)}"


# ---- a durability that the policy gives, or asks for, and then sends to where it is refused


def _sources(subject: Subject, durability: Durability) -> list[_Source]:
    """Whatever in the policy speaks of such calls, but the rules."""
    regions, file = subject.search.regions, subject.file
    bits = regions.axes.durability(durability)
    named = {
        word: [glob for glob, said in file.tasks.items() if said.durability == word]
        for word in ("durable", "ephemeral")
    }
    # The strongest word counts: where a pattern says durable, another one's `ephemeral` says nothing.
    weaker = frozenset() if durability == "durable" else frozenset(map(regions.glob, named["durable"]))
    found = [
        _Source(
            f"`tasks` makes calls of `{glob}` {durability}",
            [Box(durabilities=bits, like=frozenset({regions.glob(glob)}), unlike=weaker)],
        )
        for glob in named[durability]
    ]
    if file.defaults.durability == durability:
        said = frozenset(map(regions.glob, named["durable"] + named["ephemeral"]))
        found.append(_Source(f"`defaults` makes calls {durability}", [Box(durabilities=bits, unlike=said)]))
    return found


def _sent_in_vain(subject: Subject, at: int, durability: Durability, sources: Sequence[_Source]) -> Iterator[Problem]:
    """One such call, by whoever spoke of it first."""
    search = subject.search
    bits = search.regions.axes.durability(durability)
    before = [*subject.laws, *subject.rules[:at]]
    try:
        boxes = [met for box in search.region(subject.rules[at]) if (met := meet(box, Box(durabilities=bits)))]
    except Unsure:
        return
    for source in (*sources, *_asked_for(subject, at, durability)):
        spoken_of = [both for box in boxes for other in source.boxes if (both := meet(box, other))]
        try:
            call = search.left_over(spoken_of, before) if spoken_of else None
        except Unsure:
            continue
        if call is not None:
            yield _in_vain(subject, at, durability, source.words, call)
            return


def _asked_for(subject: Subject, at: int, durability: Durability) -> Iterator[_Source]:
    """The later rules that are for such calls alone, and would take them."""
    axes = subject.search.regions.axes
    bits, whole = axes.durability(durability), axes.whole.durabilities
    for later, rule in enumerate(subject.rules[at + 1 : -1], at + 1):
        try:
            boxes = subject.search.region(rule)
            others = [met for box in boxes if (met := meet(box, Box(durabilities=whole & ~bits)))]
            alone = not others or subject.search.left_over(others, []) is None
        except Unsure:
            continue
        if alone:
            line = subject.spot(later, "name").line
            yield _Source(f"`{rule.name}` (line {line}), which is for {durability} calls, comes later", boxes)


def _in_vain(subject: Subject, at: int, durability: Durability, source: str, call: Facts) -> Problem:
    targets = subject.rules[at].targets
    those = f"{targets[0]} takes" if len(targets) == 1 else f"{', '.join(targets[:-1])} and {targets[-1]} take"
    return subject.spot(at, "route_to").problem(
        f"no-{durability}-candidate",
        f"{those} nothing {durability}, and {durability} calls come here, such as one of {_told(call)}: {source}",
        _CURE[durability],
    )


def _told(call: Facts) -> str:
    """Enough of a call to see that it comes here."""
    words = [f"task {call.task!a}", f"kind {call.kind}"]
    words += [f"tags {', '.join(sorted(call.tags))}"] if call.tags else []
    if call.latency_budget_ns is not None:
        words.append(f"latency budget {show_duration(call.latency_budget_ns)}")
    return ", ".join(words)
