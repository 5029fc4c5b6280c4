"""Forked children: with Python's hooks, and without them, as uWSGI forks."""

from __future__ import annotations

import os
import subprocess
import sys

BEGINNING = """
import ctypes, os, sys, threading
import dispatch

libc = ctypes.PyDLL(None)     # keeps the interpreter's lock, as a server does that embeds it

release = threading.Event()

@dispatch.task
def echo(value):
    return value

@dispatch.task
def hold():
    release.wait()

@dispatch.task
async def aecho(value):
    return value

def in_child(fork, work):
    '''What `work` returns in a child; -1 when it fails.'''
    out, back = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            os.write(back, str(work()).encode())
            os._exit(0)
        except BaseException as error:
            os.write(back, repr(error).encode())
            os._exit(1)
    os.close(back)
    said = os.read(out, 65536).decode()
    os.close(out)
    os.waitpid(pid, 0)
    return said
"""


def run(source: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", BEGINNING + source],
        env=os.environ | {"DISPATCH_SHUTDOWN_GRACE": "20s"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout.splitlines()


def test_children_whose_fork_ran_no_hooks_share_no_id():
    """Neither with the parent nor with one another, though the parent had prepared everything."""
    said = run("""
dispatch.configure(policy="no-broker")
def id():
    handle = echo.delay(1)
    assert handle.result(timeout=5) == 1
    return handle.id
children = [in_child(libc.fork, id) for _ in range(3)]
print(len({each.split("-")[0] for each in [*children, id()]}))
""")

    assert ["4"] == said


def test_such_a_child_has_pools_of_its_own_even_when_the_parent_had_begun_to_work():
    """The parent's workers are not there; the child's calls run all the same."""
    said = run("""
dispatch.configure(policy="no-broker")
echo.delay(0).result()
print(in_child(libc.fork, lambda: [echo.delay(each).result(timeout=5) for each in range(20)]))
print(in_child(libc.fork, lambda: aecho.delay(1).result(timeout=5)))
""")

    assert [str(list(range(20))), "1"] == said


def test_what_the_parent_waits_for_is_lost_in_such_a_child_and_an_exit_there_does_not_wait_for_it():
    """`HandleLost`, and an end at once: the workers of the parent will never come."""
    said = run("""
dispatch.configure(policy="no-broker")
handle = hold.delay()
def ask():
    try:
        handle.result(timeout=5)
    except dispatch.HandleLost:
        return dispatch.shutdown("20s")
print(in_child(libc.fork, ask))
print(in_child(libc.fork, dispatch.shutdown))
release.set()
""")

    assert ["Drained(finished=0, handed_over=0, dropped=0, left=0)"] * 2 == said


def test_where_it_cannot_be_noticed_a_wait_notices_it():
    """Every worker was at work in the parent: a plain call goes the shortest way, and whoever waits is told."""
    said = run("""
from dispatch.policy import parse
dispatch.configure(policy=parse('''
version: 1
destinations:
  fast: {transport: local, workers: 1}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
'''))
echo.delay(0).result()
def ask():
    try:
        echo.delay(1).result(timeout=5)
    except dispatch.HandleLost:
        return echo.delay(2).result(timeout=5)
print(in_child(libc.fork, ask))
def begin():
    dispatch.configure(policy="no-broker")
    return echo.delay(3).result(timeout=5)
print(in_child(libc.fork, begin))
""")

    assert ["2", "3"] == said


def test_a_child_begins_anew_where_the_parent_was_shut_down():
    """A server may end its own dispatcher before it forks; the children's calls run, and their exit finishes them."""
    said = run("""
dispatch.configure(policy="no-broker")
echo.delay(0).result()
dispatch.shutdown()
def work():
    handles = [echo.delay(each) for each in range(3)]
    dispatch.shutdown()
    return [handle.result(timeout=0) for handle in handles]
print(in_child(os.fork, work))
print(in_child(libc.fork, work))
""")

    assert ["[0, 1, 2]", "[0, 1, 2]"] == said
