"""A look at everything that a policy leads to: the broker, its workers, the disk, the dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from dispatch import _compose
from dispatch._celery_side import CelerySide
from dispatch._clock import wall
from dispatch._dead_letter import DeadLetters
from dispatch._finding import Fact, Seen, error, guarded, warning
from dispatch._registry import TaskSpec
from dispatch._units import show_duration
from dispatch.errors import NotConfigured
from dispatch.policy import CelerySettings, Policy, SpoolSettings
from dispatch.settings import Settings
from dispatch.transports.spool.doctor import examine_spool

_LETTERS = 1000
"""Looked at, at the most, to say how many they are and how old."""


def checkup(
    policy: Policy,
    celery: CelerySide,
    settings: Settings,
    specs: Sequence[TaskSpec],
    *,
    seconds: float,
    probe: bool,
) -> Iterator[Seen]:
    """What is seen, as it is seen. Waits for nothing longer than `seconds`; sends a probe to each queue if it may."""
    queues = {name: said for name, said in policy.destinations.items() if isinstance(said, CelerySettings)}
    spools = {name: said for name, said in policy.destinations.items() if isinstance(said, SpoolSettings)}
    if queues and not celery.configured:
        yield _no_broker(policy, queues)
    elif celery.configured:
        yield from _broker(policy, celery, queues, specs, seconds=seconds, probe=probe)
    for name, said in spools.items():
        yield from guarded(f"spool {name}", partial(examine_spool, name, said, settings))
    if celery.configured or settings.application is not None:
        yield from guarded("dead letters", lambda: _dead(settings, celery))


def _broker(
    policy: Policy,
    celery: CelerySide,
    queues: dict[str, CelerySettings],
    specs: Sequence[TaskSpec],
    *,
    seconds: float,
    probe: bool,
) -> Iterator[Seen]:
    try:
        yield from celery.examine(queues, specs, durable=_durable(policy, specs), seconds=seconds, probe=probe)
    except NotConfigured as said:
        yield error(
            "no-app", "app", str(said), "Name the application's Celery app: DISPATCH_CELERY_APP=module:attribute."
        )


def _durable(policy: Policy, specs: Sequence[TaskSpec]) -> bool:
    said = [policy.defaults.durability, *(each.durability for each in policy.tasks.values())]
    return "durable" in [*said, *(spec.requirements.durability for spec in specs)]


def _no_broker(policy: Policy, queues: dict[str, CelerySettings]) -> Seen:
    make = error if _durable(policy, []) else warning
    return make(
        "no-broker",
        "policy",
        f"it names {', '.join(queues)}, and no broker is configured: these destinations take nothing",
        "Set DISPATCH_BROKER_URL, or DISPATCH_CELERY_APP; or use the ready policy `no-broker`.",
        "DISPATCH_BROKER_URL=redis://localhost:6379/0",
        "DISPATCH_POLICY=no-broker",
    )


def _dead(settings: Settings, celery: CelerySide) -> Iterator[Seen]:
    for place in _compose.dead_letters(settings, celery):
        try:
            yield _letters(place)
        finally:
            place.close()


def _letters(place: DeadLetters) -> Seen:
    found = list(islice(place.letters(), _LETTERS))
    if not found:
        return Fact("dead letters", f"none on {place.place}")
    tasks = sorted({each.task for each in found})
    oldest = show_duration(wall() - min(each.at_ms for each in found) * 10**6)
    return warning(
        "dead-letters",
        "dead letters",
        f"{len(found)}{'' if len(found) < _LETTERS else ' or more'} on {place.place}, the oldest {oldest} old, "
        f"of {', '.join(tasks[:3])}{'' if len(tasks) <= 3 else ' and others'}",
        "Each is a durable call that failed for good. Look why, then send it again or throw it away.",
        "dispatch dead ls",
    )
