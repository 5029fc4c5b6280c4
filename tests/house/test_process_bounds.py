"""`max_bytes` on a destination with worker processes: the bytes of what waits, and what becomes of them at a death."""

from __future__ import annotations

import os
import signal

import pytest

import dispatch
from servers.patience import eventually

TEXT = """
version: 1
destinations:
  cpu: {transport: local, runner: process, workers: 1, max_bytes: 1KiB, on_full: next}
  fast: {transport: local}
defaults: {durability: ephemeral}
otherwise: {route_to: cpu, fallback: [fast]}
"""
JOBS = """
    import os
    import signal
    from pathlib import Path

    import dispatch

    @dispatch.task
    def size(text):
        return len(text)

    @dispatch.task
    def hold(started, go, text=""):
        Path(started).write_text(str(os.getpid()))
        return Path(go).read_text()

    @dispatch.task(retry=dispatch.Retry(attempts=2, on=dispatch.WorkerDied, backoff="1ms"))
    def die_at_first(file, text):
        with open(file, "a") as out:
            print(os.getpid(), file=out)
        if len(Path(file).read_text().split()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return len(text)
"""


@pytest.fixture
def jobs(project):
    return project(JOBS).load()


@pytest.fixture
def cpu(dispatcher):
    """The destination with the bound."""
    return dispatcher(TEXT).destinations["cpu"]


@pytest.fixture
def held(jobs, cpu, tmp_path):
    """The one process runs a call: its handle, what lets it go on, and the process's id."""
    started, go = tmp_path / "started", tmp_path / "go"
    for pipe in (started, go):
        os.mkfifo(pipe)
    handle = jobs.hold.delay(str(started), str(go), "x" * 600)
    return handle, go, int(started.read_text())


def test_bytes_count_while_a_call_waits_for_its_process(cpu, jobs, held):
    """What runs there counts no more; of those that wait, the third would be one too many."""
    holding, go, _ = held
    assert 0 == cpu.statistics().bytes

    handles = [jobs.size.delay("x" * 400) for _ in range(3)]

    assert ["cpu", "cpu", "fast"] == [each.decision.destination for each in handles]
    assert [("cpu", "full")] == [(each.destination, each.why) for each in handles[2].decision.passed_over]
    assert 800 < cpu.statistics().bytes <= 1024
    go.write_text("on")
    assert "on" == holding.result(20)
    assert [400, 400, 400] == [each.result(20) for each in handles]
    assert 0 == cpu.statistics().bytes


def test_a_call_beyond_the_bound_is_passed_over(cpu, jobs):
    """However idle the processes are; nothing is counted for it."""
    handle = jobs.size.delay("x" * 2000)

    assert "fast" == handle.decision.destination
    assert [("cpu", "too_big", "its max_bytes is 1 KiB")] == [
        (each.destination, each.why, each.detail) for each in handle.decision.passed_over
    ]
    assert 2000 == handle.result(20)
    assert 0 == cpu.statistics().bytes


def test_a_process_that_dies_leaves_no_bytes_behind(cpu, jobs, held):
    """Those that wait go on counting, find room in the next process, and give it back."""
    holding, _, process = held
    waiting = [jobs.size.delay("x" * 400) for _ in range(2)]
    counted = cpu.statistics().bytes

    os.kill(process, signal.SIGKILL)

    assert isinstance(holding.exception(20), dispatch.WorkerDied)
    assert [400, 400] == [each.result(20) for each in waiting]
    assert 800 < counted <= 1024
    assert 0 == cpu.statistics().bytes
    again = jobs.size.delay("x" * 900)
    assert ("cpu", 900) == (again.decision.destination, again.result(20))


def test_another_attempt_after_a_death_counts_once(cpu, jobs, tmp_path):
    """It takes its bytes again while it waits, and gives them back as it starts anew."""
    file = tmp_path / "attempts"

    handle = jobs.die_at_first.delay(str(file), "x" * 600)

    assert 600 == handle.result(20)
    assert 2 == len(file.read_text().split())
    eventually(lambda: cpu.statistics().bytes == 0)
