"""Callers die in the middle of their sending, and every call whose `delay` has returned runs."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from dispatch.embedded._child import Child
from faults.logbook import Logbook
from servers.patience import eventually

CALLER = """
import importlib, sys
from concurrent.futures import ThreadPoolExecutor
import dispatch

name, first, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
shop = importlib.import_module(name)
dispatch.configure(celery=shop.app)

def send(number):
    shop.work.delay(number)
    shop.note("accepted", number)

with ThreadPoolExecutor(4) as threads:
    for _ in threads.map(send, range(first, first + calls)):
        pass
"""


class Callers:
    """Processes that send durable calls of a shop, and the file in which they write what was accepted."""

    def __init__(self, folder, dice):
        self.accepted = Logbook(folder / "accepted")
        self._folder = folder
        self._dice = dice

    def send_and_die(self, shop, first, calls):
        """Killed (SIGKILL) at a random one of its calls."""
        mark = len(self.accepted.numbers("accepted")) + self._dice.randrange(calls)
        caller = self._start(shop, first, calls)
        try:
            # The last calls may be over before we look.
            eventually(
                lambda: len(self.accepted.numbers("accepted")) >= mark or not caller.running, within=60, what="its call"
            )
        finally:
            caller.kill()
        assert caller.exit_status in (-signal.SIGKILL, 0), caller.output().decode()

    def _start(self, shop, first, calls):
        policy = self._folder / "policy.yaml"
        policy.write_text(shop.policy)
        env = os.environ | shop.project.environment
        env |= {"LOGBOOK": str(self.accepted.path), "DISPATCH_POLICY": str(policy)}
        command = [sys.executable, "-c", CALLER, shop.project.name, str(first), str(calls)]
        return Child(command, log=self._folder / "caller.log", directory=self._folder, env=env)


@pytest.fixture
def callers(tmp_path, dice):
    return Callers(tmp_path, dice)


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_what_a_killed_caller_had_sent_runs(server, open_shop, callers, rounds):
    """Four threads of it send, and each writes a line when its `delay` has returned: every such call runs."""
    calls = rounds(400, 2000)
    shop = open_shop(server.url)
    for number in range(rounds(2, 20)):
        callers.send_and_die(shop, number * calls, calls)

    with shop.worker():
        account = shop.wait_for(callers.accepted.numbers("accepted"), within=400)
    print(account)

    assert account.sent
    assert not account.missing
    assert not (account.overlaps and server.url.startswith("redis"))
