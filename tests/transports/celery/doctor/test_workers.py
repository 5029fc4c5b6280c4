"""What a doctor finds of workers: real ones, on both brokers."""

from __future__ import annotations

import pytest
import redis

from dispatch._clock import wall
from dispatch.transports.celery import build_app
from dispatch.transports.celery.doctor._crew import _skew
from servers.patience import eventually
from transports.celery.doctor.patients import charge, facts, found, spec

pytestmark = pytest.mark.slow  # as a whole

SHOP = """
    import os
    import dispatch

    @dispatch.task(name="shop.charge")
    def charge(order: int) -> str:
        return f"charged {order}"

    app = dispatch.celery_app()
    app.conf.task_default_queue = os.environ["SHOP_QUEUE"]
"""


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker_url(request):
    return request.getfixturevalue(f"{request.param}_url")


def charged(order: int, times: int) -> str:
    """Of the same name as the shop's, with other parameters."""
    return f"charged {order} {times}"


def test_a_worker_that_has_it_all(patient, project, broker_url, queue_name):
    """It is found, its versions are told, and a probe comes back from it; nothing is left behind."""
    shop = project(SHOP, broker_url=broker_url)
    with shop.worker(env={"SHOP_QUEUE": queue_name}, concurrency=1):
        subject = patient(broker_url, queue=queue_name, specs=(spec(charge, result=False),), probe=True)
        said = found(subject)
        told = facts(subject)

    assert [] == [each for each in said.values() if each.severity == "error" and each.code != "not-durable"]
    assert 1 == sum("a probe was run by" in each for each in told)
    assert 1 == sum("prefork pool, dispatch" in each for each in told)
    if subject.system == "redis":
        assert [] == [key for key in redis.Redis.from_url(broker_url).scan_iter() if b"probe" in key]


def test_nobody_reads_the_queue(patient, project, redis_url, queue_name):
    """Somebody reads another."""
    shop = project(SHOP, broker_url=redis_url)
    with shop.worker(env={"SHOP_QUEUE": "another"}, concurrency=1, pool="threads"):
        said = found(patient(redis_url, queue=queue_name))

    assert "1 workers read another" in said["no-worker"].fact


def test_a_worker_with_other_code(patient, project, redis_url, queue_name):
    """It knows `charge` by other parameters, and knows nothing of `ship`."""
    shop = project(SHOP, broker_url=redis_url)
    ours = (spec(charged, name="shop.charge"), spec(charge, name="shop.ship"))
    with shop.worker(env={"SHOP_QUEUE": queue_name}, concurrency=1, pool="threads"):
        said = found(patient(redis_url, queue=queue_name, specs=ours))

    assert "shop.ship" in said["unknown-task"].fact
    assert "shop.charge" in said["other-code"].fact


CELERY_ALONE = """
    import os
    from celery import Celery

    app = Celery("shop", broker=os.environ["DISPATCH_BROKER_URL"])
    app.conf.task_default_queue = os.environ["SHOP_QUEUE"]
"""


def test_a_worker_that_has_never_heard_of_us(patient, project, redis_url, queue_name):
    """No probe is sent: it would be thrown away as unknown, and logged as an error there."""
    shop = project(CELERY_ALONE, broker_url=redis_url)
    with shop.worker(env={"SHOP_QUEUE": queue_name}, concurrency=1, pool="threads"):
        said = found(patient(redis_url, queue=queue_name, specs=(spec(),), probe=True))

        assert "error" == said["no-dispatch"].severity
        assert "worker-consumes-nothing" not in said
        assert "dispatch.probe" not in shop.log.read_text()


PECULIAR = (
    SHOP
    + """
    import sys
    import threading
    import types

    app.conf.accept_content = ["json", "pickle"]
    sys.modules["grpc"] = types.ModuleType("grpc")
    threading.Thread(target=threading.Event().wait, name="metrics-pusher", daemon=True).start()

    from dispatch.transports.celery.worker._refusals import refusals
    refusals.count("forged")

    from dispatch.transports.celery.worker import _telling
    real = _telling.wall
    _telling.wall = lambda: real() + 3600 * 10**9
    _telling.release = lambda: "0.0.9"
"""
)


