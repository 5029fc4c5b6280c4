"""Trace files, read: spans, the trees they form, and what each call cost. Needs no OpenTelemetry SDK.

>>> for call in read("traces").calls():
...     print(call.task, call.destination, call.overhead_us)
"""

from dispatch.telemetry._reading.call_record import CallRecord, calls_of
from dispatch.telemetry._reading.span import Event, Process, Span
from dispatch.telemetry._reading.starts import Starts, starts
from dispatch.telemetry._reading.summary import Summary, percentiles
from dispatch.telemetry._reading.trace import Trace
from dispatch.telemetry._reading.traces import Traces, read

__all__ = [
    "CallRecord",
    "Event",
    "Process",
    "Span",
    "Starts",
    "Summary",
    "Trace",
    "Traces",
    "calls_of",
    "percentiles",
    "read",
    "starts",
]
