"""Workers die at random moments under a steady load, and every durable call runs."""

from __future__ import annotations

from textwrap import dedent

import pytest
import redis
from celery import Celery

import dispatch
from dispatch import _default
from dispatch.policy import parse
from faults.campaign import Campaign
from faults.logbook import NOTE, Logbook

SHOP = NOTE + dedent("""
    import dispatch

    app = dispatch.celery_app()
    app.conf.task_default_queue = __name__

    @dispatch.task(durability="durable", result=False)
    def work(number):
        note("began", number)
        time.sleep(0.002)
        note("ended", number)
    """)

PLAIN = NOTE + dedent("""
    from celery import Celery

    app = Celery(__name__, broker=os.environ["DISPATCH_BROKER_URL"])
    app.conf.update(
        task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True, worker_prefetch_multiplier=1,
        broker_transport_options={"visibility_timeout": 5},
    )

    @app.task
    def work(number):
        note("began", number)
        time.sleep(0.002)
        note("ended", number)
    """)

POLICY = """
version: 1
destinations:
  queue: {{transport: celery, queue: {queue}, publish_deadline: 10s}}
defaults: {{durability: durable}}
rules: []
otherwise: {{route_to: queue}}
"""


@pytest.fixture
def book(tmp_path):
    return Logbook(tmp_path / "logbook")


@pytest.fixture
def campaign(project, book, seed, monkeypatch):
    """A campaign against a shop of ours: `campaign(broker_url, calls=…, kills=…)`."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    made = []

    def make(broker_url, **options):
        shop = project(SHOP, broker_url=broker_url)
        monkeypatch.setenv("DISPATCH_BROKER_URL", broker_url)
        module = shop.load()
        dispatcher = dispatch.Dispatcher(policy=parse(POLICY.format(queue=shop.name)), celery=module.app)
        made.append(dispatcher)
        return Campaign(shop, book, module.work.using(dispatcher).delay, seed=seed, **options)

    yield make
    for dispatcher in made:
        dispatcher.shutdown("5s")
    dispatch.shutdown("5s")


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.rabbitmq
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_no_durable_call_is_lost_on_rabbitmq(campaign, rabbitmq_url, pool, rounds):
    """Quorum queues, and acknowledged once they have run."""
    account = campaign(rabbitmq_url, pool=pool, calls=rounds(100, 2500), kills=rounds(3, 25)).run()
    print(account)

    assert account.sent == rounds(100, 2500)
    assert not account.missing


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_plain_celery_loses_calls_on_redis(project, redis_url, book, seed, rounds):
    """The harness can fail: what Celery's transport has popped and not noted down is lost with its worker."""
    shop = project(PLAIN, broker_url=redis_url)
    app = Celery("caller", broker=redis_url, set_as_current=False)
    name = f"{shop.name}.work"

    def send(number):
        app.send_task(name, (number,))

    account = Campaign(
        shop, book, send, calls=rounds(400, 10_000), kills=rounds(10, 200), seed=seed, patience=5.0
    ).run()
    with redis.Redis.from_url(redis_url) as client:
        kept = client.llen("celery") + client.hlen("unacked")
    print(f"{account}; {kept} may still be delivered")

    assert len(account.missing) > kept
