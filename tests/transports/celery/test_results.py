"""How results come back: read while somebody waits, from a backend that may be late, away, or no Redis at all."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from celery import Celery
from celery.exceptions import WorkerLostError
from redis.client import PubSub

from dispatch._handle import Handle
from dispatch.errors import (
    CallCancelled,
    CallExpired,
    CallFailed,
    NotConfigured,
    ResultNotSerializable,
    WorkerDied,
)
from dispatch.transports.celery import Results, Store
from dispatch.transports.celery.results import _reader, _subscription
from servers.patience import eventually
from servers.process import frozen

# Celery's own way of storing a result, which the tests use as a worker does.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


class Declined(Exception):
    """As a task of this program may raise it."""


class Picky(Exception):
    """Cannot be made of what it keeps in `args`."""

    def __init__(self, *, code):
        super().__init__(f"code {code}")


@pytest.fixture
def new_results():
    made = []

    def make(app):
        made.append(Results(lambda: app, Store()))
        return made[-1]

    yield make
    for results in made:
        results.close()


@pytest.fixture
def new_app():
    """Makes apps that keep results at `url`, and leave no connection behind."""
    with ExitStack() as stack:

        def make(url):
            app = stack.enter_context(Celery("shop", broker=url, backend=url, set_as_current=False))
            app.conf.result_backend_thread_safe = True  # one backend for all threads, which can be closed
            stack.callback(app.backend.client.close)
            return app

        yield make


@pytest.fixture
def app(new_app, redis_url):
    return new_app(redis_url)


@pytest.fixture
def results(app, new_results):
    return new_results(app)


@pytest.fixture(params=["redis", "polled"])
def any_app(request, tmp_path):
    """An app whose results are published, and one whose results can only be looked up."""
    if request.param == "redis":
        yield request.getfixturevalue("app")
    else:
        (tmp_path / "results").mkdir()
        backend = f"file://{tmp_path}/results"
        with Celery("shop", broker="memory://", backend=backend, set_as_current=False) as app:
            yield app


def _done(app, call, value):
    """What a worker does when the task returns."""
    app.backend.mark_as_done(call.id, value)


def _failed(app, call, error, traceback=None):
    """What a worker does when the task raises."""
    app.backend.mark_as_failure(call.id, error, traceback)


def _subscribed(app, call):
    """How many connections listen for the result of the call."""
    [(_, number)] = app.backend.client.pubsub_numsub(app.backend.get_key_for_task(call.id))
    return number


def _listening(app, results, new_call):
    """A call whose subscription stands; the reader has nothing left to do but wait."""
    call, other = new_call(results), new_call(results)
    results.watch(call)
    eventually(lambda: _subscribed(app, call))
    _done(app, other, None)
    assert Handle(other).result(timeout=10) is None
    return call


def _settled(call, within=10):
    eventually(lambda: call.outcome is not None, within=within, what=f"call {call.id} is settled")
    return call.outcome


# A result arrives ------------------------------------------------------------------------------------------------


def test_a_result_that_is_there_already_is_found(any_app, new_results, new_call):
    """Who asks late gets the answer all the same."""
    call = new_call(new_results(any_app))
    _done(any_app, call, [1, {"a": None}])

    assert [1, {"a": None}] == Handle(call).result(timeout=10)


def test_a_result_that_comes_later_is_found(any_app, new_results, new_call):
    """Who asks early is answered when the worker is done."""
    results = new_results(any_app)
    call = new_call(results)
    results.watch(call)
    assert call.outcome is None

    _done(any_app, call, "late")

    assert "late" == Handle(call).result(timeout=10)


def test_a_result_in_redis_is_heard_when_it_comes(app, results, new_call):
    """Nobody looks again and again: the worker's publication is heard."""
    call = _listening(app, results, new_call)

    _done(app, call, "late")

    assert "late" == _settled(call, within=2).value


def test_a_result_that_comes_just_before_the_subscription_is_found(app, results, new_call, monkeypatch):
    """It was not there at the first look, and nobody listened when it came: the second look finds it."""
    call = new_call(results)
    subscribe = PubSub.subscribe

    def too_late(pubsub, *keys):
        _done(app, call, "missed")
        subscribe(pubsub, *keys)

    monkeypatch.setattr(PubSub, "subscribe", too_late)

    assert "missed" == Handle(call).result(timeout=10)


