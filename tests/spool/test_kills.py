"""Processes that are killed, that fork, and that share a file."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from dispatch.errors import NotAccepted
from dispatch.spool import Spool
from servers.patience import eventually
from spool.calls import entry, ids, verdicts

ADDING = """
import sys, threading
from itertools import count
from pathlib import Path
from dispatch.spool import Entry, Spool

folder, name, callers, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
spool = Spool("shop", folder=folder)
turn = threading.Lock()

def add(caller):
    for number in range(limit):
        id = f"{name}-{caller}-{number}"
        spool.add(Entry(id=id, broker="queue", task="t", arguments=bytes(500)), patience=30)
        with turn:
            print(id, flush=True)

threads = [threading.Thread(target=add, args=(caller,)) for caller in range(callers)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done", flush=True)
"""


def adding(folder, name, *, callers, limit):
    return subprocess.Popen(
        [sys.executable, "-c", ADDING, folder, name, str(callers), str(limit)], stdout=subprocess.PIPE, text=True
    )


def in_a_child(work):
    """What `work` says in a fork of this process: a text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def add_until_killed(folder, name, told):
    """In a child: four threads add, and tell each id when its `add` has returned."""
    spool = Spool("shop", folder=folder)

    def add(caller):
        for number in range(100_000):
            spool.add(entry(f"{name}-{caller}-{number}", arguments=bytes(500)), patience=30)
            os.write(told, f"call-{name}-{caller}-{number}\n".encode())

    threads = [threading.Thread(target=add, args=(caller,)) for caller in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_whatever_was_added_survives_kill_9(tmp_path):
    """Twenty times a process is killed while it adds, at any point: every id whose `add` returned is in the file."""
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    promised = []
    for number in range(20):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                add_until_killed(tmp_path / "state", number, write)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read) as told:
            promised += [told.readline().strip() for _ in range(dice.randrange(1, 200))]
            os.kill(child, signal.SIGKILL)
            promised += [line.strip() for line in told if line.endswith("\n")]
        os.waitpid(child, 0)

    spool = Spool("shop", folder=tmp_path / "state")
    kept = ids(spool.ls(limit=1_000_000))
    assert set() == set(promised) - set(kept), f"seed {seed}"
    assert () == spool.incidents
    spool.close()
    with sqlite3.connect(spool.path) as file:
        assert [("ok",)] == file.execute("PRAGMA integrity_check").fetchall()
    file.close()


def test_two_processes_add_while_a_third_forwards(opened, forwarding):
    """Every call is forwarded, none twice."""
    sent = Counter()

    def forward(rows):
        sent.update(ids(rows))
        return verdicts(rows, "accepted")

    spool = opened()
    forwarding(spool, forward)
    with (
        adding(spool.folder, "a", callers=2, limit=100) as first,
        adding(spool.folder, "b", callers=2, limit=100) as second,
    ):
        for process in (first, second):
            assert "done" == process.stdout.read().split()[-1]

    eventually(lambda: spool.statistics().rows == 0)
    assert 400 == len(sent)
    assert {1} == set(sent.values())


def test_what_a_killed_forwarder_had_is_taken_over(opened):
    """When its lease is over, and under the same id."""
    spool = opened()
    spool.add(entry(1))
    code = (
        "import os, signal, sys; from pathlib import Path; from dispatch.spool import Spool\n"
        "Spool('shop', folder=Path(sys.argv[1])).take('queue', 'other', count=9, lease=0.5)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, spool.folder], check=False)

    (row,) = eventually(lambda: spool.take("queue", "me", count=9, lease=30))
    assert ("call-1", True) == (row.id, row.doubtful)


def test_a_forked_child_adds_to_the_same_file(opened):
    """Over a connection of its own; and what it adds outlives it, whatever its parent does meanwhile."""
    spool = opened()
    spool.add(entry("before"))

    def in_the_child():
        spool.add(entry("child-1"))
        # The parent closes its connection, which was the last one for all that it knows.
        os.write(told, b"x")
        assert os.read(closed, 1)
        spool.add(entry("child-2"))
        return "added"

    tell, told = os.pipe()
    closed, close = os.pipe()

    def close_in_between():
        os.read(tell, 1)
        spool.close()
        os.write(close, b"x")

    helper = threading.Thread(target=close_in_between)
    helper.start()
    assert "added" == in_a_child(in_the_child)
    helper.join(10)
    for each in (tell, told, closed, close):
        os.close(each)

    assert ["call-before", "call-child-1", "call-child-2"] == ids(opened().ls())


def test_forks_in_the_middle_of_adding_lose_nothing(opened):
    """The parent goes on, and each child adds, too."""
    spool = opened()
    stop = threading.Event()
    added = []

    def add():
        while not stop.is_set():
            spool.add(entry(len(added)))
            added.append(f"call-{len(added)}")

    adder = threading.Thread(target=add)
    adder.start()
    try:
        answers = [in_a_child(lambda number=number: spool.add(entry(f"child-{number}"))) for number in range(10)]
    finally:
        stop.set()
        adder.join(10)

    assert ["True"] * 10 == answers
    assert {*added, *(f"call-child-{number}" for number in range(10))} == set(ids(spool.ls(limit=100_000)))


def test_a_child_of_a_fork_without_hooks_is_refused_with_the_cure(opened, monkeypatch):
    """SQLite would believe to hold its parent's locks, and what the child adds would be deleted with the log."""
    spool = opened()
    spool.add(entry("before"))
    real = os.getpid()
    crew = spool._writer._crew_
    monkeypatch.setattr(os, "getpid", lambda: real + 1)

    with pytest.raises(NotAccepted, match="lazy-apps"):
        spool.add(entry("lost"))

    monkeypatch.undo()
    monkeypatch.setattr("dispatch.spool._writer._inherited", [])
    crew.close(10)
    spool._writer._crew_.pid = real
    assert ["call-before"] == ids(spool.ls())


def test_a_forwarder_begins_anew_in_a_forked_child(opened, forwarding):
    """It has a thread there as soon as something is added there; the parent's goes on."""
    spool = opened()
    sent = []
    owners = Path(spool.folder).with_name("owners")

    def forward(rows):
        sent.extend(ids(rows))
        with owners.open("a") as file:
            file.write("".join(f"{os.getpid()} {row.id}\n" for row in rows))
        return verdicts(rows, "accepted")

    forwarder = forwarding(spool, forward, poll=3600)
    spool.add(entry(1))
    eventually(lambda: ["call-1"] == sent)
    assert forwarder.close(10)
    again = forwarding(spool, forward, poll=3600)

    def in_the_child():
        spool.add(entry(2))
        eventually(lambda: sent == ["call-1", "call-2"])
        assert again.close(10)
        return os.getpid()

    child = in_a_child(in_the_child)

    assert [f"{os.getpid()} call-1", f"{child} call-2"] == owners.read_text().splitlines()
    spool.add(entry(3))
    eventually(lambda: sent == ["call-1", "call-3"])
