"""SIGTERM in a program that asked for `configure(handle_signals=True)`."""

from __future__ import annotations

import os
import signal
import threading
from random import randrange

import pytest

import dispatch
from dispatch import _default
from dispatch._sigterm import Sigterm
from servers.patience import eventually
from servers.program import program

pytestmark = pytest.mark.slow

BEGINNING = """
import logging, os, signal, sys, threading, time
import dispatch
from dispatch.policy import parse

logging.basicConfig(level="INFO", format="%(message)s")
POLICY = parse('''
version: 1
destinations:
  fast: {transport: local, workers: 1, capacity: 1000}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
''')

def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())     # at once and whole, whoever else writes

@dispatch.task
def hold() -> None:
    tell("started")
    sys.stdin.readline()

@dispatch.task
def say(word: str) -> None:
    tell(word)

def until_it_ends() -> None:
    while not dispatch._default.current().destinations["fast"]._pool.closed:
        time.sleep(0.001)
    tell("ending")
"""

HELD = """
dispatch.configure(policy=POLICY, handle_signals=True)
hold.delay()
say.delay("one")
say.delay("two")
until_it_ends()
time.sleep(60)
"""


@pytest.fixture
def undefined(monkeypatch):
    """No default dispatcher yet, and the signal as it was afterwards."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    monkeypatch.setattr(_default, "sigterm", Sigterm())
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
    dispatch.shutdown("5s")


def test_what_was_taken_is_finished_and_then_the_signal_ends_the_process(tmp_path):
    """Started and waiting calls run, one line counts them, and the status is that of the signal."""
    with program(BEGINNING + HELD, tmp_path) as one:
        assert "started" == one.line()
        one.terminate()
        assert "ending" == one.line()
        one.say("go on")

        assert ["one", "two"] == [one.line(), one.line()]
        assert -signal.SIGTERM == one.ending()
        assert "calls at shutdown" in one.err
        assert "finished=3 handed_over=0 dropped=0 left=0" in one.err


def test_a_second_signal_does_not_wait(tmp_path):
    """Whoever sends it twice means it: the process ends by it, whatever runs."""
    with program(BEGINNING + HELD, tmp_path, env={"DISPATCH_SHUTDOWN_GRACE": "50s"}) as one:
        assert "started" == one.line()
        one.terminate()
        assert "ending" == one.line()
        one.terminate()

        assert -signal.SIGTERM == one.ending(within=10)


def test_the_grace_bounds_it(tmp_path):
    """A task that never ends is left, and counted."""
    with program(BEGINNING + HELD, tmp_path, env={"DISPATCH_SHUTDOWN_GRACE": "200ms"}) as one:
        assert "started" == one.line()
        one.terminate()

        assert -signal.SIGTERM == one.ending()
        assert "finished=0 handed_over=0 dropped=0 left=3" in one.err


def test_an_earlier_handler_has_its_turn_in_the_main_thread_when_all_is_ended(tmp_path):
    """Once, with the signal's number; what it does, and whether the process goes on, is its affair."""
    source = (
        BEGINNING
        + """
def earlier(number, frame):
    tell("earlier", number, threading.current_thread() is threading.main_thread())
    had_its_turn.set()

had_its_turn = threading.Event()
signal.signal(signal.SIGTERM, earlier)
dispatch.configure(policy=POLICY, handle_signals=True)
hold.delay()
had_its_turn.wait()
had_its_turn.clear()
dispatch.configure(policy=POLICY)
say.delay("anew").result()
os.kill(os.getpid(), signal.SIGTERM)
had_its_turn.wait()
"""
    )
    with program(source, tmp_path) as one:
        assert "started" == one.line()
        one.terminate()
        one.say("go on")

        assert "earlier 15 True" == one.line()
        assert "anew" == one.line()
        assert "earlier 15 True" == one.line()
        assert 0 == one.ending()