def test_a_worker_with_all_that_goes_wrong(patient, project, redis_url, queue_name):
    """Threads before the fork, gRPC, a clock that is off, another version, pickle."""
    shop = project(PECULIAR, broker_url=redis_url)
    with shop.worker(env={"SHOP_QUEUE": queue_name, "C_FORCE_ROOT": "1"}, concurrency=1):
        said = found(patient(redis_url, queue=queue_name))

    assert "metrics-pusher" in said["prefork-threads"].fact
    assert "note" == said["prefork-grpc"].severity
    assert "3.6e+03 s" in said["clock-skew"].fact
    assert "dispatch 0.0.9" in said["other-version"].fact
    assert "1 forged" in said["refused-messages"].fact
    assert said["accepts-pickle"].about.startswith("worker ")


STUCK = (
    SHOP
    + """
    from celery import signals
    from dispatch.transports.celery.worker import _probe

    @dispatch.task(name="shop.wait")
    def wait(key: str) -> None:
        import redis
        redis.Redis.from_url(os.environ["DISPATCH_BROKER_URL"]).blpop(key, 30)

    _probe._probe = lambda task, answers: None  # it is run, and answers nobody
"""
)


def test_workers_whose_slots_are_all_taken(patient, project, redis_url, queue_name):
    """Busy is not broken. The probe that nobody ran is taken back."""
    shop = project(STUCK, broker_url=redis_url)
    client = redis.Redis.from_url(redis_url)
    with shop.worker(env={"SHOP_QUEUE": queue_name}, concurrency=1):
        sender = build_app(redis_url)
        sender.conf.task_default_queue = queue_name
        sender.send_task("shop.wait", ("gate",), queue=queue_name, ignore_result=True)
        _eventually_busy(client)
        said = found(patient(redis_url, queue=queue_name, probe=True, seconds=1))
        left = client.lrange(queue_name, 0, -1)
        client.rpush("gate", 1)
        sender.close()

    assert "warning" == said["workers-busy"].severity
    assert [] == left


def test_a_worker_that_is_up_and_runs_nothing(patient, project, redis_url, queue_name):
    """It answers when it is asked, its slots are free, and the probe does not come back."""
    shop = project(STUCK, broker_url=redis_url)
    with shop.worker(env={"SHOP_QUEUE": queue_name}, concurrency=1):
        said = found(patient(redis_url, queue=queue_name, probe=True, seconds=1))

    assert "error" == said["worker-consumes-nothing"].severity


def test_a_probe_writes_into_no_queue_but_a_doctors(patient, project, redis_url, queue_name):
    """Whoever can send one must not be able to have a worker write elsewhere."""
    shop = project(SHOP, broker_url=redis_url)
    client = redis.Redis.from_url(redis_url)
    sender = build_app(redis_url)
    with shop.worker(env={"SHOP_QUEUE": queue_name}, concurrency=1):
        sender.send_task("dispatch.probe", ("victim",), queue=queue_name, ignore_result=True)
        sender.send_task("dispatch.probe", ("dispatch.probe.mine",), queue=queue_name, ignore_result=True)
        answered = client.blpop("dispatch.probe.mine", 10)

    assert answered is not None
    assert 0 == client.exists("victim")
    sender.close()


def _eventually_busy(client):
    """The call waits at its gate: the server has a client that is blocked there."""
    eventually(lambda: any(each.get("cmd") == "blpop" for each in client.client_list()), what="the call at its gate")


def test_a_skew_is_what_the_way_there_and_back_cannot_explain():
    """An answer that was written between question and answer agrees with ours."""
    now = wall()

    assert [0, 0, 7, 9] == [
        _skew(now + 5, now, now + 10),
        _skew(None, now, now),
        _skew(now - 7, now, now),
        _skew(now + 19, now, now + 10),
    ]