def test_no_result_is_missed_that_comes_while_somebody_begins_to_wait(app, results, new_call):
    """Five hundred calls, stored by one thread while another begins to wait for them: all answered."""
    calls = [new_call(results) for _ in range(500)]
    with ThreadPoolExecutor(2) as pool:
        storing = pool.submit(lambda: [_done(app, call, call.id) for call in calls])
        for call in calls:
            results.watch(call)
        storing.result()

    assert [call.id for call in calls] == [Handle(call).result(timeout=10) for call in calls]


def test_threads_and_coroutines_wait_side_by_side(app, results, new_call):
    """Thirty threads and thirty coroutines, each for a call of its own."""
    calls = [new_call(results) for _ in range(60)]

    async def awaited():
        return await asyncio.gather(*(_awaiting(Handle(call)) for call in calls[30:]))

    async def _awaiting(handle):
        return await handle

    with ThreadPoolExecutor(32) as pool:
        blocked = [pool.submit(Handle(call).result, 20) for call in calls[:30]]
        coroutines = pool.submit(asyncio.run, awaited())
        for number, call in enumerate(calls):
            _done(app, call, number)

        assert list(range(30)) == [each.result() for each in blocked]
        assert list(range(30, 60)) == coroutines.result()


def test_two_handles_of_one_id_are_both_answered(app, results, new_call):
    """A task id that was given twice has one result, and everybody who waits for it gets it."""
    first, second = new_call(results, "same"), new_call(results, "same")
    results.watch(first)
    results.watch(second)

    _done(app, first, 1)

    assert [1, 1] == [_settled(first).value, _settled(second).value]


def test_a_callback_may_wait_for_another_result(app, results, new_call):
    """The thread that brings results runs the callbacks; one that waits for a further result gets it."""
    first, second = Handle(new_call(results)), Handle(new_call(results))
    heard = []
    first.add_done_callback(lambda _: heard.append(second.result(timeout=10)))

    _done(app, second._call, "second")
    _done(app, first._call, "first")

    assert ["second"] == eventually(lambda: heard)


def test_a_callback_that_fails_leaves_the_others_alone(app, results, new_call, caplog):
    """Whoever is woken may raise what he likes: the next result arrives."""
    first, second = new_call(results), new_call(results)
    first.tell(lambda: 1 / 0)
    results.watch(first)
    results.watch(second)
    _done(app, first, 1)
    _done(app, second, 2)

    assert 2 == Handle(second).result(timeout=10)
    eventually(lambda: "ZeroDivisionError" in caplog.text)


# What it says ----------------------------------------------------------------------------------------------------


def test_the_tasks_own_exception_is_rebuilt(any_app, new_results, new_call):
    """Class and arguments, with the worker's traceback as a note."""
    call = new_call(new_results(any_app))
    _failed(any_app, call, Declined("no cover", 402), "Traceback: in the worker")

    error = Handle(call).exception(timeout=10)

    assert (Declined, ("no cover", 402)) == (type(error), error.args)
    assert ["In the worker:\nTraceback: in the worker"] == error.__notes__


def test_an_exception_that_cannot_be_rebuilt_is_told(any_app, new_results, new_call):
    """Its class is not loaded here, or does not take what it kept: `CallFailed` says what it was."""
    results = new_results(any_app)
    unknown = type("Elsewhere", (Exception,), {"__module__": "not.loaded.here"})
    for error in (unknown("gone"), Picky(code=7)):
        call = new_call(results)
        _failed(any_app, call, error)

        with pytest.raises(CallFailed, match=rf"{type(error).__name__}.*{error.args[0]}"):
            Handle(call).result(timeout=10)


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (lambda backend, id_: backend.mark_as_revoked(id_, "expired"), CallExpired),
        (lambda backend, id_: backend.mark_as_revoked(id_, "revoked"), CallCancelled),
        (lambda backend, id_: backend.mark_as_revoked(id_, "terminated"), CallCancelled),
        (lambda backend, id_: backend.mark_as_failure(id_, WorkerLostError("signal 9")), WorkerDied),
        (lambda backend, id_: backend.mark_as_failure(id_, WorkerDied("signal 9")), WorkerDied),
        (lambda backend, id_: backend.mark_as_failure(id_, ResultNotSerializable("a set")), ResultNotSerializable),
    ],
    ids=["expired", "revoked", "terminated", "lost", "lost-ephemeral", "not-serializable"],
)
def test_what_celery_stores_in_other_words_is_said_in_ours(app, results, new_call, store, expected):
    """Revoked, expired, lost: each is an error of the tree in `dispatch.errors`."""
    call = new_call(results)
    store(app.backend, call.id)

    assert expected is type(Handle(call).exception(timeout=10))


