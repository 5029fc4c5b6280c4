"""What the publishing side may rely on: entry and message together, once for each id."""

import json

import pytest
import redis
from redis.exceptions import NoScriptError

from dispatch.transports.celery.ledger import Ledger

OUT_OF_MEMORY = "maxmemory"
"""Redis 6.2 wraps what a script was told, so redis-py does not know it for an `OutOfMemoryError`."""


def test_the_entry_and_its_message_come_together(desk):
    """A fresh call is in its list, and in the ledger with a day on which the sweep looks for it."""
    entered = desk.ledger.enter(desk.entry("call"))

    assert (True, "entered") == (entered.fresh, entered.state)
    assert ["call"] == desk.queued()
    assert "queued" == desk.state()
    assert ["call"] == desk.due()


def test_the_message_says_when_it_went_into_its_list(desk):
    """The stamp is the server's time, and the rest of the text is what it was, to the letter."""
    seconds, micros = desk.redis.time()
    desk.enter()

    text = desk.redis.lindex("queue", 0)
    stamp = json.loads(text)["headers"]["dispatch-stamp"]
    assert 0 <= int(stamp) - (seconds * 1000 + micros // 1000) < 60_000
    assert desk.text("call") == text.replace(stamp, "0" * 13)


def test_a_known_id_pushes_nothing(desk):
    """An id is a call: entered twice, it is one message, and the answer says how far it has come."""
    desk.enter()
    again = desk.ledger.enter(desk.entry("call"))

    assert (False, "queued", "") == (again.fresh, again.state, again.outcome)
    assert ["call"] == desk.queued()


def test_a_settled_id_says_its_outcome(desk):
    """Deduplication reaches beyond the end of the call, for as long as it is remembered."""
    desk.ledger.settle(desk.running(), "done")
    again = desk.ledger.enter(desk.entry("call"))

    assert (False, "settled", "done") == (again.fresh, again.state, again.outcome)
    assert [] == desk.queued()


def test_a_delayed_call_is_in_no_list_before_its_time(desk):
    """It waits in the ledger, and the sweep publishes it when it is due."""
    desk.enter(delay_ms=60_000)
    assert desk.sweep().next_ms in range(1, 60_001)
    assert ([], "waiting") == (desk.queued(), desk.state())

    desk.later(60_000)
    assert 1 == desk.sweep().pushed
    assert (["call"], "queued") == (desk.queued(), desk.state())


def test_a_delayed_ephemeral_call_is_forgotten_in_the_step_that_publishes_it(desk):
    """At most once: nothing remembers it that could publish it again."""
    desk.enter(delay_ms=60_000, durability="ephemeral")
    desk.later(60_000)

    assert 1 == desk.sweep().pushed
    assert (["call"], None, []) == (desk.queued(), desk.state(), desk.due())


def test_an_ephemeral_call_without_delay_is_published_by_the_sweep_too(desk):
    """Its date may have passed on its way here; then it is due at once."""
    desk.enter(durability="ephemeral")
    assert [] == desk.queued()

    assert 1 == desk.sweep().pushed
    assert (["call"], None) == (desk.queued(), desk.state())


def test_many_go_in_one_pipeline_and_each_has_its_answer(desk):
    """As the publisher sends them: the lesson once, then one command for each call."""
    commands = [desk.ledger.lesson(), *(desk.ledger.entering(desk.entry(name)) for name in ("a", "b", "a"))]
    with desk.redis.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        _, *replies = pipe.execute()

    assert [True, True, False] == [Ledger.entered(reply).fresh for reply in replies]
    assert ["a", "b"] == desk.queued()


def test_a_server_that_forgot_the_script_runs_nothing_and_says_so(private_redis, new_desk):
    """`NOSCRIPT` in a pipeline is an invitation to teach it and to send the same again."""
    desk = new_desk(private_redis.url)
    with pytest.raises(NoScriptError):
        desk.redis.execute_command(*desk.ledger.entering(desk.entry()))
    assert (None, []) == (desk.state(), desk.queued())

    desk.redis.execute_command(*desk.ledger.lesson())
    assert Ledger.entered(desk.redis.execute_command(*desk.ledger.entering(desk.entry()))).fresh


def test_every_transition_outlives_a_flush_of_the_scripts(private_redis, new_desk):
    """Also a failover: the new primary has never heard of them."""
    desk = new_desk(private_redis.url)
    flush = desk.redis.script_flush

    flush()
    desk.enter("call")
    flush()
    claim = desk.claimed("call")
    flush()
    assert [] == desk.ledger.renew([claim])
    flush()
    assert desk.ledger.again(claim, desk.text("call", 2), "queue")
    flush()
    claim = desk.claimed("call", 2)
    flush()
    assert desk.ledger.bury(claim, error="E", traceback="T")
    flush()
    assert "entered" == desk.ledger.letters.exhume("call")
    flush()
    assert "ended" == desk.ledger.discard("call", 1, "revoked")
    flush()
    assert 0 == desk.sweep().pushed
    flush()
    desk.ledger.release("sweeper")
    flush()
    assert not desk.ledger.letters.drop("call")


def test_out_of_memory_nothing_of_it_is_written(private_redis, new_desk):
    """A refusal is a refusal: no entry that the sweep would publish later, and no message without an entry."""
    desk = new_desk(private_redis.url)
    desk.enter("known")
    desk.redis.config_set("maxmemory", 1)
    for terms in ({}, {"delay_ms": 1000}):
        with pytest.raises(redis.ResponseError, match=OUT_OF_MEMORY):
            desk.enter("call", **terms)

    assert (None, ["known"], ["known"]) == (desk.state("call"), desk.queued(), desk.due())
    assert not desk.enter("known")


def test_out_of_memory_what_was_accepted_goes_on_to_its_end(private_redis, new_desk):
    """Claiming, renewing, retrying, burying, settling and sweeping give memory back in the end."""
    desk = new_desk(private_redis.url)
    claims = [desk.running(name) for name in ("a", "b", "c")]
    desk.enter("late", delay_ms=1000)
    desk.enter("waits")
    desk.redis.config_set("maxmemory", 1)
    desk.redis.rpop("queue")

    assert [] == desk.ledger.renew(claims)
    assert desk.ledger.settle(claims[0], "done")
    assert desk.ledger.bury(claims[1], error="E", traceback="T")
    assert desk.ledger.again(claims[2], desk.text("c", 2), "queue")
    assert desk.ledger.settle(desk.claimed("waits"), "done")
    assert desk.ledger.settle(desk.claimed("unheard of"), "done")
    with pytest.raises(redis.ResponseError, match=OUT_OF_MEMORY):
        desk.ledger.letters.exhume("b")
    assert "b" == desk.ledger.letters.show("b").id
    desk.redis.delete("queue")
    desk.redis.config_set("maxmemory", 0)
    desk.later(60_000)
    desk.redis.config_set("maxmemory", 1)
    assert 2 == desk.sweep().pushed


def test_a_list_that_is_none_is_a_refusal(desk):
    """Somebody else's key stands where the list should be: the error says so, and nothing was written."""
    desk.redis.set("queue", "not a list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        desk.enter()

    assert (None, []) == (desk.state(), desk.due())


def test_a_message_without_a_stamp_is_refused_before_anything_is_sent(desk):
    """It could never be told from what others put into the list; the error names the header."""
    with pytest.raises(ValueError, match="dispatch-stamp"):
        desk.enter(message='{"headers": {}}')


@pytest.mark.parametrize("name", ["attempt", "lease_ms", "remember_ms", "max_deliveries"])
def test_a_number_that_cannot_be_is_refused(desk, name):
    """An entry with a lease of nothing would be run by everybody."""
    with pytest.raises(ValueError, match=f"{name} of call call is 0"):
        desk.entry(**{name: 0})


def test_a_delay_into_the_past_is_refused(desk):
    """Whoever computes it knows what a late date means; the ledger does not."""
    with pytest.raises(ValueError, match="less than 0"):
        desk.entry(delay_ms=-1)


def test_a_prefix_is_before_every_key(redis_url, new_desk):
    """Two applications with prefixes of their own share a database and see nothing of one another."""
    desk = new_desk(redis_url, prefix="shop:")
    claim = desk.running("call")
    desk.ledger.bury(claim, error="E", traceback="T")
    desk.sweep()
    desk.running("other")

    assert [] == [key for key in desk.redis.scan_iter() if not key.startswith("shop:")]


def test_a_client_that_adds_the_prefix_itself_is_refused(redis_url):
    """kombu's own would put it before some keys twice."""
    client = redis.Redis.from_url(redis_url)
    client.global_keyprefix = "shop:"

    with pytest.raises(ValueError, match="connection_pool"):
        Ledger(client, prefix="shop:")
    client.close()


def test_ids_cannot_meet_the_ledgers_own_keys(desk):
    """A caller may choose any id."""
    for name in ("due", "dead", "sweeper", "nothing", "dead-tally", "", "a:b", "ledger:due", "ü"):
        desk.ledger.settle(desk.running(name), "done")
        assert "settled" == desk.state(name)
    assert 0 == desk.sweep().forgotten
