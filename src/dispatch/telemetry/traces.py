"""Trace files, read: spans, the trees they form, and what each call cost. Needs no OpenTelemetry SDK.

>>> for call in read("traces").calls():
...     print(call.task, call.destination, call.overhead_us)
"""

from dispatch.telemetry._reading.call_record import CallRecord, calls_of
from dispatch.telemetry._reading.costs import Costs, Spread
from dispatch.telemetry._reading.following import Following
from dispatch.telemetry._reading.joining import Joining
from dispatch.telemetry._reading.span import Event, Process, Span
from dispatch.telemetry._reading.starts import Starts, starts
from dispatch.telemetry._reading.statistics import Key, Statistics, statistics
from dispatch.telemetry._reading.summary import Summary, percentiles
from dispatch.telemetry._reading.trace import Trace
from dispatch.telemetry._reading.traces import Traces, read
from dispatch.telemetry._reading.wanted import REFUSED, Wanted

__all__ = [
    "REFUSED",
    "CallRecord",
    "Costs",
    "Event",
    "Following",
    "Joining",
    "Key",
    "Process",
    "Span",
    "Spread",
    "Starts",
    "Statistics",
    "Summary",
    "Trace",
    "Traces",
    "Wanted",
    "calls_of",
    "percentiles",
    "read",
    "starts",
    "statistics",
]
