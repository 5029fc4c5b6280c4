"""A map whose calls wait for a broker or a disk: they travel together, and each item is accounted for."""

from __future__ import annotations

import asyncio
import random

import pytest

import dispatch
from dispatch import _convoy
from dispatch._map import asend_each, send_each
from dispatch._registry import TaskSpec
from dispatch._requirements import Requirements

SPEC = TaskSpec(name="convoys.work", function=print, signature=lambda item: None, requirements=Requirements())


class Answer:
    """Of a broker: what it says about one item, once that is waited for, or is told that nobody waits."""

    under_way = True

    def __init__(self, road, item):
        self.road = road
        self.item = item
        road.out.append(self)
        road.most = max(road.most, len(road.out))

    def wait(self):
        # A broker answers in the order in which it was asked.
        while self in self.road.out:
            self.road.out.pop(0)
        if self.item == self.road.interrupted_at:
            self.road.interrupted_at = None
            raise KeyboardInterrupt

    async def wait_async(self):
        await asyncio.sleep(0)
        self.wait()

    def withdraw(self):
        taken_back = self in self.road.out and self.item in self.road.unwritten
        if taken_back:
            self.road.out.remove(self)
        return taken_back


class Road:
    """What becomes of items: by default each is accepted, and its handle is its text."""

    def __init__(self, *, refused=(), doubtful=(), unwritten=(), interrupted_at=None):
        self.refused = set(refused)
        self.doubtful = set(doubtful)
        self.unwritten = set(unwritten)
        self.interrupted_at = interrupted_at
        self.out = []
        self.most = 0
        self.started = []

    def start(self, spec, args, kwargs, entered, *, awaiting=False):
        self.started.append(args[0])
        return self.steps(args[0])

    def steps(self, item):
        yield Answer(self, item)
        if item in self.refused:
            raise dispatch.NotAccepted(SPEC.name, [])
        if item in self.doubtful:
            raise dispatch.OutcomeUnknown("no answer", str(item))
        return str(item)

    def map(self, items):
        return list(send_each(self.start, SPEC, items, (), {}))

    def amap(self, items):
        async def main():
            return list(await asend_each(self.start, SPEC, items, (), {}))

        return asyncio.run(main())


@pytest.mark.parametrize("way", ["map", "amap"])
def test_calls_are_under_way_together_and_stand_in_order(way):
    """Nobody waits for one answer before the next call is sent; no more than the bound are out."""
    road = Road()

    assert [str(item) for item in range(3_000)] == getattr(road, way)(range(3_000))
    assert 200 < road.most <= 513


def test_the_first_goes_alone():
    """What is wrong with all of them is known before a second item is drawn, and is raised as `delay` raises it."""
    road, items = Road(refused=range(10)), iter(range(10))

    with pytest.raises(dispatch.NotAccepted):
        road.map(items)

    assert list(range(1, 10)) == list(items)


def test_a_slow_source_has_each_answer_before_it_is_asked_again(monkeypatch):
    """Who feeds a map for hours learns of a refusal before the next item, not some hundreds later."""
    now = [0]
    monkeypatch.setattr(_convoy, "ticks", lambda: now[0])
    road = Road()

    def items():
        for item in range(50):
            now[0] += 20_000_000
            yield item

    assert 50 == len(road.map(items()))
    assert 1 == road.most


@pytest.mark.parametrize("way", ["map", "amap"])
def test_when_one_is_refused_each_item_is_sent_or_unsent_or_in_doubt(way):
    """Those behind it were under way: what can be taken back is, and the others are heard."""
    road = Road(refused=[40, 44], doubtful=[42], unwritten=[45, 46])
    items = iter(range(1_000))

    with pytest.raises(dispatch.PartlySent, match="stopped at item 40, counted from 0") as caught:
        getattr(road, way)(items)

    stopped, drawn = caught.value, next(items)
    assert isinstance(stopped.__cause__, dispatch.NotAccepted)
    assert ["42"] == stopped.in_doubt
    assert {40, 44} <= set(stopped.unsent)
    assert [*range(drawn)] == sorted([*map(int, stopped.sent), *map(int, stopped.in_doubt), *stopped.unsent])


def test_an_interrupt_has_what_was_sent():
    """Ctrl-C in the middle of a wait: those under way are heard first."""
    road = Road(interrupted_at=6)

    with pytest.raises(KeyboardInterrupt) as caught:
        road.map(range(100))

    assert [str(item) for item in road.started] == list(caught.value.sent)


@pytest.mark.parametrize("turn", range(20))
def test_no_item_is_lost_track_of(turn):
    """Whatever is refused, doubtful or taken back, each item that was drawn is in one place, and in order."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    total = chance.randrange(2, 2_000)
    some = [chance.sample(range(total), chance.randrange(total // 2 + 1)) for _ in range(3)]
    road = Road(refused=set(some[0]) - {0}, doubtful=set(some[1]) - {0}, unwritten=some[2])
    items = iter(range(total))

    try:
        found = [road.map(items), [], []]
    except dispatch.PartlySent as stopped:
        found = [list(stopped.sent), stopped.in_doubt, stopped.unsent]

    assert all(list(map(int, part)) == sorted(map(int, part)) for part in found), seed
    assert sorted(int(each) for part in found for each in part) == road.started, seed
