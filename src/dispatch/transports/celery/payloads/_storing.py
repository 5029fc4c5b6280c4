"""A payload on its way to its store, which a caller waits for."""

from __future__ import annotations

from celery import Celery

from dispatch._waiting import on_a_thread
from dispatch.errors import NotConfigured, PassedOver
from dispatch.transports.celery.payloads._claim import Claim
from dispatch.transports.celery.payloads._stores import store_of


class Storing:
    """What handing a call over waits for; a coroutine lends a thread for it instead of its loop."""

    under_way = False

    def __init__(self, app: Celery, claim: Claim, data: bytes, *, expires: float, durable: bool) -> None:
        self._app = app
        self._claim = claim
        self._data = data
        self._expires = expires
        self._durable = durable
        self._why: tuple[str, str] | None = None

    def wait(self) -> None:
        try:
            store = store_of(self._app)
            store.put(self._claim.key, self._data, expires=self._expires, durable=self._durable)
        except NotConfigured as error:
            self._why = ("not_configured", str(error))
        except Exception as error:  # noqa: BLE001 - the call goes elsewhere, whatever the store fails by
            self._why = ("refused", f"its payload could not be stored: {error!r}")

    async def wait_async(self) -> None:
        await on_a_thread(self.wait)

    def passed(self, destination: str) -> PassedOver | None:
        """Why it is not there; `None`: it is."""
        if self._why is None:
            return None
        why, detail = self._why
        return PassedOver(destination, "not_configured" if why == "not_configured" else "refused", detail)
