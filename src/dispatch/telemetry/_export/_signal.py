"""What the environment asks for of one signal, in OpenTelemetry's own variables."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

import msgspec

from dispatch._log import logger

Protocol: TypeAlias = Literal["http/protobuf", "grpc"]

FILES = "otlp_json_file"
"""Our own files, by the name that others give to theirs of the same kind."""

_KNOWN = frozenset(("otlp", "console", FILES, "none"))


class Signal(msgspec.Struct, frozen=True):
    """`TRACES` or `METRICS`, and by what name its variables know it."""

    name: str

    def exporters(self, *, files: bool) -> frozenset[str]:
        """Where it goes: `otlp`, `console`, `otlp_json_file`; with `none` among them, nowhere.

        What `OTEL_…_EXPORTER` lists, which is all of it then. Without that, our files if `files` says so, and `otlp`
        if the environment has an address for it. What is not known here is said in the log and overlooked.
        """
        variable = f"OTEL_{self.name}_EXPORTER"
        listed = {each.strip().lower() for each in os.environ.get(variable, "").split(",")} - {""}
        for name in sorted(listed - _KNOWN):
            logger("telemetry").warning(
                f"{variable} names an exporter that is not known here: use otlp, console, {FILES} or none", got=name
            )
        if known := frozenset(listed & _KNOWN):
            return known
        ours = frozenset((FILES,) if files else ())
        return ours | {"otlp"} if self._told("ENDPOINT") else ours

    def protocol(self) -> Protocol:
        """How OTLP is spoken; `http/protobuf` unless the environment says otherwise."""
        said = self._told("PROTOCOL")
        if said == "grpc":
            return "grpc"
        if said not in {"", "http/protobuf"}:
            # Whoever takes JSON over HTTP takes protobuf at the same address.
            logger("telemetry").warning(
                "OTEL_EXPORTER_OTLP_PROTOCOL can be http/protobuf or grpc here; http/protobuf is used", got=said
            )
        return "http/protobuf"

    def _told(self, what: str) -> str:
        own = os.environ.get(f"OTEL_EXPORTER_OTLP_{self.name}_{what}", "").strip()
        return own or os.environ.get(f"OTEL_EXPORTER_OTLP_{what}", "").strip()


TRACES = Signal("TRACES")
METRICS = Signal("METRICS")
