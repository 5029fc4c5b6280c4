"""The seam between the courier and a broker: one open connection, and what can be done over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from celery import Celery

from dispatch.transports.celery.publishing._answer import Answer
from dispatch.transports.celery.publishing._message import Message
from dispatch.transports.celery.publishing._proof import Proof


class Line(Protocol):
    """One connection to the broker, used by one thread, open as soon as it exists.

    Every wait on the network is bounded by the seconds it was opened with. A line that fails is dropped and
    replaced, never mended: its successor asks the broker anew what it keeps.
    """

    broken: bool
    """An exchange failed in the middle: answers of it may still be under way, and nothing more can be sent."""

    def stands(self) -> bool:
        """Whether it is still connected, as far as can be known without sending anything. Never waits."""

    def barred(self) -> Answer | None:
        """Why the broker takes nothing just now, when it has said so."""

    def look(self) -> bool:
        """Ask how the broker fares, unless that was done moments ago; whether it has answered.

        After it, `barred` and `prove` may answer otherwise. Raises what the network raises.
        """

    def prove(self, queue: str) -> Proof:
        """See that `queue` is there, as the app describes it, and whether the broker keeps what is put into it.

        Asks once per queue. Raises what the network raises.
        """

    def post(self, message: Message) -> None:
        """Put `message` into the next exchange. Nothing of it reaches the broker before; raises what Celery raises."""

    def exchange(self) -> list[Answer]:
        """Send what was posted and hear what became of each, in the order of posting. Never raises."""

    def close(self) -> None:
        """Take leave in good order, within the bound."""

    def drop(self) -> None:
        """Let go of the connection at once, without a word to the broker."""

    def disown(self) -> None:
        """In a forked child: forget the connection and leave the parent's alone."""


Connect: TypeAlias = Callable[[], Line]
"""Opens a line, or raises; waits on the network, within the bound."""


NEVER_TWICE: dict[str, Any] = {"retry_on_timeout": False, "retry_on_error": None, "retry": None}
"""Each of these would let redis-py send a command a second time by itself; with one of them kombu does not batch."""


def connection(app: Celery, seconds: float, **options: Any) -> Any:
    """A kombu connection of our own to the app's broker, established: the app's settings, our bounds on every wait.

    Each of the broker's addresses is tried once, without pause. `app.conf` stays as it is.
    """
    made: Any = app.connection_for_write(connect_timeout=seconds, transport_options=options)
    at_once = {"interval_start": 0, "interval_step": 0, "interval_max": 0, "max_retries": max(len(made.alt) - 1, 0)}
    # kombu reconnects by these, where it does so by itself.
    made.transport_options.update(at_once)
    try:
        made.ensure_connection(**at_once)
    except BaseException:
        let_go(made)
        raise
    return made


def let_go(connection: Any) -> None:
    """Release a kombu connection, and at once what kombu leaves open until the next garbage collection."""
    poller = getattr(getattr(connection.transport, "cycle", None), "poller", None)
    connection.release()
    if poller is not None:
        poller.close()
