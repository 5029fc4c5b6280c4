"""Forks: a worker's children that are recycled, and a caller that forks. No span is lost, and none comes twice."""

from __future__ import annotations

from collections import Counter

import pytest

from dispatch.telemetry import traces

pytestmark = pytest.mark.slow

OURS = """
dispatch.telemetry.setup(service="shop")
"""

THEIRS = """
import os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from dispatch.telemetry.exporter import JsonLinesExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(JsonLinesExporter(os.environ["DISPATCH_TRACE_DIR"], service="shop")))
trace.set_tracer_provider(provider)
"""

IN_EACH_CHILD = f"""
from celery.signals import worker_process_init

@worker_process_init.connect(weak=False)
def trace_this_child(**_):
{"".join(f"    {line}" + chr(10) for line in THEIRS.strip().splitlines())}
"""

TASKS = """
import dispatch
app = dispatch.celery_app()
app.conf.worker_max_tasks_per_child = 1
{provider}

@dispatch.task
def double(number: int) -> int:
    return 2 * number
"""


def shop_with(project, provider, url):
    shop = project("", broker_url=url)
    (shop.folder / f"{shop.name}.py").write_text(TASKS.format(provider=provider))
    return shop, {"DISPATCH_TRACE_DIR": str(shop.folder / "traces"), "OTEL_BSP_SCHEDULE_DELAY": "60000"}


def spans_by_word(shop):
    found = {}
    for each in traces.read(shop.folder / "traces"):
        for span in each.spans:
            found.setdefault(span.name.split()[0], []).append(span)
    return found


@pytest.mark.parametrize("provider", [OURS, THEIRS, IN_EACH_CHILD], ids=["ours", "theirs", "in each child"])
def test_a_child_that_is_recycled_has_written_its_spans(project, redis_url, provider):
    """After each call, long before the batch would have been due; each child to a file of its own."""
    shop, environment = shop_with(project, provider, redis_url)
    with shop.worker(pool="prefork", concurrency=1, env=environment):
        shop.run(
            f"import {shop.name} as shop, dispatch\n"
            "sent = [shop.double.options(only='celery').delay(number) for number in range(3)]\n"
            "assert [0, 2, 4] == [each.result(timeout=30) for each in sent]\n",
            env=environment,
        )

    runs = spans_by_word(shop)["process"]
    assert 3 == len(runs)
    assert 3 == len({span.attributes["dispatch.call.id"] for span in runs})
    assert 3 == len({span.process.pid for span in runs})
    named = {path.name.split("-")[2] for path in (shop.folder / "traces").glob("*.jsonl")}
    assert {str(span.process.pid) for span in runs} <= named


FORKING = """
import os, sys
import {name} as shop, dispatch
from opentelemetry import trace

def call(number):
    with trace.get_tracer("shop").start_as_current_span(f"request {{number}}"):
        assert 2 * number == shop.double.delay(number).result(timeout=20)

call(1)                      # held back: the parent's batch is not due for a minute
children = []
for number in (2, 3):
    pid = os.fork()
    if pid == 0:
        call(number)
        dispatch.shutdown()
        sys.exit(0)
    children.append(pid)
for pid in children:
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
call(4)
print(os.getpid(), *children)
"""


@pytest.mark.parametrize("provider", [OURS, THEIRS], ids=["ours", "theirs"])
def test_a_caller_that_forks_loses_no_span_and_writes_none_twice(project, redis_url, provider):
    """What the parent held back stays the parent's; each process has a file of its own."""
    shop, environment = shop_with(project, provider, redis_url)
    said = shop.run(FORKING.format(name=shop.name), env=environment).stdout
    parent, *children = map(int, said.split())

    found = spans_by_word(shop)
    for word in ("request", "dispatch", "execute"):
        assert Counter({parent: 2, **dict.fromkeys(children, 1)}) == Counter(span.process.pid for span in found[word])
    assert 4 == len({span.span_id for span in found["execute"]})
    assert 3 == len(list((shop.folder / "traces").glob("*.jsonl")))


def test_what_is_held_back_is_not_written_by_a_child_that_makes_no_spans(project, redis_url):
    """It has no file either: one is named when there is something to write."""
    shop, environment = shop_with(project, OURS, redis_url)
    shop.run(
        f"import {shop.name} as shop, dispatch, os, sys\n"
        "shop.double.delay(1).result(timeout=20)\n"
        "pid = os.fork()\n"
        "if pid == 0: sys.exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n",
        env=environment,
    )

    assert 1 == len(list((shop.folder / "traces").glob("*.jsonl")))
    assert 1 == len(spans_by_word(shop)["execute"])
