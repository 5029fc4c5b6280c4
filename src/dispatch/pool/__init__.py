"""Workers on a channel."""

from dispatch.pool._pool import Pool as Pool
from dispatch.pool._statistics import Drained as Drained
from dispatch.pool._statistics import PoolStatistics as PoolStatistics
from dispatch.pool._worker import run_in_place as run_in_place

__all__ = ["Drained", "Pool", "PoolStatistics", "run_in_place"]