def test_a_call_that_only_started_or_is_to_be_retried_is_not_settled(app, results, new_call):
    """What is stored on the way is no outcome."""
    call = new_call(results)
    app.backend.mark_as_started(call.id)
    results.peek(call)
    app.backend.mark_as_retry(call.id, Declined("again"))
    results.peek(call)
    assert call.outcome is None

    _done(app, call, 1)

    assert 1 == Handle(call).result(timeout=10)


@pytest.mark.parametrize(
    "stored",
    [
        b"\x80not json",
        b'{"status": "FAILURE", "result": {"exc_type": "system", "exc_module": "os", "exc_message": ["x"]}}',
    ],
)
def test_a_stored_result_that_cannot_be_read_fails_the_call(app, results, new_call, stored):
    """Somebody else's bytes, or a trap: the handle raises, and the next result arrives."""
    call, next_call = new_call(results), new_call(results)
    app.backend.client.set(app.backend.get_key_for_task(call.id), stored)
    _done(app, next_call, 2)

    with pytest.raises(CallFailed, match="cannot be read here"):
        Handle(call).result(timeout=10)
    assert 2 == Handle(next_call).result(timeout=10)


# Looking, and not waiting ----------------------------------------------------------------------------------------


def test_a_look_settles_what_is_there_and_waits_for_nothing(any_app, new_results, new_call):
    """`done()` is false before the result is there, true afterwards."""
    call = new_call(new_results(any_app))
    assert not Handle(call).done()

    _done(any_app, call, 1)

    assert Handle(call).done()


def test_a_look_at_a_backend_that_is_away_says_not_done(new_app, closed_port, new_results, new_call):
    """Nobody answers: the call is not done, and looking raises nothing."""
    app = new_app(f"redis://127.0.0.1:{closed_port}/0")

    assert not Handle(new_call(new_results(app))).done()


def test_cancelling_is_never_certain(results, new_call):
    """A revocation may come too late, so `cancel()` promises nothing."""
    assert not Handle(new_call(results)).cancel()


# No store --------------------------------------------------------------------------------------------------------


def test_without_a_store_the_wait_is_refused_at_once(new_results, new_call):
    """The error names the setting."""
    with Celery("shop", broker="amqp://nowhere", set_as_current=False) as app:
        call = new_call(new_results(app))

        with pytest.raises(NotConfigured, match="DISPATCH_RESULT_BACKEND"):
            Handle(call).result()
        assert not Handle(call).done()


def test_a_redis_broker_keeps_results_where_the_app_has_no_backend(redis_url, new_results, new_call):
    """The broker is a store as well, and the user's `app.conf` stays as it was."""
    with Celery("shop", broker=redis_url, set_as_current=False) as app:
        results = new_results(app)
        call = new_call(results)
        kept = results._store.of(app)
        kept.mark_as_done(call.id, 1)

        assert 1 == Handle(call).result(timeout=10)
        assert app.conf.result_backend is None
        kept.client.close()


def test_a_result_that_nobody_wanted_is_refused_with_the_reason(results, new_call, new_spec):
    """`result=False` at the task, `ignore_result=True` at the call."""
    with pytest.raises(NotConfigured, match="result=False"):
        Handle(new_call(results, of=new_spec(print, result=False))).result()
    with pytest.raises(NotConfigured, match="ignore_result=True"):
        Handle(new_call(results, ignore_result=True)).result()


# Nothing is kept longer than somebody waits ----------------------------------------------------------------------


def test_subscriptions_last_as_long_as_somebody_waits(app, results, new_call):
    """None before, one for each call that is waited for, none after its result or the end of the wait."""
    arriving, given_up = new_call(results), new_call(results)

    def subscribed():
        return [_subscribed(app, call) for call in (arriving, given_up)]

    assert [0, 0] == subscribed()
    results.watch(arriving)
    results.watch(given_up)
    eventually(lambda: subscribed() == [1, 1])

    results.unwatch(given_up)
    eventually(lambda: subscribed() == [1, 0])

    _done(app, arriving, 1)
    assert 1 == Handle(arriving).result(timeout=10)
    eventually(lambda: subscribed() == [0, 0])


def test_a_call_that_nobody_waits_for_is_not_kept(results, new_call):
    """A handle that is dropped after a timeout is gone."""
    call = new_call(results)
    with pytest.raises(TimeoutError):
        Handle(call).result(timeout=0.01)
    gone = weakref.ref(call)
    del call

    eventually(lambda: gc.collect() >= 0 and gone() is None)


