"""The trace of what leaves this process: headers that carry it, the spans of sending, keeping and receiving a message.

Imported by the transports whose calls travel: no other program pays for propagators. Nothing here raises into a call.
"""

from dispatch.telemetry.messages._conventions import Server as Server
from dispatch.telemetry.messages._dead_letter import dead_lettered as dead_lettered
from dispatch.telemetry.messages._forwarding import forwarding as forwarding
from dispatch.telemetry.messages._passage import arriving as arriving
from dispatch.telemetry.messages._passage import carrier as carrier
from dispatch.telemetry.messages._passage import joining as joining
from dispatch.telemetry.messages._processing import processing as processing
from dispatch.telemetry.messages._publication import Publication as Publication
from dispatch.telemetry.messages._publication import keeping as keeping
from dispatch.telemetry.messages._publication import publishing as publishing
from dispatch.telemetry.messages._resumption import resume as resume
from dispatch.telemetry.messages._resumption import trace_id as trace_id
from dispatch.telemetry.messages._waybill import due_in as due_in
from dispatch.telemetry.messages._waybill import sent_at as sent_at
from dispatch.telemetry.messages._worker_record import ran as ran

__all__ = [
    "Publication",
    "Server",
    "arriving",
    "carrier",
    "dead_lettered",
    "due_in",
    "forwarding",
    "joining",
    "keeping",
    "processing",
    "publishing",
    "ran",
    "resume",
    "sent_at",
    "trace_id",
]
