"""clock(): time passes when the test says so."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from types import ModuleType

import pytest

from dispatch import CallExpired, _clock
from dispatch.testing import clock
from testing import shop


def test_time_stands_still_until_it_is_told_to_pass():
    """Both clocks, by the same step."""
    with clock() as held:
        now = held.now
        assert (_clock.ticks(), _clock.wall()) == (_clock.ticks(), _clock.wall())
        before = _clock.ticks()
        held.advance("1m30s")
        held.advance(0.5)
        assert _clock.ticks() - before == 90_500_000_000
        assert held.now - now == timedelta(seconds=90.5)
        with pytest.raises(ValueError, match="-1"):
            held.advance(-1)


def test_all_of_dispatch_reads_it_and_then_the_real_one_again(monkeypatch):
    """Every module that has the functions by name, one that is first imported meanwhile included."""
    real = _clock.ticks
    newcomer = ModuleType("dispatch._newcomer")
    with clock():
        monkeypatch.setitem(sys.modules, newcomer.__name__, newcomer)
        exec("from dispatch._clock import ticks", vars(newcomer))
        inside = readers()
        assert real not in inside
    assert set(readers()) == {real}
    assert len(readers()) == len(inside) > 5


def test_clocks_nest():
    """The inner one goes on from the outer one, and gives way to it."""
    with clock() as outer:
        outer.advance(10)
        with clock() as inner:
            inner.advance(5)
            assert inner.now - outer.now == timedelta(seconds=5)
            assert _clock.wall() == inner.wall()
        assert _clock.wall() == outer.wall()


def test_a_waiting_call_expires_without_a_wait(dispatcher):
    """An hour passes in no time; a call with two hours to spare runs."""
    started, go = [threading.Event() for _ in range(64)], threading.Event()
    with clock() as held:
        running = [shop.hold.delay(each, go) for each in started[: workers(dispatcher)]]
        for each in started[: len(running)]:
            assert each.wait(5)
        late = shop.greet.apply_async(("Ada",), expires=3600)
        early = shop.greet.apply_async(("Bob",), expires=7200)
        held.advance("1h1s")
        go.set()

        assert isinstance(late.exception(5), CallExpired)
        assert early.result(5) == "Hello, Bob"
        assert [each.result(5) for each in running] == [True] * len(running)


def readers():
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "dispatch"]
    return [vars(module)["ticks"] for module in modules if "ticks" in vars(module)]


def workers(dispatcher):
    return dispatcher.destinations["fast"]._pool.limit
