"""A broker is gone for half a minute, under a steady load of both kinds of calls, and comes back."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager

import pytest

from faults.senders import Senders
from faults.stopwatch import Control, Stopwatch, quantile
from servers.patience import eventually
from servers.process import frozen

DEADLINE = 1.0
OPEN = 0.020
SHARE = 0.999


@contextmanager
def stopped(server):
    """Its port is closed."""
    server.stop()
    yield
    server.start()


def silent(server):
    """It takes connections, and says nothing."""
    return frozen(server.pid)


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("gone", [stopped, silent])
def test_while_the_broker_is_gone_ephemeral_calls_flow_and_durable_ones_wait_with_their_caller(
    server, gone, open_shop, rounds
):
    """What was accepted arrives; nobody waits past the deadline; with the breaker open nobody waits at all."""
    shop = open_shop(server.url, deadline=f"{DEADLINE:g}s")
    watch = Stopwatch(lambda: shop.publisher.obstacle() is not None)
    control = Control()

    def send_by(name):
        task = shop.task(name)

        def send(number):
            with watch.running():
                return task.delay(number if name == "work" else -1 - number)

        return send

    with ExitStack() as stack:
        durable = stack.enter_context(Senders(send_by("work"), threads=2))
        ephemeral = stack.enter_context(Senders(send_by("chat"), threads=2))
        eventually(lambda: min(len(durable.accepted), len(ephemeral.accepted)) > 50, within=30)
        with gone(server), control:
            before = (len(durable.accepted), len(ephemeral.accepted))
            threading.Event().wait(rounds(4, 30))
            after = (len(durable.accepted), len(ephemeral.accepted))
        eventually(lambda: len(durable.accepted) > after[0] + 50, within=60)
    with shop.worker():
        arrived = shop.wait_for([*durable.accepted, *(-1 - number for number in ephemeral.accepted)])

    late, late_open = quantile(watch.all, SHARE), quantile(watch.while_open, SHARE)
    overshoot = quantile(control.overshoots, SHARE)
    flowed = after[1] - before[1]
    print(
        f"{arrived}; while it was gone {flowed} ephemeral calls were accepted and {after[0] - before[0]} durable ones; "
        f"{len(durable.unknown)} and {len(ephemeral.unknown)} were unknown; of {len(watch.all)} delays 99.9 % took at "
        f"most {late * 1e3:.1f} ms, of {len(watch.while_open)} with the breaker open {late_open * 1e3:.1f} ms, and the "
        f"control was up to {overshoot * 1e3:.1f} ms late"
    )

    assert [] == durable.errors + ephemeral.errors
    assert not arrived.missing
    assert flowed > rounds(50, 2000)
    assert len(watch.while_open) > rounds(50, 2000)
    assert late - overshoot <= DEADLINE + rounds(4, 0.02)
    assert late_open - overshoot <= rounds(2, OPEN)
