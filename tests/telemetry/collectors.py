"""Whoever takes OTLP: real servers of this process, which keep what they are sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


class Sent(NamedTuple):
    """One request."""

    spans: list[str]
    headers: dict[str, str]
    peer: str
    """The connection that it came over."""


class Measured(NamedTuple):
    """One request with metrics."""

    names: list[str]
    instance: str
    """Of the service: a process."""
    dispatched: int
    """The sum of `dispatch.calls.dispatched`."""
    peer: str


class Collector:
    """Where it listens, and what has arrived."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[Sent] = []
        self.measured: list[Measured] = []

    @property
    def spans(self) -> list[str]:
        return sorted(name for request in self.requests for name in request.spans)

    def take(self, request: ExportTraceServiceRequest, headers: dict[str, str], peer: str) -> None:
        scopes = [scope for resource in request.resource_spans for scope in resource.scope_spans]
        names = [span.name for scope in scopes for span in scope.spans]
        self.requests.append(Sent(names, {key.lower(): value for key, value in headers.items()}, peer))

    def measure(self, request: ExportMetricsServiceRequest, peer: str) -> None:
        [of_resource] = request.resource_metrics
        metrics = [metric for scope in of_resource.scope_metrics for metric in scope.metrics]
        said = {each.key: each.value.string_value for each in of_resource.resource.attributes}
        points = [
            point for each in metrics if each.name == "dispatch.calls.dispatched" for point in each.sum.data_points
        ]
        total = sum(point.as_int for point in points)
        self.measured.append(Measured([each.name for each in metrics], said["service.instance.id"], total, peer))


@contextmanager
def over_http() -> Iterator[Collector]:
    """Takes protobuf at `/v1/traces` and `/v1/metrics`, and at no other path."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # as real ones: connections are kept

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-type"] == "application/x-protobuf":
                if self.path == "/v1/traces":
                    request = ExportTraceServiceRequest.FromString(body)
                    collector.take(request, dict(self.headers), str(self.client_address))
                elif self.path == "/v1/metrics":
                    collector.measure(ExportMetricsServiceRequest.FromString(body), str(self.client_address))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def over_grpc() -> Iterator[Collector]:
    """Takes what the OTLP service is called with."""
    collector = Collector()

    class Service(TraceServiceServicer):
        def Export(self, request, context):  # noqa: N802 - gRPC's name
            collector.take(request, dict(context.invocation_metadata()), context.peer())
            return ExportTraceServiceResponse()

    class Metrics(MetricsServiceServicer):
        def Export(self, request, context):  # noqa: N802 - gRPC's name
            collector.measure(request, context.peer())
            return ExportMetricsServiceResponse()

    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(Service(), server)
        add_MetricsServiceServicer_to_server(Metrics(), server)
        collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield collector
        finally:
            server.stop(None).wait()
