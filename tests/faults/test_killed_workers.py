"""Workers die at random moments under a steady load, and every durable call runs."""

from __future__ import annotations

from textwrap import dedent

import pytest
import redis
from celery import Celery

from faults.campaign import Campaign
from faults.logbook import NOTE

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


@pytest.fixture
def campaign(open_shop, book, seed):
    """A campaign against a shop of ours: `campaign(broker_url, calls=…, kills=…)`."""

    def make(broker_url, **options):
        # More deaths than a call that is not to blame should ever meet.
        terms = "lease: 2s, max_deliveries: 100" if broker_url.startswith("redis") else ""
        shop = open_shop(broker_url, ledger=terms)
        return Campaign(shop.project, book, shop.task("work").delay, seed=seed, **options)

    return make


@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.rabbitmq
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_no_durable_call_is_lost_on_rabbitmq(campaign, rabbitmq_url, pool, rounds):
    """Quorum queues, and acknowledged once they have run."""
    account = campaign(rabbitmq_url, pool=pool, calls=rounds(100, 10_000), kills=rounds(3, 50)).run()
    print(account)

    assert account.sent == rounds(100, 10_000)
    assert not account.missing


@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_no_durable_call_is_lost_on_redis(campaign, redis_url, pool, rounds):
    """What Celery's transport loses with its worker, the ledger brings again; and never while somebody runs it.

    A call that ran twice was the last one of a process that died before it could settle it.
    """
    account = campaign(redis_url, pool=pool, calls=rounds(200, 10_000), kills=rounds(5, 200)).run()
    print(account)

    assert account.sent == rounds(200, 10_000)
    assert not account.missing
    assert not account.overlaps
    assert not account.uncalled_for


@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_plain_celery_loses_calls_on_redis(project, redis_url, book, seed, rounds):
    """The harness can fail: what Celery's transport has popped and not noted down is lost with its worker."""
    shop = project(PLAIN, broker_url=redis_url)
    app = Celery("caller", broker=redis_url, set_as_current=False)
    name = f"{shop.name}.work"

    def send(number):
        app.send_task(name, (number,))

    account = Campaign(
        shop, book, send, calls=rounds(400, 10_000), kills=rounds(10, 200), seed=seed, patience=10.0
    ).run()
    with redis.Redis.from_url(redis_url) as client:
        kept = client.llen("celery") + client.hlen("unacked")
    print(f"{account}; {kept} may still be delivered")

    # Few kills may lose nothing for good; what the ledger's campaigns ask for, they miss all the same.
    assert len(account.missing) > rounds(0, kept)
