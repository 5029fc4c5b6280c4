"""Arguments on their way to a store, which a caller waits for."""

from __future__ import annotations

from contextlib import suppress

from celery import Celery

from dispatch._waiting import on_a_thread
from dispatch.errors import NotConfigured, PassedOver
from dispatch.transports.celery._claim import Claim
from dispatch.transports.celery.payloads._stores import store_of
from dispatch.transports.celery.publishing import Body, encode


class Storing:
    """What handing a call over waits for; a coroutine lends a thread for it instead of its loop."""

    under_way = False

    def __init__(self, app: Celery, body: Body, *, expires: float, durable: bool) -> None:
        """`expires`: for how many seconds it is kept at most; `durable`: it survives what the store can survive."""
        self._app = app
        self._data = body.text.encode(body.content_encoding) if isinstance(body.text, str) else body.text
        self._claim = Claim.on(self._data, body.size, compressed=body.compression is not None)
        self._expires = expires
        self._durable = durable
        self._not_configured = ""
        self._refused = ""
        self.claimed = encode((), {})
        """What travels in the body's place."""
        self.claimed.claim, self.claimed.size = self._claim.text, body.size

    def wait(self) -> None:
        try:
            store = store_of(self._app)
            store.put(self._claim.key, self._data, expires=self._expires, durable=self._durable)
        except NotConfigured as error:
            self._not_configured = str(error)
        except Exception as error:  # noqa: BLE001 - the call goes elsewhere, whatever the store fails by
            self._refused = f"its arguments could not be stored: {error!r}"

    async def wait_async(self) -> None:
        await on_a_thread(self.wait)

    def passed(self, destination: str) -> PassedOver | None:
        """Why it is not there; `None`: it is."""
        if self._not_configured:
            return PassedOver(destination, "not_configured", self._not_configured)
        return PassedOver(destination, "refused", self._refused) if self._refused else None

    def undoing(self) -> Undoing:
        """The message was refused: nobody will ask for it."""
        return Undoing(self._app, self._claim.key)


class Undoing:
    """Its removal, which a caller waits for as well. What cannot be removed now, expires."""

    under_way = False

    def __init__(self, app: Celery, key: str) -> None:
        self._app = app
        self._key = key

    def wait(self) -> None:
        with suppress(Exception):
            store_of(self._app).remove(self._key)

    async def wait_async(self) -> None:
        await on_a_thread(self.wait)
