"""The Celery half of a dispatcher. Its room, and with it Celery, is imported when something needs it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

from dispatch._finding import Seen
from dispatch._registry import TaskSpec
from dispatch._turn import Turn
from dispatch.errors import NotConfigured
from dispatch.policy import CelerySettings
from dispatch.settings import Settings
from dispatch.transports import Destination, Outlet, Unconfigured

if TYPE_CHECKING:
    from dispatch.transports.celery import AppSource, Broker, Results

_opening = Turn()


class _Room(NamedTuple):
    """What one dispatcher uses of the Celery room."""

    source: AppSource
    broker: Broker
    results: Results


class CelerySide:
    """Knows the app as soon as it can be known, and owns the one broker and the one reader of results."""

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

    def examine(
        self,
        queues: Mapping[str, CelerySettings],
        specs: Sequence[TaskSpec],
        *,
        durable: bool,
        seconds: float,
        probe: bool,
    ) -> Iterator[Seen]:
        """What a doctor sees of the app, its broker and its workers. Raises `NotConfigured` where there is no app."""
        app = self.app()
        from dispatch.transports.celery.doctor import Subject, examine  # noqa: PLC0415 - few programs need it

        store = self._open().source.store
        yield from examine(
            Subject(
                app=app, store=store, destinations=queues, specs=specs, durable=durable, seconds=seconds, probe=probe
            )
        )

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
                source = room.AppSource(
                    self._named(room.build_app),
                    store=store,
                    setting=self._setting,
                    signer=signer,
                    payloads=_revealed(self._settings.payload_store),
                )
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


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
