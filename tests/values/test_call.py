"""The life of a call."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref

import pytest

from dispatch import _call
from dispatch._call import Call, CallOptions
from dispatch._decision import Decision
from dispatch._ids import here
from dispatch._outcome import Failure, Success
from dispatch._registry import TaskSpec
from dispatch._requirements import Requirements


def make_call(**fields) -> Call:
    spec = TaskSpec(name="shop.add", function=len, signature=len, requirements=Requirements())
    decision = Decision(
        destination="fast",
        transport="local",
        rule="otherwise",
        reason="otherwise",
        policy_version="0",
        durability="ephemeral",
    )
    return Call(spec, (1, 2), {}, None, decision, here.space, here.space.number(), 0, **fields)


def test_a_circle_through_a_call_is_collected():
    """Attributes are set past msgspec's own way, which would tell the collector of a struct that it had let go."""
    call = make_call()
    call.span = [call]
    gone = weakref.ref(call)
    del call
    gc.collect()
    assert gone() is None


def test_a_call_is_claimed_once():
    """Of many who try to run it, exactly one may."""
    call = make_call()
    barrier = threading.Barrier(8)
    claims = []

    def race():
        barrier.wait()
        claims.append(call.claim())

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == sum(claims)


def test_an_outcome_never_changes():
    """Whoever settles first has the word."""
    call = make_call()

    assert call.settle(Success(1))
    assert not call.settle(Failure(ValueError()))
    assert Success(1).value == call.outcome.value


def test_a_running_call_cannot_be_settled_by_those_who_respect_it():
    """`unless_running` leaves a claimed call alone, and takes a waiting one."""
    claimed, waiting = make_call(), make_call()
    claimed.claim()

    assert not claimed.settle(Success(None), unless_running=True)
    assert waiting.settle(Success(None), unless_running=True)
    assert not waiting.claim()


def test_each_attempt_is_claimed_once():
    """Between two of them a call waits again, keeps what it carries, and its waiters hear nothing."""
    call = make_call()
    seen = []
    call.tell(lambda: seen.append(call.outcome))
    call.claim()

    assert call.again(due=5)
    assert ("waiting", 2, 5, (1, 2), []) == (call.stage, call.attempt, call.due, call.args, seen)
    assert call.claim()
    assert not call.claim()
    call.settle(Success(3))
    assert [3] == [outcome.value for outcome in seen]


def test_a_call_that_has_its_outcome_is_not_attempted_again():
    """Somebody told it that its time was up."""
    call = make_call()
    call.claim()
    call.settle(Failure(TimeoutError()))

    assert not call.again(due=5)
    assert ("settled", 1) == (call.stage, call.attempt)


def test_everybody_who_waits_is_woken_once_after_the_outcome_is_there():
    """Waiters see the outcome; those who took their word back hear nothing."""
    call = make_call()
    seen = []
    first, second = (
        (lambda: seen.append(("first", call.outcome))),
        (lambda: seen.append(("second", call.outcome))),
    )
    call.tell(first)
    call.tell(second)
    call.forget(second)
    outcome = Success(3)

    call.settle(outcome)

    assert [("first", outcome)] == seen
    assert not call.tell(first)


class Interrupted(BaseException):
    """What the handler raises; like KeyboardInterrupt, no Exception."""


@pytest.mark.usefixtures("quiet_collector")
def test_an_interrupt_leaves_the_turn_open():
    """An exception out of a signal handler, wherever it falls: otherwise no call could ever be claimed again."""
    raised = 0
    armed = False

    def interrupt(*_):
        nonlocal raised
        if armed:
            raised += 1
            raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 5e-5, 5e-5)
    end = time.monotonic() + 20
    try:
        while raised < 100 and time.monotonic() < end:
            call = make_call()
            try:
                armed = True
                while call.outcome is None:
                    call.stage = "waiting"
                    call.claim()
                    call.settle(Success(None), unless_running=True)
            except Interrupted:
                pass
            finally:
                armed = False
            assert not _call._turn.lock.locked()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert raised >= 100


def test_a_settled_call_keeps_nothing_of_what_it_carried():
    """A kept handle does not keep large arguments alive."""
    call = make_call()

    call.settle(Success(None))

    assert ((), {}) == (call.args, call.kwargs)


def test_ids_are_unique_and_share_the_prefix_of_their_process():
    """A prefix drawn once, and a counter."""
    first, second = make_call(), make_call()

    assert first.id != second.id
    assert first.id.split("-")[0] == second.id.split("-")[0] == here.space.prefix
    assert 16 == len(here.space.prefix)


def test_a_task_id_given_by_the_caller_is_the_id():
    """Celery's `task_id` holds on both paths."""
    assert "mine" == make_call(options=CallOptions(task_id="mine")).id


def test_a_forked_child_gives_other_ids_and_knows_the_parents_calls_as_foreign():
    """A new random prefix in the child; what the parent made is not the child's to wait for."""
    call = make_call()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, f"{here.space.prefix} {call.foreign}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    prefix, foreign = os.read(read, 100).decode().split()
    os.close(read)
    os.close(write)

    assert prefix != here.space.prefix
    assert "True" == foreign
    assert not call.foreign


@pytest.mark.parametrize("times", [10_000])
def test_a_call_costs_no_more_memory_than_promised(times):
    """A queued call, arguments apart, stays under 400 bytes (700 with its handle and context is the bar)."""
    import tracemalloc

    spec_call = make_call()
    tracemalloc.start()
    calls = [
        Call(spec_call.spec, spec_call.args, {}, None, spec_call.decision, here.space, number, 0)
        for number in range(times)
    ]
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert current / len(calls) < 400
