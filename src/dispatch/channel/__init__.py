"""Go's channels for threads and coroutines: bounded, closable, fast."""

from dispatch.channel._buffered import Buffered as _Buffered  # noqa: F401
from dispatch.channel._cases import Receive as Receive
from dispatch.channel._cases import Send as Send
from dispatch.channel._channel import Channel as Channel
from dispatch.channel._select import aselect as aselect
from dispatch.channel._select import receive as receive
from dispatch.channel._select import select as select
from dispatch.channel._select import send as send
from dispatch.channel._selection import Case as Case
from dispatch.channel._selection import Selected as Selected
from dispatch.channel._statistics import ChannelStatistics as ChannelStatistics
from dispatch.channel._timers import after as after
from dispatch.channel._unbuffered import Unbuffered as _Unbuffered  # noqa: F401

__all__ = [
    "Case",
    "Channel",
    "ChannelStatistics",
    "Receive",
    "Selected",
    "Send",
    "after",
    "aselect",
    "receive",
    "select",
    "send",
]