def test_who_begins_to_wait_as_another_gives_up_is_not_forgotten(app, results, new_call):
    """`unwatch` for the one, after `tell` for the other: the call is still watched."""
    call = new_call(results)
    results.watch(call)
    woken = threading.Event()
    call.tell(woken.set)
    results.unwatch(call)

    _done(app, call, 1)

    assert woken.wait(10)


def test_the_thread_ends_when_nobody_has_waited_for_a_while(app, results, new_call, monkeypatch):
    """Thread and connection come back with the next wait."""
    monkeypatch.setattr(_reader, "_LINGER", 0.05)
    for number in range(2):
        call = new_call(results)
        results.watch(call)
        _done(app, call, number)
        assert number == Handle(call).result(timeout=10)

        eventually(lambda: not any(each.name == "dispatch-results" for each in threading.enumerate()))


# A backend that goes away ----------------------------------------------------------------------------------------


@pytest.fixture
def own_app(new_app, private_redis):
    """An app on a Redis that may be stopped."""
    return new_app(private_redis.url)


def test_a_wait_outlives_the_backend(own_app, private_redis, new_results, new_call, monkeypatch):
    """The server dies and comes back while somebody waits: the result that is stored afterwards arrives."""
    monkeypatch.setattr(_reader, "_LONGEST_PAUSE", 0.2)
    results = new_results(own_app)
    before, after = new_call(results), new_call(results)
    results.watch(before)
    _done(own_app, before, "before")
    assert "before" == Handle(before).result(timeout=10)
    results.watch(after)

    private_redis.kill()
    with pytest.raises(TimeoutError):
        Handle(after).result(timeout=0.3)
    results.watch(after)
    private_redis.start()
    _done(own_app, after, "after")

    assert "after" == Handle(after).result(timeout=20)


def test_a_result_stored_while_the_connection_is_cut_is_found(new_app, redis_proxy, redis_url, new_results, new_call):
    """What was published while nobody listened is found by the look after the new subscription."""
    host, database = redis_url.rpartition(":")[0], redis_url.rpartition("/")[2]
    results = new_results(new_app(f"{host}:{redis_proxy.port}/{database}"))
    working = new_app(redis_url)
    call = _listening(working, results, new_call)
    redis_proxy.cut()
    _done(working, call, "meanwhile")
    redis_proxy.restore()

    assert "meanwhile" == Handle(call).result(timeout=20)


@pytest.fixture
def impatient(monkeypatch):
    """Seconds become tenths."""
    monkeypatch.setattr(_subscription, "_BEAT", 0.1)
    monkeypatch.setattr(_subscription, "ANSWER", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_backend_that_falls_silent_is_noticed(own_app, private_redis, new_results, new_call, caplog):
    """A connection on which nothing comes is tried now and then, and replaced when it does not answer."""
    call = _listening(own_app, new_results(own_app), new_call)

    with frozen(private_redis.pid):
        eventually(lambda: "does not answer" in caplog.text)
    _done(own_app, call, 1)

    assert 1 == Handle(call).result(timeout=20)


def test_a_forked_child_reads_with_a_reader_of_its_own(project, redis_url):
    """The parent waits, the process forks, and both get the result of a call of their own."""
    shop = project(
        """
        import os, sys
        from celery import Celery
        from dispatch._call import Call, CallOptions
        from dispatch._decision import Decision
        from dispatch._handle import Handle
        from dispatch._ids import here
        from dispatch._registry import TaskSpec
        from dispatch._requirements import Requirements
        from dispatch.transports.celery import Results, Store

        app = Celery("shop", broker=sys.argv[-1], backend=sys.argv[-1])
        results = Results(lambda: app, Store())
        spec = TaskSpec(name="shop.f", function=print, signature=print, requirements=Requirements())

        def call(name):
            where = Decision(destination="q", transport="celery", rule="r", reason="rule", policy_version="0",
                             durability="ephemeral")
            options = CallOptions(task_id=name)
            return Call(spec, (), {}, None, where, here.space, 1, 1, options=options, source=results)

        def answered(name):
            made = call(name)
            results.watch(made)
            app.backend.mark_as_done(name, name)
            assert name == Handle(made).result(timeout=10)

        waiting = call("waiting")
        results.watch(waiting)
        answered("parent")
        child = os.fork()
        if child == 0:
            answered("child")
            os._exit(0)
        assert 0 == os.waitpid(child, 0)[1]
        app.backend.mark_as_done("waiting", "waiting")
        assert "waiting" == Handle(waiting).result(timeout=10)
        """
    )

    assert "" == shop.run(f"import sys; sys.argv.append({redis_url!r}); import {shop.name}").stdout
