"""Worker processes as a pool has them: started when needed, kept, and never left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading

import psutil
import pytest

from dispatch.pool.processes import Crew, Died, Dismissed, ProcessPool, Wire
from servers.patience import eventually
from servers.process import alive

ECHO = """
import json, signal, socket, sys

sock = socket.socket(fileno=int(sys.argv[1]))

def receive():
    length = sock.recv(8, socket.MSG_WAITALL)
    return sock.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL) if length else sys.exit(0)

def send(message):
    sock.sendall(len(message).to_bytes(8, "big") + message)

told = json.loads(receive())
if told["how"] == "broken":
    sys.exit(7)
if told["how"] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
send(b"")
while True:
    head, body = receive(), receive()
    if head == b"hang":
        signal.pause()
    send(head)
    send(body)
"""


@pytest.fixture
def crew(tmp_path):
    """Makes a crew of processes that say what they hear; dismissed after the test."""
    (tmp_path / "echo.py").write_text(ECHO)
    made = []

    def make(how="well"):
        made.append(Crew(tmp_path / "echo.py", {"how": how}))
        return made[-1]

    yield make
    for each in made:
        each.dismiss(5.0)


@pytest.fixture
def wires():
    """Both ends of a connection."""
    one, other = socket.socketpair()
    with one, other:
        yield Wire(one), Wire(other)


# The wire --------------------------------------------------------------------------------------------------------


def test_messages_of_any_size_arrive_as_they_were(wires):
    """In order, empty ones too; the lengths are random around what a socket holds."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - with a failure, it draws the same again
    generator = random.Random(seed)
    messages = [generator.randbytes(size) for size in (0, 1, *(generator.randrange(1 << 20) for _ in range(20)))]
    near, far = wires
    sender = threading.Thread(target=lambda: [near.send(each) for each in messages])
    sender.start()
    arrived = [bytes(far.receive()) for _ in messages]
    sender.join()

    assert messages == arrived


def test_an_end_that_has_finished_still_hears_the_answer(wires):
    """The other one learns that nothing more comes."""
    near, far = wires
    near.send(b"last")
    near.finish()

    assert b"last" == far.receive()
    with pytest.raises(EOFError):
        far.receive()
    far.send(b"answer")
    assert b"answer" == near.receive()


def test_an_end_that_has_gone_is_the_end(wires):
    """For whoever sends as for whoever receives, and in the middle of a message."""
    near, far = wires
    near.close()

    with pytest.raises(EOFError):
        far.receive()
    with pytest.raises(EOFError):
        far.send(b"to nobody")


# The crew --------------------------------------------------------------------------------------------------------


def test_the_process_used_last_is_taken_first(crew):
    """A new one is started only while all are in use."""
    hands = crew()
    one, other = hands.take(), hands.take()
    hands.give_back(one)
    hands.give_back(other)

    taken = [hands.take(), hands.take()]

    assert [other, one] == taken
    assert 2 == hands.size
    for child in taken:
        hands.give_back(child)


def test_a_process_answers_whoever_took_it(crew):
    """Both halves, as they were."""
    hands = crew()
    child = hands.take()

    assert (b"head", b"body") == child.ask(b"head", b"body")
    hands.give_back(child)


def test_a_process_that_is_stopped_is_heard_of(crew):
    """By the thread that waits for its answer, whichever thread stopped it."""
    hands = crew()
    child = hands.take()
    stopper = threading.Timer(0, child.stop)
    stopper.start()
    with pytest.raises(Died, match="was killed by SIGKILL"):
        child.ask(b"hang", b"")
    stopper.join()
    hands.bury(child)


def test_a_process_that_does_not_start_says_how(crew):
    """And is not there any more."""
    hands = crew("broken")
    with pytest.raises(Died, match="ended with status 7"):
        hands.take()

    assert 0 == hands.size


def test_a_dismissed_crew_starts_nothing(crew):
    """What is given back later ends at once."""
    hands = crew()
    idle, busy = hands.take(), hands.take()
    hands.give_back(idle)
    hands.dismiss(5.0)
    hands.bury(busy)
    with pytest.raises(Dismissed):
        hands.take()

    assert not alive(idle.pid)
    assert not alive(busy.pid)
    assert 0 == hands.size


def test_a_process_that_refuses_to_end_is_killed(crew):
    """A second after it was told to."""
    hands = crew("deaf")
    child = hands.take()
    hands.dismiss(0.0)

    assert not alive(child.pid)
    hands.bury(child)


def test_descriptors_are_given_back(crew):
    """However a process ended."""
    hands = crew()
    hands.bury(_killed(hands.take()))
    before = psutil.Process().num_fds()
    for _ in range(10):
        child = hands.take()
        hands.retire(child) if child.pid % 2 else hands.bury(_killed(child))

    assert before == psutil.Process().num_fds()


def _killed(child):
    os.kill(child.pid, signal.SIGKILL)
    return child


# The pool --------------------------------------------------------------------------------------------------------


def test_a_start_counts_into_the_expected_wait(crew):
    """Until a process is there; while all are busy no other will be started."""
    hands = crew()
    hands.start_ns = 10**9
    pool = ProcessPool("cpu", lambda item: 0, print, hands, workers=1, capacity=1)
    cold = pool.expected_wait_ns()
    child = hands.take()
    busy = pool.expected_wait_ns()
    hands.give_back(child)
    warm = pool.expected_wait_ns()
    pool.close(1.0)

    assert cold > 10**9 > busy
    assert busy == warm


def test_a_closed_pool_leaves_no_process(crew):
    """Its own close ends the crew."""
    hands = crew()

    def run(item):
        hands.give_back(hands.take())
        return 0

    pool = ProcessPool("cpu", run, print, hands, workers=2, capacity=10)
    for item in range(10):
        assert pool.send(item, 5.0) if item else pool.try_send(item)

    assert 0 == pool.close(10.0).left
    eventually(lambda: hands.size == 0)
