"""The composition root: settings and a policy become destinations. Here alone Celery's room is entered, and late."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pydantic import SecretStr

from dispatch._dead_letter import DeadLetters
from dispatch._log import logger
from dispatch._turn import Turn
from dispatch.errors import NotConfigured
from dispatch.policy import CelerySettings, LocalSettings, Policy, SpoolSettings, load
from dispatch.settings import Settings
from dispatch.transports import Destination, Outlet, Unconfigured
from dispatch.transports.local import LocalDestination

if TYPE_CHECKING:
    from dispatch.transports.celery import AppSource, Broker, Results

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


_opening = Turn()


class _Room(NamedTuple):
    """What one dispatcher uses of the Celery room."""

    source: AppSource
    broker: Broker
    results: Results


class CelerySide:
    """The Celery half of a dispatcher. Its room, and with it Celery, is imported when something needs it."""

    def __init__(self, settings: Settings, given: Any = None) -> None:
        """`given` is an app or `"module:attribute"`; without it the settings say, or nobody does."""
        self._settings = settings
        self._given = given
        self._room: _Room | None = None
        self._used = False
        self.configured = not (given is None and settings.celery_app is None and settings.broker_url is None)
        if given is not None and not isinstance(given, str):
            self._open()  # an app in hand: the tasks declared so far are registered with it now

    @property
    def source(self) -> AppSource:
        """Who knows the app."""
        return self._open().source

    @property
    def known(self) -> Any:
        """The app, if it is known already; resolves nothing."""
        return None if self._room is None else self._room.source.known

    def app(self) -> Any:
        """The app. Raises `NotConfigured`, naming the settings, where nobody named one."""
        app = self._open().source() if self.configured else None
        if app is None:
            raise NotConfigured("there is no Celery app: set DISPATCH_BROKER_URL, or dispatch.configure(celery=app)")
        return app

    def task(self, name: str) -> Any:
        """The Celery task that a dispatch task is registered as."""
        return self.app().tasks[name]

    def destination(self, name: str, settings: CelerySettings, living: Destination | None = None) -> Destination:
        """A queue of the app's broker; one that takes nothing where no app was named."""
        if not self.configured:
            return Unconfigured(name)
        from dispatch.transports.celery import CeleryDestination  # noqa: PLC0415 - see the module's first line

        self._used = True
        if isinstance(living, CeleryDestination):
            return living.revised(settings)
        return CeleryDestination(name, settings, self._open().broker)

    def expect_only(self, destinations: Container[str]) -> None:
        """What destinations that are no more have said to the broker holds no longer."""
        if self._room is not None:
            self._room.broker.expect_only(destinations)

    def outlet(self, destination: Destination) -> Outlet:
        """What a spool before one of its destinations hands its calls to."""
        from dispatch.transports.celery import CeleryDestination, CeleryOutlet  # noqa: PLC0415 - as above

        assert isinstance(destination, CeleryDestination)  # noqa: S101 - the policy was checked
        return CeleryOutlet(destination)

    def warm(self) -> None:
        """Have a connection opened in the background, if the policy has any use for one. Never waits, never raises.

        Not while the app is but a name: its module may be importing this very line.
        """
        room = self._open() if self._used else None
        if room is not None and (room.source.known is not None or not self._is_name):
            room.broker.warm()

    def close(self, grace: float) -> None:
        """Send what waits and end what speaks to the broker and its results, within `grace` seconds. Twice is once."""
        if self._room is not None:
            self._room.broker.close(grace)
            self._room.results.close()

    def _open(self) -> _Room:
        with _opening.lock:
            if self._room is None:
                from dispatch.transports import celery as room  # noqa: PLC0415 - see the module's first line

                store = room.Store(_revealed(self._settings.result_backend))
                keys = self._settings.signing_keys
                signer = room.Signer(keys, self._settings.signing_window_ns) if keys else None
                source = room.AppSource(self._named(room.build_app), store=store, setting=self._setting, signer=signer)
                results = room.Results(source, store)
                self._room = _Room(source, room.Broker(source, results=results), results)
            return self._room

    def _named(self, build: Callable[[str, str | None], Any]) -> Any:
        settings = self._settings
        if self._given is not None or settings.celery_app is not None:
            return self._given if self._given is not None else settings.celery_app
        url = _revealed(settings.broker_url)
        return None if url is None else lambda: build(url, _revealed(settings.result_backend))

    @property
    def _is_name(self) -> bool:
        return isinstance(self._settings.celery_app if self._given is None else self._given, str)

    @property
    def _setting(self) -> str:
        return "configure(celery=…)" if self._given is not None else "DISPATCH_CELERY_APP"


def recommended(app: Any) -> dict[str, Any]:
    """What a Celery app needs for durable calls, on the broker it has."""
    from dispatch.transports.celery import settings_for  # noqa: PLC0415 - see the module's first line

    return settings_for(app)


def dead_letters(settings: Settings) -> list[DeadLetters]:
    """Every place where durable calls that failed for good are kept: this machine's disk, and the broker.

    Raises `NotConfigured` where there is neither, or a broker that keeps none.
    """
    places: list[DeadLetters] = []
    if settings.application is not None:
        from dispatch.spool import Spool  # noqa: PLC0415 - see `_spool`
        from dispatch.transports.spool import LettersInSpool  # noqa: PLC0415 - see `_spool`

        places.append(LettersInSpool(Spool(settings.application, folder=settings.spool_dir)))
    celery = CelerySide(settings)
    if celery.configured or not places:
        from dispatch.transports.celery.dead import dead_letters as on_broker  # noqa: PLC0415 - see the module's first

        places.append(on_broker(celery.app()))
    return places


def hook_worker(source: Callable[[], AppSource], *, at_end: Callable[[], object]) -> None:
    """Should this process be a Celery worker: have its app resolved in time, and `at_end` called as it ends."""
    from dispatch.transports.celery import hook_worker as hook  # noqa: PLC0415 - see the module's first line

    hook(source, at_end=at_end)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
