"""The outcomes of Celery calls: read from the result backend while somebody waits, and only then."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

from celery import Celery
from celery.backends.base import Backend
from celery.backends.redis import RedisBackend
from redis import Redis

from dispatch._call import Call
from dispatch._fork import renew_in_child
from dispatch._log import logger
from dispatch.errors import NotConfigured
from dispatch.transports.celery._outlook import Outlook
from dispatch.transports.celery._store import SETTING, Store
from dispatch.transports.celery.results._alarm import Alarm
from dispatch.transports.celery.results._polling import Polling, look
from dispatch.transports.celery.results._reader import Feed, Reader
from dispatch.transports.celery.results._stored import Stored
from dispatch.transports.celery.results._subscription import Subscription, bounded_client, look_once


class Results:
    """The `Source` of calls that went to Celery. Safe from any thread; a forked child starts with an empty one.

    True whenever the lock is held:

    - a call is in `_waiting` while somebody waits for it, and is held only so long;
    - while `_waiting` is not empty, there is a reader that knows of each call in it, or was told to look.
    """

    _lock: threading.RLock
    _waiting: dict[str, list[Call]]
    _reader: Reader | None
    _window: Redis | None
    """For who only looks: several threads may use it at once."""

    def __init__(self, app_source: Callable[[], Celery | None], store: Store) -> None:
        self._app_source = app_source
        self._store = store
        self.outlooks: dict[str, Outlook] = {}
        """By the name of their destination: they hear how long its calls had waited."""
        self._start_anew()
        _of_this_process.add(self)

    # ---- the Source

    def watch(self, call: Call) -> None:
        """Settle `call` when its outcome arrives. Never waits for the backend; twice is once.

        Raises `NotConfigured` when no result of it is kept.
        """
        self._refuse_without_result(call)
        with self._lock:
            calls = self._waiting.setdefault(call.id, [])
            if not any(each is call for each in calls):
                calls.append(call)
            self._ready_reader().touch(call.id)

    def unwatch(self, call: Call) -> None:
        """Nobody waits any more. Never fails."""
        with self._lock:
            calls = self._waiting.get(call.id)
            # Somebody else may have begun to wait since; asked inside the lock, since he watches inside it.
            if calls is None or not call.forget(_nobody):
                return
            calls[:] = [each for each in calls if each is not call]
            if not calls:
                del self._waiting[call.id]
            if self._reader is not None:
                self._reader.touch(call.id)

    def peek(self, call: Call) -> None:
        """Settle `call` if its outcome is there: one look, for some seconds at the most. Never fails."""
        try:
            self._refuse_without_result(call)
            found = self._look(call.id)
        except Exception as error:  # noqa: BLE001 - who only looks gets no outcome, whatever the backend raises
            logger("results").debug("no look at the result backend", dispatch_call_id=call.id, error=repr(error))
            return
        if found is not None:
            self._settle(call, found)

    def revoke(self, call: Call) -> bool:
        """False, and nothing is sent: a revocation reaches workers that listen just then, which is not certain."""
        return False

    def close(self) -> None:
        """Stop reading. Who still waits goes on waiting, up to his own timeout."""
        with self._lock:
            reader, self._reader = self._reader, None
            window, self._window = self._window, None
        if reader is not None:
            reader.retire()
            reader.join(timeout=1.0)
        if window is not None:
            window.close()

    # ---- the reader's desk

    def awaited(self) -> set[str]:
        with self._lock:
            return set(self._waiting)

    def is_awaited(self, call_id: str) -> bool:
        with self._lock:
            return call_id in self._waiting

    def hand_in(self, call_id: str, found: Stored) -> None:
        with self._lock:
            calls = self._waiting.pop(call_id, ())
        for call in calls:
            try:
                self._settle(call, found)
            except Exception:  # noqa: BLE001 - raised by who was woken; the others wait for this thread too
                logger("results").exception("waking who waited for a call failed", dispatch_call_id=call_id)

    def dismiss(self, reader: Reader) -> bool:
        with self._lock:
            if self._waiting:
                return False
            if self._reader is reader:
                self._reader = None
            return True

    # ---- within

    def _settle(self, call: Call, found: Stored) -> None:
        outlook = self.outlooks.get(call.decision.destination)
        if outlook is not None and found.report is not None and not call.started:
            outlook.started(call, found.report)  # first: whoever has the result may look at its decision
        call.settle(found.outcome)

    def _ready_reader(self) -> Reader:
        """The reader. Where its own thread asks (a callback that waits for another call), one that takes its place."""
        reader = self._reader
        if reader is not None and reader.current:
            reader.retire()
            reader = None
        if reader is None:
            reader = self._reader = Reader(self, self._open_feed)
            reader.start()
        return reader

    def _open_feed(self, alarm: Alarm) -> Feed:
        backend = self._backend()
        if isinstance(backend, RedisBackend):
            return Subscription(backend, alarm)
        return Polling(backend, alarm)

    def _look(self, call_id: str) -> Stored | None:
        backend = self._backend()
        if not isinstance(backend, RedisBackend):
            return look(backend, call_id)
        with self._lock:
            if self._window is None:
                self._window = bounded_client(backend)
            window = self._window
        return look_once(backend, window, call_id)

    def _refuse_without_result(self, call: Call) -> None:
        asked = call.options.ignore_result if call.options is not None else None
        if asked or (asked is None and not call.spec.result):
            told = "sent with ignore_result=True" if asked else "declared with result=False"
            raise NotConfigured(f"no result of {call.spec.name} is kept: it was {told}")
        if not self._store.kept(self._app()):
            raise NotConfigured(
                f"no result of {call.spec.name} is kept: the Celery app has no result backend. "
                f"Set {SETTING}, for example to redis://localhost/1"
            )

    def _backend(self) -> Backend:
        return self._store.of(self._app())

    def _app(self) -> Celery:
        app = self._app_source()
        if app is None:
            raise NotConfigured(
                "there is no Celery app to ask for results: set DISPATCH_BROKER_URL, or dispatch.configure(celery=app)"
            )
        return app

    def _start_anew(self) -> None:
        # Also in the child of a fork, where the parent's thread is missing, its lock may be held, and its
        # sockets are shared: all are dropped, and none is closed by us.
        self._lock = threading.RLock()
        self._waiting = {}
        self._reader = None
        self._window = None


def _nobody() -> None:
    pass


_of_this_process: weakref.WeakSet[Results] = weakref.WeakSet()


def _after_fork() -> None:
    for results in list(_of_this_process):
        results._start_anew()  # noqa: SLF001 - the other half of this file


renew_in_child(_after_fork)
