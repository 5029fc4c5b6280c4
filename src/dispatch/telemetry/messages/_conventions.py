"""A message on its span, in the words of OpenTelemetry's messaging conventions."""

from __future__ import annotations

from typing import Literal

import msgspec

from dispatch.telemetry import _names as n
from dispatch.telemetry._attributes import Attributes


class Server(msgspec.Struct, frozen=True):
    """Where a broker is. Never the user or the password."""

    host: str
    port: int | None = None


def of_message(
    operation: Literal["send", "process", "settle"],
    call_id: str,
    *,
    queue: str,
    system: str,
    server: Server | None,
    routing_key: str | None,
) -> Attributes:
    """`system` is the broker's name in OpenTelemetry's words; the routing key is RabbitMQ's."""
    attributes: Attributes = {
        n.SYSTEM: system,
        n.OPERATION_NAME: operation,
        n.OPERATION_TYPE: operation,
        n.QUEUE: queue,
        n.MESSAGE: call_id,
    }
    if routing_key and system == "rabbitmq":
        attributes[n.ROUTING_KEY] = routing_key
    if server is not None:
        attributes[n.SERVER] = server.host
        if server.port is not None:
            attributes[n.PORT] = server.port
    return attributes
