"""The recorder: what is kept of the calls that ended."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

import pytest

import dispatch
from dispatch._recorder import Finished, Recorder, recorder


class Payload:
    """Something whose end can be seen."""


@dispatch.task
def double(x: int) -> int:
    return 2 * x


@dispatch.task
def fails() -> None:
    raise LookupError("no such thing")


@dispatch.task
def same(x: Any) -> Any:
    return x


def finished(number: int) -> Finished:
    spec, space = double.spec, object()
    return Finished(spec, None, space, number, None, None, *[0] * 8, 1, None, None)


def test_a_call_that_ended_is_remembered_with_its_times(remembering):
    handle = double.using(remembering).delay(4)
    assert 8 == handle.result(timeout=10)
    (call,) = recorder.calls()
    assert (handle.id, double.name) == (call.id, call.spec.name)
    assert call.entered <= call.decided <= call.taken <= call.started <= call.ended
    assert ("fast", "otherwise", None) == (call.decision.destination, call.decision.rule, call.error)


def test_a_failure_is_remembered_by_its_type_alone(remembering):
    assert isinstance(fails.using(remembering).delay().exception(timeout=10), LookupError)
    assert [LookupError] == [call.error for call in recorder.calls()]


def test_neither_arguments_nor_results_are_kept_alive(remembering):
    payload = Payload()
    gone = weakref.ref(payload)
    handle = same.using(remembering).delay(payload)
    handle.result(timeout=10)
    del payload, handle
    remembering.shutdown()
    gc.collect()
    assert gone() is None
    assert 1 == len(recorder.calls())


def test_the_id_that_the_caller_gave_is_the_one_remembered(remembering):
    double.using(remembering).apply_async((1,), task_id="mine").result(timeout=10)
    assert ["mine"] == [call.id for call in recorder.calls()]


def test_a_refused_call_is_remembered(remembering):
    with pytest.raises(dispatch.NotAccepted):
        double.options(durability="durable").using(remembering).delay(1)
    (call,) = recorder.calls()
    assert (double.name, dispatch.NotAccepted) == (call.spec.name, call.error)


def test_the_oldest_makes_room():
    ring = Recorder()
    ring.keep(3)
    for number in range(5):
        ring.note(finished(number))
    assert [2, 3, 4] == [each.number for each in ring.calls()]


def test_fewer_to_keep_leaves_the_latest():
    ring = Recorder()
    for number in range(5):
        ring.note(finished(number))
    ring.keep(2)
    assert [3, 4] == [each.number for each in ring.calls()]


def test_none_to_keep_needs_no_record_at_all():
    ring = Recorder()
    ring.keep(0)
    assert ring.note is None


def test_listeners_are_told_even_when_none_are_kept():
    ring = Recorder()
    ring.keep(0)
    told: list[Finished] = []
    ring.tell(told.append)
    ring.note(finished(1))
    ring.spare(told.append)
    assert [1] == [each.number for each in told]
    assert ring.note is None


def test_a_forked_child_starts_empty(remembering):
    double.using(remembering).delay(4).result(timeout=10)
    remembering.shutdown()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, b"%d" % len(recorder.calls()))
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert b"0" == pipe.read()
    assert 1 == len(recorder.calls())


def test_the_setting_says_how_many_are_kept(monkeypatch):
    monkeypatch.setenv("DISPATCH_RECORDER", "2")
    try:
        dispatch.configure(policy="no-broker")
        recorder.renew()
        for _ in range(4):
            double.delay(1).result(timeout=10)
        assert 2 == len(recorder.calls())
    finally:
        dispatch.shutdown()
        monkeypatch.delenv("DISPATCH_RECORDER")
        dispatch.configure(policy="no-broker")
        dispatch.shutdown()
