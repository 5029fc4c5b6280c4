"""Trace files written by hand: the spans of calls at every detail and relation, without an SDK."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

BEGAN = 1_795_404_697_000_000_000
"""Nanoseconds since 1970; every span's start is told in microseconds from there."""

_numbers = count(1)


def a_span(
    name: str,
    said: Json | None = None,
    *,
    start: float = 0,
    took: float = 1,
    trace: str = "",
    parent: Json | None = None,
    link: Json | None = None,
    error: str | None = None,
    scope: str = "dispatch",
    kind: int = 1,
) -> Json:
    """One span as OTLP JSON; times are microseconds, and attributes have their names without `dispatch.`."""
    number = next(_numbers)
    known = {
        key if "." in key and key.startswith("messaging") else f"dispatch.{key}": of for key, of in (said or {}).items()
    }
    if error is not None:
        known["error.type"] = error
    made: Json = {
        "traceId": parent["traceId"] if parent else trace or f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(BEGAN + round(start * 1e3)),
        "endTimeUnixNano": str(BEGAN + round((start + took) * 1e3)),
        "attributes": [{"key": key, "value": _value(of)} for key, of in known.items()],
        "status": {} if error is None else {"code": 2},
        "scope": scope,
    }
    if parent is not None:
        made["parentSpanId"] = parent["spanId"]
    if link is not None:
        made["links"] = [{"traceId": link["traceId"], "spanId": link["spanId"]}]
    return made


def _value(of: object) -> Json:
    if isinstance(of, bool):
        return {"boolValue": of}
    if isinstance(of, int):
        return {"intValue": str(of)}
    if isinstance(of, float):
        return {"doubleValue": of}
    if isinstance(of, list):
        return {"arrayValue": {"values": [_value(each) for each in of]}}
    return {"stringValue": str(of)}


COST = {"overhead_us": 6.0, "decide_us": 1.0, "serialize_us": 2.0, "enqueue_us": 3.0}
LOCAL = {"destination": "fast", "transport": "local", "rule": "otherwise", "reason": "otherwise"}
QUEUE = {"destination": "queue", "transport": "celery", "rule": "must-survive", "reason": "rule"}
SPOOL = {"destination": "disk", "transport": "spool", "rule": "must-survive", "reason": "rule"}


def of(call: str, task: str = "shop.resize") -> Json:
    """What stands on all spans of a call."""
    return {"task.name": task, "call.id": call}


def handed(call: str, where: Json = LOCAL, *, start: float = 0, task: str = "shop.resize", **told: Any) -> Json:
    """`dispatch {task}` of a call that cost 6 µs; what else is told, it says."""
    own = {key: told.pop(key) for key in ("trace", "parent", "error", "kind", "scope") if key in told}
    said = {**of(call, task), "policy.version": "0123456789ab", "durability": "ephemeral", **where, **COST, **told}
    return a_span(f"dispatch {task}", said, start=start, took=6, **own)


def ran(
    call: str, where: Json = LOCAL, *, start: float = 56, task: str = "shop.resize", took: float = 100, **told: Any
) -> Json:
    """`execute` or `process` of a call that waited for 40 µs, then needed 10 µs to its first line."""
    own = {key: told.pop(key) for key in ("trace", "parent", "link", "error", "scope") if key in told}
    name = told.pop("name", f"{'execute' if where is LOCAL else 'process'} {task}")
    said = {**of(call, task), **where, "wait_us": 40.0, "start_us": 10.0, **told}
    return a_span(name, said, start=start, took=took, kind=1 if name.startswith("execute") else 5, **own)


def local(call: str, *, start: float = 0, took: float = 100, error: str | None = None, **told: Any) -> list[Json]:
    """At the detail `full`; `told` is said by the caller's side."""
    above = handed(call, start=start, **told)
    return [above, ran(call, start=start + 56, took=took, error=error, parent=above)]


def compact(call: str, *, start: float = 0, took: float = 100, error: str | None = None, **told: Any) -> list[Json]:
    """Its only span begins with its body, and leaves out the parts of the overhead and what most calls are."""
    task = told.pop("task", "shop.resize")
    where = {key: of for key, of in LOCAL.items() if key != "reason"}
    said = {**where, "overhead_us": COST["overhead_us"], "policy.version": "0123456789ab", **told}
    return [ran(call, said, start=start + 56, took=took, task=task, name=f"execute {task}", error=error)]


def queued(call: str, *, start: float = 0, linked: bool = False, detail: str = "full", **told: Any) -> list[Json]:
    """Through Celery: `dispatch`, at `full` also `publish`, and `process`, below it or in a trace of its own."""
    error, task = told.pop("error", None), told.get("task", "shop.resize")
    made = handed(call, QUEUE, start=start, kind=1 if detail == "full" else 4, **told)
    spans = [made]
    if detail == "full":
        spans.append(a_span("publish default", of(call, task), start=start + 3, took=3, parent=made, kind=4))
    where = {"link": spans[-1]} if linked else {"parent": spans[-1], "link": spans[-1]}
    return [*spans, ran(call, QUEUE, start=start + 53, task=task, error=error, **where)]


def a_line(*spans: Json, service: str = "shop", pid: int = 1) -> str:
    """One line, as one process writes it."""
    resource = {"service.name": service, "process.pid": pid}
    scopes: dict[str, list[Json]] = {}
    for span in spans:
        scopes.setdefault(span["scope"], []).append({key: of for key, of in span.items() if key != "scope"})
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": [{"key": key, "value": _value(of)} for key, of in resource.items()]},
                    "scopeSpans": [{"scope": {"name": name}, "spans": of} for name, of in scopes.items()],
                }
            ]
        }
    )


def write(path: Path, *spans: Json, service: str = "shop", pid: int = 1) -> None:
    """Append one line for each span, as an exporter in a hurry does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(a_line(span, service=service, pid=pid) + "\n" for span in spans)
