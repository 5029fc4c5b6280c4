"""Workers on a channel, and coroutines on a loop."""

from dispatch.pool._callers_loop import CallersLoop as CallersLoop
from dispatch.pool._loop import LoopThread as LoopThread
from dispatch.pool._loop import unsound as unsound
from dispatch.pool._loop_pool import LoopPool as LoopPool
from dispatch.pool._pool import Pool as Pool
from dispatch.pool._statistics import Drained as Drained
from dispatch.pool._statistics import PoolStatistics as PoolStatistics
from dispatch.pool._worker import Worker as Worker
from dispatch.pool._worker import is_worker_of as is_worker_of
from dispatch.pool._worker import run_in_place as run_in_place

__all__ = [
    "CallersLoop",
    "Drained",
    "LoopPool",
    "LoopThread",
    "Pool",
    "PoolStatistics",
    "Worker",
    "is_worker_of",
    "run_in_place",
    "unsound",
]
