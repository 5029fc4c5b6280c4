"""`runner: process` inside a Celery worker, whose prefork children are daemonic."""

from __future__ import annotations

import psutil

from servers.patience import eventually
from servers.process import alive

POLICY = """
version: 1
destinations:
  queue: {transport: celery}
  cpu: {transport: local, runner: process, workers: 1}
defaults: {durability: ephemeral}
rules:
  - {name: needs-a-core, match: {kind: cpu}, route_to: cpu}
otherwise: {route_to: queue}
"""
SHOP = """
import os
import dispatch
app = dispatch.celery_app()

@dispatch.task(kind="cpu")
def compute():
    return os.getpid()

@dispatch.task
def order():
    return os.getpid(), compute.delay().result(20)
"""


def test_a_task_in_a_celery_worker_sends_to_a_process(project, redis_url, tmp_path, monkeypatch):
    """It is a child of the worker's process, and ends with it, even when that is killed."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    monkeypatch.setenv("DISPATCH_POLICY", str(tmp_path / "policy.yaml"))
    shop = project(SHOP, broker_url=redis_url, result_backend=redis_url)
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    monkeypatch.setenv("DISPATCH_RESULT_BACKEND", redis_url)
    with shop.worker(pool="prefork", concurrency=1):
        program = f"import {shop.name} as shop; print(*shop.order.delay().result(30))"
        worker, there = map(int, shop.run(program).stdout.split())

        assert worker == psutil.Process(there).ppid()
        psutil.Process(worker).kill()
        eventually(lambda: not alive(there))
