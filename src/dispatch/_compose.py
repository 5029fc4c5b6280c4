"""The composition root: settings and a policy become destinations. Here alone Celery's room is entered, and late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from dispatch._celery_side import CelerySide
from dispatch._dead_letter import DeadLetters
from dispatch._log import logger
from dispatch.policy import CelerySettings, LocalSettings, Policy, SpoolSettings, load
from dispatch.settings import Settings
from dispatch.transports import Destination, Unconfigured
from dispatch.transports.local import LocalDestination

if TYPE_CHECKING:
    from dispatch.transports.celery import AppSource

_A_NAME = "a name for its file: set DISPATCH_APPLICATION"

PolicySource: TypeAlias = str | Path | Sequence[str | Path] | Policy
"""The name of a ready policy, a path, several of them, or a policy already loaded."""


def policy_in_force(settings: Settings, policy: PolicySource | None, *, broker: bool) -> Policy:
    """What `configure` was given, else `DISPATCH_POLICY`, else the ready policy that suits; said once in the log."""
    if isinstance(policy, Policy):
        return policy
    sources = policy_sources(settings, policy, broker=broker)
    loaded = load(sources)
    logger("policy").info("policy in force", sources=[str(each) for each in sources], version=loaded.version)
    return loaded


def policy_sources(settings: Settings, policy: PolicySource | None, *, broker: bool) -> list[str | Path]:
    """What the policy in force is read from; nothing where it was given as one already loaded."""
    if isinstance(policy, Policy):
        return []
    if policy is not None:
        return [policy] if isinstance(policy, str | Path) else list(policy)
    if settings.policy is not None:
        return [part.strip() for part in settings.policy.split(",")]
    return ["default" if broker else "no-broker"]


def destinations(
    policy: Policy, celery: CelerySide, settings: Settings, living: Mapping[str, Destination] = MappingProxyType({})
) -> Mapping[str, Destination]:
    """The destinations that the policy names, each of its transport; of those that live, what they become by it.

    Until `enforce`, those that live notice nothing.
    """
    made: dict[str, Destination] = {}
    for name, said in policy.destinations.items():
        if isinstance(said, LocalSettings):
            made[name] = _local(name, said, living.get(name))
        elif isinstance(said, CelerySettings):
            made[name] = celery.destination(name, said, living.get(name))
    for name, said in policy.destinations.items():
        if isinstance(said, SpoolSettings):
            made[name] = _spool(name, said, made, celery, settings, living=living.get(name))
    return {name: made[name] for name in policy.destinations}


def enforce(made: Mapping[str, Destination], celery: CelerySide) -> None:
    """Have what they say hold for all that they share, and nothing that others said before. Never waits."""
    for each in made.values():
        each.enforce()
    celery.expect_only(made)


def has_local(made: Mapping[str, Destination]) -> bool:
    """Whether any of them is in this process."""
    return any(isinstance(each, LocalDestination) for each in made.values())


def press(made: Mapping[str, Destination], why: str | None) -> None:
    """Have those in this process be as if full, because of `why`; `None`: no more. Never waits."""
    for each in made.values():
        if isinstance(each, LocalDestination):
            each.press(why)


def begin(made: Mapping[str, Destination]) -> None:
    """Have what earlier processes left on disk handed on, where there is a spool. Never waits."""
    for each in made.values():
        if each.transport == "spool" and not isinstance(each, Unconfigured):
            from dispatch.transports.spool import SpoolDestination  # noqa: PLC0415 - see `_spool`

            if isinstance(each, SpoolDestination):
                each.begin()


def _local(name: str, said: LocalSettings, living: Destination | None) -> Destination:
    if isinstance(living, LocalDestination):
        return living.revised(said)
    if said.runner != "process":
        return LocalDestination(name, said)
    from dispatch.transports.local.process_destination import ProcessDestination  # noqa: PLC0415 - few programs need it

    return ProcessDestination(name, said)


def _spool(
    name: str,
    said: SpoolSettings,
    made: Mapping[str, Destination],
    celery: CelerySide,
    settings: Settings,
    *,
    living: Destination | None,
) -> Destination:
    """A spool before one of `made`; one that takes nothing where nobody would empty it, or it has no name."""
    behind = made[said.forward_to or said.run or ""]
    if settings.application is None:
        return Unconfigured(name, _A_NAME, transport="spool", runs_on=behind.transport)
    if isinstance(behind, Unconfigured):
        return Unconfigured(name, transport="spool", runs_on=behind.transport)
    from dispatch.spool import Spool  # noqa: PLC0415 - it opens SQLite, and most programs have no spool
    from dispatch.transports.spool import RunHere, SpoolDestination  # noqa: PLC0415 - as above

    if isinstance(living, SpoolDestination):
        return living.revised(said, behind)
    limit = {} if said.max_bytes is None else {"max_bytes": said.max_bytes}
    spool = Spool(settings.application, folder=settings.spool_dir, **limit)
    outlet = celery.outlet(behind) if said.run is None else RunHere(behind)
    return SpoolDestination(name, said, spool, outlet)


def recommended(app: Any) -> dict[str, Any]:
    """What a Celery app needs for durable calls, on the broker it has."""
    from dispatch.transports.celery import settings_for  # noqa: PLC0415 - see the module's first line

    return settings_for(app)


def dead_letters(settings: Settings, celery: CelerySide | None = None) -> list[DeadLetters]:
    """Every place where durable calls that failed for good are kept: this machine's disk, and the broker.

    Raises `NotConfigured` where there is neither, or a broker that keeps none.
    """
    places: list[DeadLetters] = []
    if settings.application is not None:
        from dispatch.spool import Spool  # noqa: PLC0415 - see `_spool`
        from dispatch.transports.spool import LettersInSpool  # noqa: PLC0415 - see `_spool`

        places.append(LettersInSpool(Spool(settings.application, folder=settings.spool_dir)))
    celery = celery or CelerySide(settings)
    if celery.configured or not places:
        from dispatch.transports.celery.dead import dead_letters as on_broker  # noqa: PLC0415 - see the module's first

        places.append(on_broker(celery.app()))
    return places


def hook_worker(source: Callable[[], AppSource], *, at_end: Callable[[], object]) -> None:
    """Should this process be a Celery worker: have its app resolved in time, and `at_end` called as it ends."""
    from dispatch.transports.celery import hook_worker as hook  # noqa: PLC0415 - see the module's first line

    hook(source, at_end=at_end)
