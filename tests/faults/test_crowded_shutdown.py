"""A thousand calls wait when the end comes: what was finished, dropped and left is told, and adds up."""

from __future__ import annotations

import re
import threading
from textwrap import dedent

import pytest

import dispatch
from dispatch.policy import parse
from faults.logbook import Logbook
from servers.patience import eventually

CALLS = 1000

POLICY = """
version: 1
destinations:
  fast: {{transport: local, workers: 4, capacity: 2000, on_shutdown: {on_shutdown}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast}}
"""


class Crowd:
    """So many calls in a pool of four, none of which ends before the pool has been closed."""

    def __init__(self, on_shutdown, pause):
        self.dispatcher = dispatch.Dispatcher(policy=parse(POLICY.format(on_shutdown=on_shutdown)))
        self.ran = []
        self._gate = threading.Event()

        def stand(number):
            self._gate.wait(30)
            self.ran.append(number)
            threading.Event().wait(pause)

        name = f"crowd.stand_{id(self)}"
        task = dispatch.task(name=name, result=False)(stand).using(self.dispatcher)
        self.handles = [task.delay(number) for number in range(CALLS)]

    def leave(self, grace):
        """Shut down; the calls begin to end as soon as nothing new is taken."""
        pool = self.dispatcher.destinations["fast"]._pool
        usher = threading.Thread(target=lambda: (eventually(lambda: pool.closed), self._gate.set()))
        usher.start()
        drained = self.dispatcher.shutdown(grace)
        usher.join()
        return drained


@pytest.mark.timeout(300)
@pytest.mark.parametrize("on_shutdown", ["finish", "drop"])
def test_every_call_that_waits_at_a_shutdown_is_accounted_for(on_shutdown, dice, rounds):
    """Whatever the grace: finished, dropped and left are a thousand, and what was dropped says so to who waits."""
    for _ in range(rounds(10, 100)):
        crowd = Crowd(on_shutdown, pause=dice.uniform(0, 0.002))
        drained = crowd.leave(dice.uniform(0, 0.5))
        eventually(lambda crowd=crowd, drained=drained: len(crowd.ran) == CALLS - drained.dropped)

        assert CALLS == drained.finished + drained.dropped + drained.left, drained
        assert drained.dropped == sum(handle.cancelled() for handle in crowd.handles)
        assert drained.finished <= len(crowd.ran)


PROGRAM = dedent("""
    import logging, os, signal, sys, threading, time
    import dispatch

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    dispatcher = dispatch.configure(policy="policy.yaml")
    pool = dispatcher.destinations["fast"]._pool

    @dispatch.task(name="crowd.stand", result=False)
    def stand(number):
        while not pool.closed:
            time.sleep(0.001)
        time.sleep(0.001)
        book = os.open("logbook", os.O_WRONLY | os.O_APPEND)
        os.write(book, f"ended {number} {os.getpid()} {time.monotonic_ns()}\\n".encode())
        os.close(book)

    for number in range(1000):
        stand.delay(number)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
    """)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("on_shutdown", ["finish", "drop"])
def test_a_program_that_is_told_to_end_says_what_became_of_its_calls(on_shutdown, project, tmp_path, dice, rounds):
    """SIGTERM, an exit in good order, and one line in the log; the calls themselves have written what ran."""
    (tmp_path / "policy.yaml").write_text(POLICY.format(on_shutdown=on_shutdown))
    for number in range(rounds(2, 20)):
        (tmp_path / "logbook").unlink(missing_ok=True)
        book = Logbook(tmp_path / "logbook")
        grace = {"DISPATCH_SHUTDOWN_GRACE": f"{dice.randrange(1, 500)}ms"}
        ended = project("", name=f"crowd{number}").run(PROGRAM, env=grace)
        line = r"calls at shutdown.* finished=(\d+) handed_over=(\d+) dropped=(\d+) left=(\d+)"
        finished, handed_over, dropped, left = map(int, re.search(line, ended.stderr).groups())

        assert (0, CALLS) == (handed_over, finished + dropped + left)
        # What was left may have ended in the instant before the process did.
        assert finished <= len(book.ended()) <= finished + left
