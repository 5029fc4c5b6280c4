"""A task that leaks, in a real worker: its child is replaced in time, and no durable call is lost by that."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from dispatch._memory_limit import memory_use
from dispatch.transports.celery import _settings, celery_settings

MIB = 1 << 20
LEAK = 4 * MIB
CALLS = 40
"""Half of them in each child, if none were replaced: twice what it may leak."""
SHOP = """
import os
import dispatch
from dispatch._memory import resident
app = dispatch.celery_app()
app.conf.task_default_queue = "{queue}"
# As the settings say it, and small enough for a test: what it has now, and ten leaks.
app.conf.worker_max_memory_per_child = (resident() + 10 * {leak}) // 1024
kept = []

@dispatch.task(durability="durable")
def leak(number):
    kept.append(bytearray(b"x") * {leak})
    return number, os.getpid(), app.conf.worker_max_memory_per_child
"""
PROGRAM = """
import contextlib, json, psutil, threading, {name} as shop
pause = threading.Event()
worker = psutil.Process({pid})
handles, most = [shop.leak.delay(number) for number in range({calls})], 0
while not all(each.done() for each in handles):
    pause.wait(0.02)
    for child in worker.children():
        with contextlib.suppress(psutil.Error):
            most = max(most, child.memory_info().rss)
print(json.dumps([most, [each.result(1) for each in handles]]))
"""


@pytest.mark.parametrize("broker", ["redis_url", pytest.param("rabbitmq_url", marks=pytest.mark.rabbitmq)])
def test_a_leaking_task_costs_its_child_and_no_durable_call(project, redis_url, request, broker):
    url = request.getfixturevalue(broker)
    source = SHOP.format(queue=f"leak-{uuid4()}", leak=LEAK)
    shop = project(source, broker_url=url, result_backend=redis_url)
    with shop.worker(pool="prefork", concurrency=2) as worker:
        program = PROGRAM.format(name=shop.name, pid=worker.pid, calls=CALLS)
        most, results = json.loads(shop.run(program, timeout=50).stdout)
    limit = 1024 * results[0][2]

    assert list(range(CALLS)) == [number for number, _, _ in results]
    assert len({pid for _, pid, _ in results}) > 2
    assert most <= limit + 4 * LEAK, "the child was replaced too late"


def test_the_children_that_celery_starts_fit_into_the_memory_limit(monkeypatch):
    use = memory_use()
    assert use is not None
    monkeypatch.setattr(_settings.os, "cpu_count", lambda: 1)
    alone = celery_settings("redis://")["worker_max_memory_per_child"]
    monkeypatch.setattr(_settings.os, "cpu_count", lambda: 10**6)
    crowded = celery_settings("redis://")["worker_max_memory_per_child"]

    assert alone == max(int(0.8 * use.limit), 256 * MIB) // 1024
    assert crowded == 256 * 1024


def test_where_the_system_does_not_say_there_is_no_limit_of_memory(monkeypatch):
    monkeypatch.setattr(_settings, "memory_use", lambda: None)
    found = celery_settings("redis://")

    assert "worker_max_memory_per_child" not in found
    assert found["worker_max_tasks_per_child"] == 10_000
