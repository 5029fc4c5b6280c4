"""The ways to a worker. `transports.celery` imports Celery, so it is itself imported only where one is needed."""

from dispatch.transports._arguments import Uncarried as Uncarried
from dispatch.transports._destination import Destination as Destination
from dispatch.transports._destination import HandOver as HandOver
from dispatch.transports._destination import Pending as Pending
from dispatch.transports._destination import UnderWay as UnderWay
from dispatch.transports._outlet import Outlet as Outlet
from dispatch.transports._outlet import Parcel as Parcel
from dispatch.transports._statistics import DestinationStatistics as DestinationStatistics
from dispatch.transports._unconfigured import Unconfigured as Unconfigured

__all__ = [
    "Destination",
    "DestinationStatistics",
    "HandOver",
    "Outlet",
    "Parcel",
    "Pending",
    "Uncarried",
    "Unconfigured",
    "UnderWay",
]
