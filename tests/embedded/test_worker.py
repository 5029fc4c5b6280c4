"""A real Celery worker as a child: ready when the block begins, gone when it ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dispatch.errors import DispatchError
from servers.patience import eventually
from servers.process import alive, group

pytestmark = pytest.mark.slow

SHOP = """
    import os
    from threading import Event

    from celery import Celery

    app = Celery(__name__, broker=os.environ["DISPATCH_BROKER_URL"], backend=os.environ["DISPATCH_BROKER_URL"])
    app.conf.broker_connection_retry_on_startup = True

    @app.task
    def add(a, b):
        return a + b

    @app.task
    def pause(seconds):
        print("pausing", flush=True)
        Event().wait(seconds)
"""

PROGRAM_WITH_A_WORKER = """
import sys
from dispatch.embedded import worker

with worker(sys.argv[1], directory=".", concurrency=2) as running:
    print(running.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def shop(project, redis_url):
    return project(SHOP, broker_url=redis_url)


@pytest.fixture
def tasks(shop, monkeypatch):
    """The module here, in the caller's process; its connections are closed at the end."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", shop.environment["DISPATCH_BROKER_URL"])
    module = shop.load()
    yield module
    module.app.backend.result_consumer.stop()
    module.app.backend.client.close()
    module.app.close()


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_a_worker_of_each_pool_runs_a_task_and_leaves_no_process(shop, tasks, pool):
    """Ready means ready: a call sent at once is answered. Afterwards its whole tree is gone."""
    with shop.worker(pool=pool) as worker:
        processes = group(worker.pid)

        assert tasks.add.delay(20, 22).get(timeout=10) == 42

    eventually(lambda: not any(map(alive, processes)), within=1, what="the whole tree is gone")


def test_prefork_has_as_many_children_as_asked_for(shop):
    with shop.worker(pool="prefork", concurrency=3) as worker:
        assert len(group(worker.pid)) == 4


def test_a_warm_stop_lets_a_started_task_finish(shop, tasks):
    with shop.worker(pool="threads") as worker:
        result = tasks.pause.delay(0.5)
        eventually(lambda: b"pausing" in worker.log.read_bytes(), what="the task has started")
        worker.stop()

        assert result.get(timeout=1) is None


def test_a_task_that_outlasts_the_grace_is_killed_with_its_worker(shop, tasks):
    with shop.worker(pool="prefork", concurrency=1) as worker:
        tasks.pause.delay(60)
        eventually(lambda: b"pausing" in worker.log.read_bytes(), what="the task has started")
        processes = group(worker.pid)
        worker.stop(grace=0.1)

        assert not worker.running
    eventually(lambda: not any(map(alive, processes)), within=1, what="the whole tree is gone")


def test_a_kill_takes_the_pool_processes_too(shop):
    """A crash of the machine, as far as the worker is concerned: nothing of it says goodbye."""
    with shop.worker(concurrency=2) as worker:
        processes = group(worker.pid)
        worker.kill()

        eventually(lambda: not any(map(alive, processes)), within=1, what="the whole tree is gone")
        assert b"Warm shutdown" not in worker.log.read_bytes()


def test_a_worker_listens_to_the_queues_it_was_given(shop, tasks, queue_name):
    with shop.worker(pool="solo", queues=[queue_name, "other"]):
        assert tasks.add.apply_async((1, 2), queue=queue_name).get(timeout=10) == 3


def test_a_worker_that_cannot_start_shows_why(project, redis_url):
    """The traceback of the user's module is in the error; nobody waits for the deadline."""
    broken = project("raise RuntimeError('the shop burned down')", broker_url=redis_url)

    with pytest.raises(DispatchError, match=r"(?s)ended before it was ready.*the shop burned down"), broken.worker():
        pytest.fail("a broken worker was called ready")


def test_a_worker_without_a_broker_is_given_up_at_the_deadline(project, closed_port):
    """It tries again for ever; we do not."""
    shop = project(SHOP, broker_url=f"redis://127.0.0.1:{closed_port}/0")

    with pytest.raises(DispatchError, match=r"not ready within 2 s"), shop.worker(deadline=2.0):
        pytest.fail("a worker without a broker was called ready")


def test_a_worker_and_its_children_end_with_a_killed_parent(shop):
    """kill -9 of the process that started the worker leaves none of it behind."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM_WITH_A_WORKER, shop.name],
        cwd=shop.folder,
        env=dict(shop.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        processes = group(int(parent.stdout.readline()))
        parent.kill()

    assert len(processes) == 3
    eventually(lambda: not any(map(alive, processes)), what="the worker is gone")


def test_it_can_introduce_itself(shop):
    with shop.worker(pool="solo", hostname="till@localhost") as worker:
        assert repr(worker) == f"<Worker till@localhost [pid {worker.pid} | running]>"
    assert repr(worker) == f"<Worker till@localhost [pid {worker.pid} | ended]>"
