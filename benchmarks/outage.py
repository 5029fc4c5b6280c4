"""Calls while the broker is away: what is ephemeral runs here, what is durable waits on disk."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dispatch
from benchmarks import shop
from benchmarks.case import Bar, Case, results, to_result
from benchmarks.threads import together
from dispatch.settings import Settings

NO_BROKER = "dispatch local, no broker in the policy"
BROKER_AWAY = "dispatch local, the breaker is open"
SYNCS = "a spooled call, sixteen threads"

BARS = (Bar(BROKER_AWAY, 1.2, NO_BROKER), Bar(SYNCS, 1 / 6))

_POLICIES = Path(__file__).parent / "policies"
_BUILD = Path(__file__).parents[1] / "build"
_CALLS = 10_000
_SPOOLED = 3_200


@contextmanager
def cases() -> Iterator[list[Case]]:
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        settings = Settings(broker_url=_nobody(), application="benchmarks", spool_dir=folder)

        def under(policy: str) -> dispatch.Dispatcher:
            return stack.enter_context(dispatch.Dispatcher(policy=_POLICIES / policy, settings=settings))

        alone, away, spooling = under("no_broker.yaml"), under("broker_away.yaml"), under("spool.yaml")
        spooled = shop.routed_unread.using(spooling).delay
        spool: Any = spooling.destinations["disk"]

        def syncs(count: int) -> float:
            before = spool.spool.statistics().syncs
            together(lambda i: spooled(i, i), count)
            return float(spool.spool.statistics().syncs - before)

        yield [
            _to_result(NO_BROKER, alone),
            _to_result(BROKER_AWAY, away),
            Case(name=SYNCS, count=_SPOOLED, take=syncs, unit="syncs"),
        ]


def _to_result(name: str, dispatcher: dispatch.Dispatcher) -> Case:
    delay = shop.routed.using(dispatcher).delay
    return Case(name=name, count=_CALLS, take=to_result(lambda count: [delay(i, i) for i in range(count)], results))


@contextmanager
def _folder() -> Iterator[Path]:
    """On the disk that the sources are on: the temporary folders may be in memory."""
    _BUILD.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="spool-", dir=_BUILD) as folder:
        yield Path(folder)


def _nobody() -> str:
    """A broker at a port where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{found.getsockname()[1]}/0"
