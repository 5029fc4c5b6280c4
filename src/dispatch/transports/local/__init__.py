"""The local transport: workers in this process. Arguments travel by reference, context variables come along.

Plain functions run in a pool of threads, or with `runner: process` in worker processes, for which their arguments
are pickled; coroutine functions on a loop, the destination's own or their caller's.

The caller must not change what it passed until the call is done.
"""

from dispatch.transports.local import _hand as _hand
from dispatch.transports.local._threads import Threads as Threads
from dispatch.transports.local.destination import LocalDestination as LocalDestination

__all__ = ["LocalDestination", "Threads"]
