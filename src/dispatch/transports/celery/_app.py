"""The application's Celery app, as soon as it can be known and not before."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import TypeAlias

from celery import Celery
from celery.utils.imports import import_from_cwd

from dispatch._fork import renew_in_child
from dispatch.errors import NotConfigured
from dispatch.transports.celery._registration import register_with
from dispatch.transports.celery._signer import Signer
from dispatch.transports.celery._store import Store
from dispatch.transports.celery.payloads import keep_for

AppGiven: TypeAlias = Celery | str | Callable[[], Celery] | None
"""An app, `"module:attribute"`, or a function that makes one."""


class AppSource:
    """Gives the Celery app, and has the declared tasks registered with it from then on.

    An app object is taken at once. Text is resolved at first use, for the module may be importing the very
    tasks that are being declared. A function is called at first use, once.
    """

    def __init__(
        self,
        given: AppGiven,
        *,
        store: Store,
        setting: str = "DISPATCH_CELERY_APP",
        signer: Signer | None = None,
        payloads: str | None = None,
    ) -> None:
        """`setting` is the name under which the user gave it. Raises `NotConfigured` when it cannot do."""
        self.store = store
        self.signer = signer
        self.payloads = payloads
        self._given = given
        self._setting = setting
        self._app: Celery | None = None
        self._start_anew()
        _of_this_process.add(self)
        if isinstance(given, str):
            self._where = _parted(given, setting)
        elif isinstance(given, Celery):
            self._take(given)

    @property
    def known(self) -> Celery | None:
        """The app, if it is known already; resolves nothing."""
        return self._app

    def __call__(self) -> Celery | None:
        """The app; `None` when nobody named one. Raises `NotConfigured`, naming the setting, when it is not to be had.

        Safe from any thread. What failed is tried again the next time.
        """
        if self._app is None and self._given is not None:
            if isinstance(self._given, str):
                # Without a lock: importing takes the module's own, and another thread may hold that one
                # while it waits for ours. Resolving twice gives the same app.
                self._take(self._resolve())
            else:
                self._make(self._given)
        return self._app

    def adopt(self, app: Celery) -> Celery:
        """Take `app`, unless one was named: a worker's own app is a good answer where nobody gave another."""
        if self._given is None and self._app is None:
            self._take(app)
        return self._app or app

    def _start_anew(self) -> None:
        # Also in the child of a fork, for a thread that is not there may have held it.
        self._making = threading.Lock()

    def _take(self, app: Celery) -> None:
        self.store.refuse_what_cannot_answer(app)
        register_with(app, self.store, self.signer)
        keep_for(app, self.payloads)
        self._app = app

    def _make(self, given: Celery | Callable[[], Celery]) -> None:
        with self._making:
            if self._app is None:
                self._take(given if isinstance(given, Celery) else given())

    def _resolve(self) -> Celery:
        module, path = self._where
        try:
            found = import_from_cwd(module)
            for name in path.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError) as error:
            raise NotConfigured(
                f"{self._setting}={self._given!r} leads to no Celery app: {error}{_excuse(module)}"
            ) from error
        if not isinstance(found, Celery):
            raise NotConfigured(f"{self._setting}={self._given!r} is {found!r}, which is no Celery app")
        return found

    def __repr__(self) -> str:
        return f"<AppSource {self._app or self._given!r}>"


_of_this_process: weakref.WeakSet[AppSource] = weakref.WeakSet()


def _after_fork() -> None:
    for source in list(_of_this_process):
        source._start_anew()  # noqa: SLF001 - the other half of this file


renew_in_child(_after_fork)


def _parted(text: str, setting: str) -> tuple[str, str]:
    module, colon, path = text.partition(":")
    if not (module and colon and path):
        raise NotConfigured(f"{setting}={text!r} is not understood: write it as 'module:attribute'")
    return module, path


def _excuse(module: str) -> str:
    spec: ModuleSpec | None = getattr(sys.modules.get(module), "__spec__", None)
    if getattr(spec, "_initializing", False):
        return f". {module} is still being imported; make the first call after its import has ended"
    return ""
