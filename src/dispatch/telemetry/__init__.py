"""What was chosen, why, and what it cost: spans on both transports, the reader of the files they go to, and metrics.

Nothing here ever raises into a call: what goes wrong is counted (`failures()`) and dropped.
"""

from dispatch.telemetry import logs as logs
from dispatch.telemetry._dispatch_span import dispatched as dispatched
from dispatch.telemetry._execution import Execution as Execution
from dispatch.telemetry._execution import executing as executing
from dispatch.telemetry._failures import failures as failures
from dispatch.telemetry._hand_over import HandOver as HandOver
from dispatch.telemetry._listener import flush as flush
from dispatch.telemetry._listener import follow as follow
from dispatch.telemetry._listener import recording as recording
from dispatch.telemetry._map_span import MapSpan as MapSpan
from dispatch.telemetry._meter import gauge as gauge
from dispatch.telemetry._meter import started as started
from dispatch.telemetry._running import Running as Running
from dispatch.telemetry._running import known_by as known_by
from dispatch.telemetry._running import running as running
from dispatch.telemetry._setup import setup as setup

__all__ = [
    "Execution",
    "HandOver",
    "MapSpan",
    "Running",
    "dispatched",
    "executing",
    "failures",
    "flush",
    "follow",
    "gauge",
    "known_by",
    "logs",
    "recording",
    "running",
    "setup",
    "started",
]
