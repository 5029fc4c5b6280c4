"""A channel in one thread, beside a list that cannot be wrong."""

from collections import deque

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dispatch.channel import Channel, ChannelStatistics
from dispatch.errors import ChannelClosed, EndOfChannel, WouldWait

NO_PATIENCE = st.sampled_from([0, 0.0, -1, 1e-6])


class Model(RuleBasedStateMachine):
    """Whatever is done in whatever order, the channel answers as a bounded deque with an end would."""

    @initialize(capacity=st.integers(0, 5))
    def make(self, capacity):
        self.channel = Channel(capacity)
        self.capacity = capacity
        self.items = deque()
        self.closed = False

    @rule(item=st.none() | st.integers())
    def send_nowait(self, item):
        self.answers(lambda: self.channel.send_nowait(item), self.sending(item, WouldWait))

    @rule(item=st.integers(), timeout=NO_PATIENCE)
    def send_in_time(self, item, timeout):
        self.answers(lambda: self.channel.send(item, timeout), self.sending(item, TimeoutError))

    @rule()
    def receive_nowait(self):
        self.answers(self.channel.receive_nowait, self.receiving(WouldWait))

    @rule(timeout=NO_PATIENCE)
    def receive_in_time(self, timeout):
        self.answers(lambda: self.channel.receive(timeout), self.receiving(TimeoutError))

    @rule(item=st.integers())
    def send_where_it_need_not_wait(self, item):
        if self.closed or len(self.items) < self.capacity:
            self.answers(lambda: self.channel.send(item), self.sending(item, None))

    @rule()
    def receive_where_it_need_not_wait(self):
        if self.closed or self.items:
            self.answers(self.channel.receive, self.receiving(None))

    @rule()
    def iterate_to_the_end(self):
        if self.closed:
            assert list(self.channel) == list(self.items)
            self.items.clear()

    @rule()
    def close(self):
        self.channel.close()
        self.closed = True

    @invariant()
    def its_figures_are_right(self):
        assert len(self.channel) == len(self.items)
        assert self.channel.closed == self.closed
        assert self.channel.statistics() == ChannelStatistics(
            capacity=self.capacity,
            buffered=len(self.items),
            room=0 if self.closed else self.capacity - len(self.items),
            closed=self.closed,
        )

    @invariant()
    def nothing_is_in_a_hand(self):
        """Between two steps every permit and every mark lies on its queue."""
        assert self.channel._items.qsize() == len(self.items) + self.closed
        assert self.channel._permits.qsize() == self.capacity - len(self.items) + self.closed

    def sending(self, item, no_room):
        """What a send answers, and what it does to the model."""
        if self.closed:
            return ChannelClosed
        if len(self.items) == self.capacity:
            return no_room
        self.items.append(item)
        return None

    def receiving(self, nothing_there):
        if self.items:
            return self.items.popleft()
        return EndOfChannel if self.closed else nothing_there

    def answers(self, ask, expected):
        try:
            answer = ask()
        except (ChannelClosed, EndOfChannel, WouldWait, TimeoutError) as error:
            answer = type(error)
        assert answer == expected


Model.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None, database=None)
TestModel = Model.TestCase
