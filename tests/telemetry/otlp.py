"""Lines of OTLP JSON, as OpenTelemetry's own definitions understand them."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def parsed(line: bytes) -> ExportTraceServiceRequest:
    """The line as protobuf's own JSON parser reads it, ids turned from OTLP's hex into protobuf's base64."""

    def to_base64(node):
        if isinstance(node, dict):
            return {
                key: base64.b64encode(bytes.fromhex(value)).decode()
                if key in ("traceId", "spanId", "parentSpanId")
                else to_base64(value)
                for key, value in node.items()
            }
        return [to_base64(each) for each in node] if isinstance(node, list) else node

    return json_format.ParseDict(to_base64(json.loads(line)), ExportTraceServiceRequest())


def value_of(value: AnyValue) -> Any:
    """An attribute's value as Python has it."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return values_of(value.kvlist_value.values)
    return getattr(value, kind)


def values_of(attributes: list[KeyValue]) -> dict[str, Any]:
    return {each.key: value_of(each.value) for each in attributes}
