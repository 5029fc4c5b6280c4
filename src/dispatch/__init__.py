"""Decide, call by call, where work runs: in a worker pool inside this process, or on Celery through a broker.

    import dispatch

    @dispatch.task
    def thumbnail(image: bytes, width: int) -> bytes: ...

    handle = thumbnail.delay(image, 64)     # routed by a YAML policy: here, to the local pool
    handle.result(timeout=1)
    handle.decision                         # <Decision fast | otherwise | 0.4 µs>

Importing it touches no network and no Celery.
"""

from dispatch import telemetry as telemetry
from dispatch._completed import Completed as Completed
from dispatch._completed import as_completed as as_completed
from dispatch._decision import Decision as Decision
from dispatch._decision import Reason as Reason
from dispatch._decision import Why as Why
from dispatch._decorator import task as task
from dispatch._default import celery_app as celery_app
from dispatch._default import celery_settings as celery_settings
from dispatch._default import configure as configure
from dispatch._default import reload as reload
from dispatch._default import shutdown as shutdown
from dispatch._default import statistics as statistics
from dispatch._dispatcher import Dispatcher as Dispatcher
from dispatch._group import Group as Group
from dispatch._group import gather as gather
from dispatch._handle import Handle as Handle
from dispatch._retry import Retry as Retry
from dispatch._statistics import Statistics as Statistics
from dispatch._task import Task as Task
from dispatch._task import explain as explain
from dispatch.channel import Channel as Channel
from dispatch.channel import after as after
from dispatch.channel import select as select
from dispatch.errors import CallCancelled as CallCancelled
from dispatch.errors import CallExpired as CallExpired
from dispatch.errors import CallFailed as CallFailed
from dispatch.errors import CallTimeout as CallTimeout
from dispatch.errors import ChannelClosed as ChannelClosed
from dispatch.errors import ChannelError as ChannelError
from dispatch.errors import DeadLettered as DeadLettered
from dispatch.errors import DestinationFull as DestinationFull
from dispatch.errors import DispatchError as DispatchError
from dispatch.errors import EndOfChannel as EndOfChannel
from dispatch.errors import HandleLost as HandleLost
from dispatch.errors import NotAccepted as NotAccepted
from dispatch.errors import NotConfigured as NotConfigured
from dispatch.errors import NotSerializable as NotSerializable
from dispatch.errors import OutcomeUnknown as OutcomeUnknown
from dispatch.errors import PartlySent as PartlySent
from dispatch.errors import PassedOver as PassedOver
from dispatch.errors import PolicyError as PolicyError
from dispatch.errors import ResultNotSerializable as ResultNotSerializable
from dispatch.errors import WorkerDied as WorkerDied
from dispatch.errors import WouldBlock as WouldBlock
from dispatch.errors import WouldWait as WouldWait
from dispatch.policy import Explanation as Explanation
from dispatch.settings import Settings as Settings
from dispatch.transports import DestinationStatistics as DestinationStatistics

__all__ = [
    "CallCancelled",
    "CallExpired",
    "CallFailed",
    "CallTimeout",
    "Channel",
    "ChannelClosed",
    "ChannelError",
    "Completed",
    "DeadLettered",
    "Decision",
    "DestinationFull",
    "DestinationStatistics",
    "DispatchError",
    "Dispatcher",
    "EndOfChannel",
    "Explanation",
    "Group",
    "Handle",
    "HandleLost",
    "NotAccepted",
    "NotConfigured",
    "NotSerializable",
    "OutcomeUnknown",
    "PartlySent",
    "PassedOver",
    "PolicyError",
    "Reason",
    "ResultNotSerializable",
    "Retry",
    "Settings",
    "Statistics",
    "Task",
    "Why",
    "WorkerDied",
    "WouldBlock",
    "WouldWait",
    "after",
    "as_completed",
    "celery_app",
    "celery_settings",
    "configure",
    "explain",
    "gather",
    "reload",
    "select",
    "shutdown",
    "statistics",
    "task",
    "telemetry",
]
