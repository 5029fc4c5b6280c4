"""A channel's figures at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatistics:
    """What `Channel.statistics()` saw. Other threads go on meanwhile, so the figures are a moment old."""

    capacity: int
    """How many items may wait; 0: unbuffered."""
    buffered: int
    """How many items wait to be received."""
    room: int
    """How many sends would not have to wait: free slots, or, unbuffered, waiting receivers. 0 once closed."""
    closed: bool
