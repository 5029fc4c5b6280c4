"""Attempts through a broker, in the trace of their call."""

from __future__ import annotations

from dispatch.telemetry import traces

SHOP = """
import dispatch
from celery import current_task

app = dispatch.celery_app()
dispatch.telemetry.setup(service="shop")


@dispatch.task(durability="durable", retry=dispatch.Retry(attempts=2, backoff="1s", jitter=False))
def charge(order: int) -> int:
    if current_task.request.retries == 0:
        raise LookupError(f"no order {order}")
    return order
"""
SECOND = 1_000_000_000
CALLER = """
import {name} as shop, dispatch

assert shop.charge.apply_async((42,), countdown=1).result(timeout=30) == 42
dispatch.shutdown()
dispatch.telemetry.flush()
"""


def test_each_attempt_has_its_span_in_the_calls_trace(project, redis_url):
    """The first with its error, the second with its number; neither counts its pause as waiting."""
    shop = project(SHOP, broker_url=redis_url)
    folder = {"DISPATCH_TRACE_DIR": str(shop.folder / "traces")}
    with shop.worker(pool="prefork", concurrency=1, env=folder):
        shop.run(CALLER.format(name=shop.name), env=folder)

    (trace,) = traces.read(shop.folder / "traces")
    first, second = (span for span in trace.spans if span.name == f"process {shop.name}.charge")
    assert ("LookupError", None) == (first.attributes["error.type"], second.attributes.get("error.type"))
    assert (None, 2) == (first.attributes.get("dispatch.attempt"), second.attributes["dispatch.attempt"])
    (sent,) = (span for span in trace.spans if span.name == f"dispatch {shop.name}.charge")
    for begun, attempt in ((sent.start_ns, first), (first.end_ns, second)):
        waited_ns = attempt.attributes["dispatch.wait_us"] * 1000
        assert 0 <= waited_ns <= attempt.start_ns - begun - SECOND
