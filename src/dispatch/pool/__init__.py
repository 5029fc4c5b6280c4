"""Workers on a channel, and coroutines on a loop. Worker processes are in the room next door, `processes`."""

from dispatch.pool._allowance import Allowance as Allowance
from dispatch.pool._bounded import Bounded as Bounded
from dispatch.pool._callers_loop import CallersLoop as CallersLoop
from dispatch.pool._in_hand import in_hand as in_hand
from dispatch.pool._inside import Inside as Inside
from dispatch.pool._loans import Slot as Slot
from dispatch.pool._loans import slot as slot
from dispatch.pool._loop import LoopThread as LoopThread
from dispatch.pool._loop import greenlets_from as greenlets_from
from dispatch.pool._loop import unsound as unsound
from dispatch.pool._loop_pool import LoopPool as LoopPool
from dispatch.pool._pool import Pool as Pool
from dispatch.pool._roster import Roster as Roster
from dispatch.pool._statistics import Drained as Drained
from dispatch.pool._statistics import PoolStatistics as PoolStatistics
from dispatch.pool._weighed import Weighed as Weighed
from dispatch.pool._weighed import WeighedCallersLoop as WeighedCallersLoop
from dispatch.pool._worker import Worker as Worker
from dispatch.pool._worker import is_worker as is_worker
from dispatch.pool._worker import is_worker_of as is_worker_of
from dispatch.pool._worker import run_in_place as run_in_place

__all__ = [
    "Allowance",
    "Bounded",
    "CallersLoop",
    "Drained",
    "Inside",
    "LoopPool",
    "LoopThread",
    "Pool",
    "PoolStatistics",
    "Roster",
    "Slot",
    "Weighed",
    "WeighedCallersLoop",
    "Worker",
    "greenlets_from",
    "in_hand",
    "is_worker",
    "is_worker_of",
    "run_in_place",
    "slot",
    "unsound",
]
