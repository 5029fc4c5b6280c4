"""`select` in one thread, over several channels, beside lists that cannot be wrong."""

from collections import deque

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dispatch.channel import Channel, receive, select, send
from dispatch.errors import ChannelClosed

NUMBERS = st.integers(0, 2)
CASES = st.lists(st.none() | st.tuples(NUMBERS, st.none() | st.integers()), min_size=1, max_size=5)


class Model(RuleBasedStateMachine):
    """Whatever the cases are, one that can go ahead does, and nothing else happens."""

    @initialize(capacities=st.tuples(*[st.integers(0, 2)] * 3))
    def make(self, capacities):
        self.channels = [Channel(capacity) for capacity in capacities]
        self.items = [deque() for _ in capacities]

    @rule(cases=CASES, timeout=st.sampled_from([None, 0, 1e-6]))
    def select(self, cases, timeout):
        made = [None if case is None else self.case(*case) for case in cases]
        able = [index for index, case in enumerate(cases) if case is not None and self.can(*case)]
        try:
            selected = select(*made, timeout=timeout, default="nothing")
        except ChannelClosed:
            assert any(cases[index][1] is not None and self.channels[cases[index][0]].closed for index in able)
            return
        if selected == "nothing":
            assert not able
            return
        assert selected.index in able
        number, item = cases[selected.index]
        if item is not None:
            self.items[number].append(item)
            assert (selected.item, selected.closed) == (None, False)
        elif self.items[number]:
            assert (selected.item, selected.closed) == (self.items[number].popleft(), False)
        else:
            assert (selected.item, selected.closed) == (None, True)

    @rule(number=NUMBERS)
    def close(self, number):
        self.channels[number].close()

    @invariant()
    def nothing_is_in_a_hand_and_nothing_hangs(self):
        for channel, items in zip(self.channels, self.items, strict=True):
            assert channel._items.qsize() == len(items) + channel.closed
            assert channel._permits.qsize() == channel.capacity - len(items) + channel.closed
            assert not channel._item_bells
            assert not channel._permit_bells

    def case(self, number, item):
        channel = self.channels[number]
        return receive(channel) if item is None else send(channel, item)

    def can(self, number, item):
        channel, items = self.channels[number], self.items[number]
        if item is None:
            return bool(items) or channel.closed
        return channel.closed or len(items) < channel.capacity


Model.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None, database=None)
TestModel = Model.TestCase
