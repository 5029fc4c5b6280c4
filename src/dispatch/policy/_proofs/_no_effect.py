"""What a policy says in vain: keys that change nothing, and destinations that nothing reaches."""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.errors import Problem
from dispatch.policy._destinations import SECOND, CelerySettings, LocalSettings, SpoolSettings
from dispatch.policy._proofs._effort import Unsure
from dispatch.policy._proofs._subject import Subject


def no_effect(subject: Subject) -> Iterator[Problem]:
    """Every key of a destination or of `tasks` that changes nothing, and every destination that nothing reaches."""
    yield from _idle_keys(subject)
    yield from _idle_patterns(subject)
    yield from _unreached(subject)


def _idle_keys(subject: Subject) -> Iterator[Problem]:
    # A default that is written out, as `dispatch check --show` does, harms nobody.
    for name, said in subject.file.destinations.items():
        if isinstance(said, LocalSettings) and said.on_full != "block" and said.block_timeout_ns != SECOND:
            yield subject.key("destinations", name, "block_timeout").problem(
                "no-effect",
                f"`block_timeout` says something only with `on_full: block`, and this is `on_full: {said.on_full}`",
                "Remove it, or write `on_full: block`.",
            )
        if isinstance(said, CelerySettings) and said.durability == "asserted" and said.require is not None:
            yield subject.key("destinations", name, "require").problem(
                "no-effect",
                "`require` asks the broker, and with `durability: asserted` nobody asks it",
                "Remove it, or write `durability: verified`.",
            )


def _idle_patterns(subject: Subject) -> Iterator[Problem]:
    """For the budget the first pattern counts, and for durability the strongest word."""
    tasks = subject.file.tasks
    durable = [glob for glob, said in tasks.items() if said.durability == "durable"]
    hurried: list[str] = []
    for glob, said in tasks.items():
        if not said.model_fields_set:
            yield subject.key("tasks", glob).problem(
                "no-effect", "this says nothing about its tasks", "Give it a `durability` or a `latency_budget`."
            )
        if said.latency_budget_ns is not None:
            if (covering := _covering(subject, glob, hurried)) is not None:
                yield subject.key("tasks", glob, "latency_budget").problem(
                    "no-effect",
                    f"this budget never counts: {covering} stands before it, and the first budget counts",
                    "Put the narrower pattern first, or remove this.",
                )
            hurried.append(glob)
        if said.durability == "ephemeral" and (covering := _covering(subject, glob, durable)) is not None:
            yield subject.key("tasks", glob, "durability").problem(
                "no-effect",
                f"`ephemeral` never counts here: {covering} makes these tasks durable, and the strongest word holds",
                "Remove it, or narrow the pattern that says `durable`.",
            )


def _covering(subject: Subject, glob: str, others: list[str]) -> str | None:
    """Those of `others` that match every name that `glob` matches, in words; `None` when a name is left."""
    try:
        covering = subject.search.covering(glob, others)
    except Unsure:
        return None
    return " and ".join(f"`{each}`" for each in covering) if covering is not None else None


def _unreached(subject: Subject) -> Iterator[Problem]:
    destinations = subject.file.destinations
    named = {name for rule in subject.rules for name in rule.targets}
    named |= {
        name
        for said in destinations.values()
        if isinstance(said, SpoolSettings)
        for name in (said.forward_to, said.run)
        if name is not None
    }
    for name, said in destinations.items():
        if name not in named and said.reached_by != "pins":
            yield subject.key("destinations", name).problem(
                "unreached-destination",
                f"no rule names {name!a}, and no spool hands calls on to it",
                "Name it in a rule or under `otherwise`, or remove it. If calls name it themselves with `route_to=`, "
                "write `reached_by: pins`.",
            )
