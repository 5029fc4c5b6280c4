"""Durable calls that wait on disk: until their broker is back, or until a worker of this process runs them."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

import dispatch
from dispatch import _default
from dispatch._dispatcher import Dispatcher
from dispatch._flag import Flag
from dispatch.policy import parse
from dispatch.settings import Settings
from dispatch.transports.celery.publishing import Ticket
from dispatch.transports.celery.publishing._answer import ACCEPTED, refused
from house.policies import RUN_FROM_DISK
from servers.patience import eventually

FORWARDING = """
version: 1
destinations:
  queue: {transport: celery, queue: kitchen, publish_deadline: 500ms}
  disk: {transport: spool, durability: asserted, forward_to: queue}
defaults: {durability: durable}
otherwise: {route_to: queue, fallback: [disk]}
"""

gate = threading.Event()
ran: list[object] = []


@dispatch.task
def double(number):
    ran.append(number)
    return number * 2


@dispatch.task
async def adouble(number):
    return number * 2


@dispatch.task
def decline(number):
    raise LookupError(f"no order {number}")


@dispatch.task
def wait(number):
    assert gate.wait(10)
    return number


@pytest.fixture(autouse=True)
def _anew():
    gate.clear()
    ran.clear()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def open_(monkeypatch, folder):
    """Makes the default dispatcher of a policy: `open_(RUN_FROM_DISK)`. Another is as good as the next process."""
    made = []

    def make(policy, *, application="kitchen", broker_url=None):
        settings = Settings(application=application, spool_dir=folder, broker_url=broker_url, shutdown_grace="5s")
        made.append(Dispatcher(policy=parse(policy), settings=settings))
        monkeypatch.setattr(_default._default, "dispatcher", made[-1])
        made[-1].begin()
        return made[-1]

    yield make
    gate.set()
    for one in made:
        one.shutdown()


def spool_of(dispatcher):
    return dispatcher.destinations["disk"].spool


def rows(dispatcher):
    return list(spool_of(dispatcher).ls())


def away(port):
    return f"redis://127.0.0.1:{port}/0"


# Run here --------------------------------------------------------------------------------------------------------


def test_a_spooled_call_runs_here_and_its_handle_has_the_result(open_):
    """No broker is needed, and nothing is left on disk."""
    dispatcher = open_(RUN_FROM_DISK)
    handle = double.delay(21)

    assert 42 == handle.result(timeout=10)
    assert ("done", "disk", "spool") == (handle.status, handle.decision.destination, handle.decision.transport)
    eventually(lambda: not rows(dispatcher))


def test_a_coroutine_task_is_spooled_and_run_from_a_coroutine(open_):
    """`adelay` waits for the disk without blocking its loop."""
    open_(RUN_FROM_DISK)

    async def main():
        return await (await adouble.adelay(21))

    assert 42 == asyncio.run(main())


def test_until_it_has_run_it_is_spooled_and_its_row_is_there(open_):
    """A process that died now would leave it to the next one."""
    dispatcher = open_(RUN_FROM_DISK)
    handle = wait.delay(1)

    assert "spooled" == handle.status
    assert [handle.id] == [row.id for row in rows(dispatcher)]
    gate.set()
    assert 1 == handle.result(timeout=10)


def test_one_that_waits_long_holds_up_no_other(open_):
    """Each row goes when its own run has ended."""
    dispatcher = open_(RUN_FROM_DISK)
    slow = wait.delay(1)
    assert [0, 2, 4] == [double.delay(number).result(timeout=10) for number in range(3)]

    eventually(lambda: [slow.id] == [row.id for row in rows(dispatcher)])


def test_a_failure_is_raised_and_kept_as_a_dead_letter(open_):
    """With its error, its traceback and the attempt; it is not run again."""
    dispatcher = open_(RUN_FROM_DISK)
    handle = decline.delay(7)
    with pytest.raises(LookupError, match="no order 7"):
        handle.result(timeout=10)
    (row,) = eventually(lambda: spool_of(dispatcher).ls(state="dead"))

    assert (handle.id, decline.name, 1) == (row.id, row.task, row.attempt)
    assert "LookupError: no order 7" == row.last_error
    assert "raise LookupError" in row.traceback


def test_a_cancelled_call_has_left_the_disk(open_):
    """True, for nobody had taken it: its dispatcher had not begun, and now never runs it."""
    dispatcher = open_(RUN_FROM_DISK)
    blocked = [wait.delay(number) for number in range(40)]  # as many as are taken at a time, and more
    eventually(lambda: spool_of(dispatcher).statistics().leased == 32)
    handle = double.delay(1)

    assert handle.cancel()
    assert "cancelled" == handle.status
    assert not blocked[0].cancel()
    gate.set()
    assert list(range(40)) == [each.result(timeout=10) for each in blocked]
    assert [] == ran


def test_after_the_shutdown_nothing_is_withdrawn_and_figures_can_still_be_asked_for(open_):
    """Neither raises; whether the call will run is for the next process to say."""
    dispatcher = open_(RUN_FROM_DISK)
    dispatcher.destinations["disk"]._watchman.close(5)
    handle = double.delay(1)
    assert 1 == dispatcher.statistics().destinations["disk"].waiting
    dispatcher.shutdown()

    assert not handle.cancel()
    assert "spooled" == handle.status
    assert "spool" == dispatcher.statistics().destinations["disk"].transport


def test_what_one_dispatcher_leaves_the_next_runs(open_):
    """Nobody calls anything there: it begins by itself."""
    first = open_(RUN_FROM_DISK)
    first.destinations["disk"]._watchman.close(5)
    double.delay(5)
    first.shutdown()
    second = open_(RUN_FROM_DISK)

    eventually(lambda: ran == [5] and not rows(second))


def test_a_call_that_expired_on_disk_does_not_run(open_):
    """Its handle says so, and its row is gone."""
    dispatcher = open_(RUN_FROM_DISK)
    handle = double.apply_async((1,), expires=timedelta(microseconds=1))
    with pytest.raises(dispatch.errors.CallExpired):
        handle.result(timeout=10)

    eventually(lambda: not rows(dispatcher))
    assert [] == ran


def test_a_call_that_never_ends_is_set_aside(open_):
    """Begun five times by processes that then died, it is not begun a sixth time."""
    first = open_(RUN_FROM_DISK)
    first.destinations["disk"]._watchman.close(5)
    handle = double.delay(1)
    for owner in range(5):
        assert [handle.id] == [row.id for row in spool_of(first).take("fast", str(owner), count=1, lease=0)]
        spool_of(first).release("fast", str(owner))
    second = open_(RUN_FROM_DISK)

    (row,) = eventually(lambda: spool_of(second).ls(state="dead"))
    assert "begun 5 times" in row.last_error
    assert [] == ran
    assert spool_of(second).revive(row.id)
    eventually(lambda: ran == [1])


@dispatch.task(retry=dispatch.Retry(attempts=3, backoff="1ms"))
def stumble(number):
    ran.append(number)
    if len(ran) < 3:
        raise ConnectionError("not yet")
    return number


def test_it_is_attempted_again_before_it_is_dead(open_):
    """As anywhere: the attempts are one call."""
    dispatcher = open_(RUN_FROM_DISK)

    assert 5 == stumble.delay(5).result(timeout=10)
    assert [5, 5, 5] == ran
    eventually(lambda: not rows(dispatcher))


def test_a_delayed_call_waits_on_disk(open_):
    """It is not taken before its time; then it runs."""
    dispatcher = open_(RUN_FROM_DISK)
    handle = double.apply_async((1,), countdown=3600)
    (row,) = rows(dispatcher)
    assert (handle.id, "waiting") == (row.id, row.state)
    assert row.due - row.added > 3500 * 10**9

    assert 4 == double.apply_async((2,), countdown=0.1).result(timeout=10)
    assert [2] == ran


def test_functions_run_in_worker_processes_too(open_):
    """`run:` may name any local destination with workers of its own."""
    open_(RUN_FROM_DISK.replace("workers: 2", "workers: 1, runner: process"))

    assert os.getpid() != getpid.delay().result(timeout=20)


@dispatch.task
def getpid():
    return os.getpid()


# Bounds and refusals ---------------------------------------------------------------------------------------------


def test_arguments_that_json_cannot_carry_are_refused_by_name(open_):
    """A date is no text: what would come back as something else is not taken."""
    open_(RUN_FROM_DISK)

    with pytest.raises(dispatch.NotSerializable, match="argument 'number' is of type datetime"):
        double.delay(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_full_spool_says_so(open_):
    """`SpoolFull`, and nothing of the call is kept."""
    dispatcher = open_(RUN_FROM_DISK.replace("run: fast", "run: fast, max_bytes: 8KiB"))
    with pytest.raises(dispatch.errors.SpoolFull, match="at most 8 KiB"):
        double.delay("x" * 10_000)

    assert [] == rows(dispatcher)


def test_an_ephemeral_call_is_never_spooled(open_):
    """It would be repeated after a crash."""
    open_(RUN_FROM_DISK)

    with pytest.raises(dispatch.NotAccepted, match="an ephemeral call is never repeated"):
        double.options(durability="ephemeral").delay(1)


def test_a_spool_without_a_name_is_not_configured(open_):
    """And names the setting."""
    open_(RUN_FROM_DISK, application=None)

    with pytest.raises(dispatch.NotConfigured, match="set DISPATCH_APPLICATION"):
        double.delay(1)


def test_a_spool_before_no_broker_is_not_configured(open_):
    """Nothing is accepted that nobody will publish."""
    open_(FORWARDING)

    with pytest.raises(dispatch.NotConfigured, match="set DISPATCH_BROKER_URL"):
        double.delay(1)


def test_a_folder_in_memory_is_not_durable(open_, monkeypatch):
    """Unless the policy asserts that it is."""
    from dispatch.spool import Ground, _spool

    monkeypatch.setattr(_spool, "ground_of", lambda _: Ground(kind="tmpfs", mount="/run"))
    open_(RUN_FROM_DISK.replace("durability: asserted, ", ""))

    with pytest.raises(dispatch.NotAccepted, match="the spool's folder is on tmpfs"):
        double.delay(1)


# Forwarded to Celery ---------------------------------------------------------------------------------------------


def test_while_the_broker_is_away_a_durable_call_is_spooled(open_, closed_port):
    """Who asked before it, and why it has not got the call, is in the decision."""
    dispatcher = open_(FORWARDING, broker_url=away(closed_port))
    handle = double.delay(1)

    assert "spooled" == handle.status
    assert [("queue", "refused")] == [(each.destination, each.why) for each in handle.decision.passed_over]
    assert [handle.id] == [row.id for row in rows(dispatcher)]


def test_a_call_that_only_celery_may_have_is_spooled_for_it(open_, closed_port):
    """A spool before Celery is a way to Celery; its delay goes on counting on disk."""
    dispatcher = open_(FORWARDING, broker_url=away(closed_port))
    handle = double.apply_async((1,), countdown=60)

    assert [handle.id] == [row.id for row in rows(dispatcher)]


@pytest.fixture
def silent(open_, closed_port):
    """A dispatcher whose broker takes messages and does not answer, and the tickets of those messages."""
    dispatcher = open_(FORWARDING, broker_url=away(closed_port))
    queue, tickets = dispatcher.destinations["queue"], []
    start = SimpleNamespace(imported=Flag(), warm=Flag())
    start.imported.hoist()
    start.warm.hoist()

    def hand_over(call, *, may_wait):
        yield from ()
        tickets.append(Ticket(None, start, 0.0))
        assert tickets[-1].take()
        tickets[-1].conclude()
        return queue._outcome(call, tickets[-1])

    queue.hand_over = hand_over
    return dispatcher, tickets


def test_an_unknown_outcome_is_spooled_as_unknown(silent):
    """`delay` returns a handle, and raises nothing: the call is published again, under its id."""
    dispatcher, _ = silent
    handle = double.delay(1)

    assert "unknown" == handle.status
    assert [(handle.id, "unknown")] == [(row.id, row.state) for row in rows(dispatcher)]
    assert not handle.cancel()
    assert [handle.id] == [row.id for row in rows(dispatcher)]


def test_an_acceptance_that_comes_late_takes_the_call_from_the_disk(silent):
    """It need not be published again."""
    dispatcher, tickets = silent
    double.delay(1)
    tickets[0].settle(ACCEPTED)

    eventually(lambda: not rows(dispatcher))


def test_a_refusal_that_comes_late_leaves_it_there(silent):
    """It will be published again."""
    dispatcher, tickets = silent
    handle = double.delay(1)
    tickets[0].settle(refused("no memory"))

    assert [handle.id] == [row.id for row in rows(dispatcher)]


def test_an_unknown_outcome_is_raised_where_the_spool_is_full(silent):
    """The call may run, so this is no refusal."""
    dispatcher, _ = silent
    spool_of(dispatcher).max_bytes = 1

    with pytest.raises(dispatch.OutcomeUnknown):
        double.delay(1)


def test_an_unknown_outcome_of_an_ephemeral_call_is_raised(silent):
    """It goes nowhere else, and not to disk."""
    dispatcher, _ = silent
    loose = Dispatcher(policy=parse(FORWARDING.replace("durability: durable", "durability: ephemeral")))
    loose.stage(loose.policy, dispatcher.destinations)

    with pytest.raises(dispatch.OutcomeUnknown):
        double.using(loose).delay(1)
    assert [] == rows(dispatcher)
    loose.shutdown()
