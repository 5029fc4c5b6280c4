"""Worker processes of this program, for what would keep its own interpreter busy. They carry bytes, and know no tasks.

Each is an interpreter of its own, started afresh (`spawn`), and not by multiprocessing: it never runs the program's
own script again, may be started by a daemonic process, is a direct child whose death has a name, and there is no
server between that an application's own use of multiprocessing or of `fork` could get in the way of.
"""

from dispatch.pool.processes._child import Child as Child
from dispatch.pool.processes._child import Died as Died
from dispatch.pool.processes._crew import Crew as Crew
from dispatch.pool.processes._crew import Dismissed as Dismissed
from dispatch.pool.processes._leash import end_with_parent as end_with_parent
from dispatch.pool.processes._process_pool import ProcessPool as ProcessPool
from dispatch.pool.processes._wire import Wire as Wire

__all__ = ["Child", "Crew", "Died", "Dismissed", "ProcessPool", "Wire", "end_with_parent"]
