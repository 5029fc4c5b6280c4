"""Workers on a channel."""

from dispatch.pool._pool import Pool as Pool
from dispatch.pool._statistics import Drained as Drained
from dispatch.pool._statistics import PoolStatistics as PoolStatistics

__all__ = ["Drained", "Pool", "PoolStatistics"]