def test_where_the_signal_was_ignored_it_still_ends_nothing(tmp_path):
    """The dispatcher ends, and the program goes on."""
    source = (
        BEGINNING
        + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
dispatch.configure(policy=POLICY, handle_signals=True)
hold.delay()
until_it_ends()
dispatch.shutdown()     # waits for the one under way
try:
    say.delay("late")
except dispatch.NotAccepted:
    tell("goes on")
"""
    )
    with program(source, tmp_path) as one:
        assert "started" == one.line()
        one.terminate()
        assert "ending" == one.line()
        one.say("go on")

        assert "goes on" == one.line()
        assert 0 == one.ending()


def test_a_main_thread_that_waits_for_a_result_gets_it(tmp_path):
    """Waiting goes on meanwhile: the call it waits for is one of those that finish."""
    source = (
        BEGINNING
        + """
dispatch.configure(policy=POLICY, handle_signals=True)
handle = hold.delay()
handle.result()
tell("has it")
time.sleep(60)
"""
    )
    with program(source, tmp_path) as one:
        assert "started" == one.line()
        one.terminate()
        one.say("go on")

        assert "has it" == one.line()
        assert -signal.SIGTERM == one.ending()


def test_a_main_thread_that_ends_by_itself_waits_for_the_end_and_keeps_its_status(tmp_path):
    """An exit during the shutdown does not cut it short."""
    source = (
        BEGINNING
        + """
dispatch.configure(policy=POLICY, handle_signals=True)
hold.delay()
say.delay("one")
until_it_ends()
sys.exit(7)
"""
    )
    with program(source, tmp_path) as one:
        assert "started" == one.line()
        one.terminate()
        assert "ending" == one.line()
        one.say("go on")

        assert "one" == one.line()
        assert 7 == one.ending()
        assert 1 == one.err.count("calls at shutdown")


def test_a_signal_during_the_exit_leaves_the_exit_to_itself(tmp_path):
    """It is ending the dispatchers already, and keeps its status; a second one does not wait."""
    source = (
        BEGINNING
        + """
dispatch.configure(policy=POLICY, handle_signals=True)
hold.delay()
threading.Thread(target=until_it_ends, daemon=True).start()
sys.exit(7)
"""
    )
    with program(source, tmp_path) as one:
        assert {"started", "ending"} == {one.line(), one.line()}
        one.terminate()
        one.say("go on")
        assert 7 == one.ending()

    with program(source, tmp_path, env={"DISPATCH_SHUTDOWN_GRACE": "50s"}) as one:
        assert {"started", "ending"} == {one.line(), one.line()}
        eventually(lambda: one.terminate() or one.process.poll())  # two in a row may be taken for one
        assert -signal.SIGTERM == one.ending()


STORM = (
    BEGINNING
    + """
import random

SEED, CHILDREN = map(int, sys.stdin.readline().split())
seed = random.Random(SEED)
work = parse('''
version: 1
destinations:
  fast: {transport: local, workers: 8, capacity: 200}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
''')

nowhere = logging.getLogger("nowhere")
nowhere.addHandler(logging.StreamHandler(open(os.devnull, "w")))
nowhere.propagate = False

@dispatch.task
def leave_a_mark(pipe: int) -> None:
    os.write(pipe, b"s")
    nowhere.info("takes the lock that the main thread may hold")
    os.write(pipe, b"e")

def child(pipe: int, ready: int) -> None:
    os.write(ready, b".")
    while True:
        try:
            leave_a_mark.delay(pipe)
            os.write(pipe, b"a")
            nowhere.info("sent")
        except dispatch.NotAccepted:
            time.sleep(60)

dispatch.configure(policy=work, handle_signals=True)
for _ in range(CHILDREN):
    out, pipe = os.pipe()
    waiting, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(pipe, ready)
    os.close(pipe)
    os.read(waiting, 1)
    time.sleep(seed.random() * 0.02)
    os.kill(pid, signal.SIGTERM)
    marks = bytearray()
    while chunk := os.read(out, 65536):
        marks += chunk
    _, status = os.waitpid(pid, 0)
    for each in (out, waiting, ready):
        os.close(each)
    tell(os.waitstatus_to_exitcode(status), *(marks.count(kind) for kind in b"ase"))
"""
)


def test_a_signal_at_any_moment_loses_no_call_and_hangs_nobody(tmp_path):
    """The main thread sends calls and logs while it comes: every accepted call has run, to its end."""
    seed, children = randrange(2**32), 60

    with program(STORM, tmp_path, env={"DISPATCH_SHUTDOWN_GRACE": "2s"}) as one:
        one.say(f"{seed} {children}")
        for _ in range(children):
            status, accepted, started, ended = map(int, one.line().split())

            assert -signal.SIGTERM == status, f"seed {seed}"
            assert started == ended, f"seed {seed}"
            # The last one may have been accepted by the time its sender was ended, and not noted.
            assert accepted <= started <= accepted + 1, f"seed {seed}"
        assert 0 == one.ending()


def test_another_thread_may_not_ask_for_it(undefined):
    """Python lets only the main thread handle signals; nothing is set up then."""
    caught = []

    def ask():
        try:
            dispatch.configure(policy="no-broker", handle_signals=True)
        except dispatch.NotConfigured as error:
            caught.append(str(error))

    thread = threading.Thread(target=ask, name="other")
    thread.start()
    thread.join()

    assert 1 == len(caught)
    assert "main thread" in caught[0]
    assert _default._default.dispatcher is None


def test_it_can_be_taken_back(undefined):
    """`False`: the signal is handled as before; not said: it stays as it is."""
    before = signal.getsignal(signal.SIGTERM)

    dispatch.configure(policy="no-broker", handle_signals=True)
    ours = signal.getsignal(signal.SIGTERM)
    dispatch.configure(policy="no-broker")
    dispatch.configure(policy="no-broker", handle_signals=True)

    assert before is not ours
    assert ours is signal.getsignal(signal.SIGTERM)

    dispatch.configure(policy="no-broker", handle_signals=False)

    assert before is signal.getsignal(signal.SIGTERM)


def test_taken_back_beneath_another_handler_it_hands_the_signal_on(undefined):
    """A handler of the application's that calls ours reaches the one before ours, and nothing is shut down."""
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("first"))
    dispatch.configure(policy="no-broker", handle_signals=True)
    ours = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *it: (heard.append("above"), ours(*it)))

    dispatch.configure(policy="no-broker", handle_signals=False)
    os.kill(os.getpid(), signal.SIGTERM)

    assert ["above", "first"] == heard
    assert not _default.current().destinations["fast"]._pool.closed


def test_a_bad_policy_leaves_the_signal_alone(undefined, tmp_path):
    """What `configure` cannot do it does not do by half."""
    before = signal.getsignal(signal.SIGTERM)
    (tmp_path / "bad.yaml").write_text("version: 2\n")

    with pytest.raises(dispatch.PolicyError):
        dispatch.configure(policy=tmp_path / "bad.yaml", handle_signals=True)

    assert before is signal.getsignal(signal.SIGTERM)


def test_in_a_celery_worker_it_does_nothing(undefined):
    """A worker ends its processes itself; what was asked for before it was known to be one is taken back."""
    before = signal.getsignal(signal.SIGTERM)
    dispatch.configure(policy="no-broker", handle_signals=True)

    _default._source_of_worker()

    assert before is signal.getsignal(signal.SIGTERM)
    dispatch.configure(policy="no-broker", handle_signals=True)
    assert before is signal.getsignal(signal.SIGTERM)
