"""Log lines of tasks in a real Celery worker, which writes them to a file."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

SHOP = """
import logging, os
from pathlib import Path

import dispatch
from dispatch.telemetry.logs import CallFilter
from opentelemetry import trace

app = dispatch.celery_app()
dispatch.telemetry.setup(service="shop", directory=Path(__file__).with_name("traces"))
dispatch.configure(policy="default")

handler = logging.FileHandler(Path(__file__).with_name("lines.log"))
handler.addFilter(CallFilter())
handler.setFormatter(logging.Formatter("%(message)s|%(dispatch_call_id)s|%(dispatch_task)s|%(trace_id)s|%(span_id)s"))
log = logging.getLogger("shop")
log.setLevel("INFO")
log.addHandler(handler)

def current():
    context = trace.get_current_span().get_span_context()
    return [f"{context.trace_id:032x}", f"{context.span_id:016x}"]

@dispatch.task(only="local")
def helper():
    log.info("helper")

@dispatch.task(only="celery")
def plain():
    log.info("plain")
    handle = helper.delay()
    handle.result(timeout=20)
    log.info("plain again")
    return [current(), handle.id]

@dispatch.task(only="celery")
async def coroutine():
    log.info("coroutine")
    return current()
"""

CALLER = """
import json
import {name} as shop, dispatch
calls = [getattr(shop, name).delay() for name in {tasks!r}]
shop.log.info("outside")
print(json.dumps([[call.id, call.result(timeout=30)] for call in calls]))
dispatch.shutdown()
"""


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_every_line_in_a_worker_names_its_trace_and_its_call(project, redis_url, pool):
    """Of a plain task, of a coroutine task, and of a local call that one of them makes; as the caller knows them."""
    shop = project(SHOP, broker_url=redis_url)
    tasks = ["plain", "plain", "coroutine"][: 2 if pool == "gevent" else 3]
    with shop.worker(pool=pool, concurrency=2):
        calls = json.loads(shop.run(CALLER.format(name=shop.name, tasks=tasks), timeout=50).stdout)

    expected = {"outside||||"}
    for call_id, (span, helper_id) in calls[:2]:
        expected |= {"|".join((word, call_id, f"{shop.name}.plain", *span)) for word in ("plain", "plain again")}
        expected.add(f"helper|{helper_id}|{shop.name}.helper|{span[0]}")
    for call_id, span in calls[2:]:
        expected.add("|".join(("coroutine", call_id, f"{shop.name}.coroutine", *span)))
    lines = (shop.folder / "lines.log").read_text().splitlines()
    helpers = {line.rpartition("|")[0] for line in lines if line.startswith("helper")}
    assert expected == helpers | {line for line in lines if not line.startswith("helper")}
