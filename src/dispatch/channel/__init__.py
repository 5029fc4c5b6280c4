"""Go's channels for threads: bounded, closable, fast."""

from dispatch.channel._buffered import Buffered as _Buffered  # noqa: F401
from dispatch.channel._channel import Channel as Channel
from dispatch.channel._statistics import ChannelStatistics as ChannelStatistics
from dispatch.channel._unbuffered import Unbuffered as _Unbuffered  # noqa: F401

__all__ = ["Channel", "ChannelStatistics"]
