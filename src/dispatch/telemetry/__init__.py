"""What was chosen, why, and what it cost: spans on both transports, the reader of the files they go to, and metrics.

Nothing here ever raises into a call: what goes wrong is counted (`failures()`) and dropped.
"""

from dispatch.telemetry import logs as logs
from dispatch.telemetry._dead_letter import dead_lettered as dead_lettered
from dispatch.telemetry._dispatch_span import dispatched as dispatched
from dispatch.telemetry._execution import Execution as Execution
from dispatch.telemetry._execution import executing as executing
from dispatch.telemetry._failures import failures as failures
from dispatch.telemetry._forwarding import forwarding as forwarding
from dispatch.telemetry._hand_over import HandOver as HandOver
from dispatch.telemetry._listener import flush as flush
from dispatch.telemetry._listener import follow as follow
from dispatch.telemetry._listener import recording as recording
from dispatch.telemetry._map_span import MapSpan as MapSpan
from dispatch.telemetry._messaging import Server as Server
from dispatch.telemetry._meter import gauge as gauge
from dispatch.telemetry._meter import started as started
from dispatch.telemetry._passage import arriving as arriving
from dispatch.telemetry._passage import carrier as carrier
from dispatch.telemetry._passage import joining as joining
from dispatch.telemetry._processing import processing as processing
from dispatch.telemetry._publication import Publication as Publication
from dispatch.telemetry._publication import keeping as keeping
from dispatch.telemetry._publication import publishing as publishing
from dispatch.telemetry._resumption import resume as resume
from dispatch.telemetry._resumption import trace_id as trace_id
from dispatch.telemetry._running import Running as Running
from dispatch.telemetry._running import known_by as known_by
from dispatch.telemetry._running import running as running
from dispatch.telemetry._setup import setup as setup
from dispatch.telemetry._waybill import due_in as due_in
from dispatch.telemetry._waybill import sent_at as sent_at
from dispatch.telemetry._worker_record import ran as ran

__all__ = [
    "Execution",
    "HandOver",
    "MapSpan",
    "Publication",
    "Running",
    "Server",
    "arriving",
    "carrier",
    "dead_lettered",
    "dispatched",
    "due_in",
    "executing",
    "failures",
    "flush",
    "follow",
    "forwarding",
    "gauge",
    "joining",
    "keeping",
    "known_by",
    "logs",
    "processing",
    "publishing",
    "ran",
    "recording",
    "resume",
    "running",
    "sent_at",
    "setup",
    "started",
    "trace_id",
]
