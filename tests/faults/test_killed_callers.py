"""Callers die in the middle of their sending, and every call whose `delay` has returned runs."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from dispatch.embedded._child import Child
from faults.logbook import Logbook, account
from servers.patience import eventually

CALLER = """
import importlib, sys
from concurrent.futures import ThreadPoolExecutor
import dispatch

name, tasks, first, calls = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4])
shop = importlib.import_module(name)
dispatch.configure(celery=shop.app)

def send(number):
    getattr(shop, tasks[number % len(tasks)]).delay(number)
    shop.note("accepted", number)

with ThreadPoolExecutor(4) as threads:
    for _ in threads.map(send, range(first, first + calls)):
        pass
"""

NO_BROKER = """
version: 1
destinations:
  fast: {transport: local, workers: 2}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
"""


class Callers:
    """Processes that send calls of a shop, and the file in which they write what was accepted."""

    def __init__(self, folder, dice):
        self.accepted = Logbook(folder / "accepted")
        self._folder = folder
        self._dice = dice

    def send_and_die(self, shop, first, calls, *, tasks=("work",), policy=None):
        """Killed (SIGKILL) at a random one of its calls, which are of the `tasks` by turns."""
        mark = len(self.accepted.numbers("accepted")) + self._dice.randrange(calls)
        caller = self._start(shop, [",".join(tasks), str(first), str(calls)], policy or shop.policy)
        try:
            # The last calls may be over before we look.
            eventually(
                lambda: len(self.accepted.numbers("accepted")) >= mark or not caller.running, within=60, what="its call"
            )
        finally:
            caller.kill()
        assert caller.exit_status in (-signal.SIGKILL, 0), caller.output().decode()

    def _start(self, shop, words, policy):
        file = self._folder / "policy.yaml"
        file.write_text(policy)
        env = os.environ | shop.project.environment
        env |= {"LOGBOOK": str(self.accepted.path), "DISPATCH_POLICY": str(file)}
        command = [sys.executable, "-c", CALLER, shop.project.name, *words]
        return Child(command, log=self._folder / "caller.log", directory=self._folder, env=env)


@pytest.fixture
def callers(tmp_path, dice):
    return Callers(tmp_path, dice)


@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_what_a_killed_caller_had_sent_runs(server, open_shop, callers, rounds):
    """Four threads of it send both kinds, and each writes a line when its `delay` has returned: every such call runs.

    An ephemeral one is then in the queue, and runs once.
    """
    calls = rounds(400, 2000)
    shop = open_shop(server.url)
    for number in range(rounds(2, 20)):
        callers.send_and_die(shop, number * calls, calls, tasks=("work", "chat"))

    accepted = callers.accepted.numbers("accepted")
    with shop.worker():
        shop.wait_for(accepted)
    durable = account(accepted, shop.book, lambda number: number % 2 == 0)
    ephemeral = account(accepted, shop.book, lambda number: number % 2 == 1)
    print(f"durable: {durable}\nephemeral: {ephemeral}")

    assert durable.sent
    assert ephemeral.sent
    assert not callers.accepted.numbers("began"), "in the pool of the caller"
    assert not durable.missing | ephemeral.missing
    assert not (durable.overlaps and server.url.startswith("redis"))
    assert 0 == ephemeral.twice


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_what_a_killed_caller_held_in_memory_has_run_once_or_not_at_all(redis_url, open_shop, callers, rounds):
    """Ephemeral calls in its own pool; a worker that comes afterwards finds none of them."""
    shop = open_shop(redis_url)
    for number in range(rounds(2, 20)):
        callers.send_and_die(shop, number * 400, 400, tasks=("chat",), policy=NO_BROKER)
    with shop.worker("solo"):
        shop.task("work").delay(-1)
        eventually(lambda: -1 in shop.book.ended(), within=30)
    here = account(callers.accepted.numbers("accepted"), callers.accepted)
    print(f"{here.sent} accepted, {len(here.missing)} lost with their process, {here.twice} ran twice")

    assert {-1} == shop.book.ended()
    assert 0 == here.twice
