"""Dead letters: whole, bounded, and good for another try."""

import json
import logging

import pytest
import redis

from dispatch.transports.celery.ledger import Bounds, Ledger


@pytest.fixture
def buried(desk):
    """A call that failed for good at its second attempt."""
    claim = desk.running(message=desk.text("call", 1, expires="2020-01-01T00:00:00+00:00"))
    desk.ledger.again(claim, desk.text("call", 2, expires="2020-01-01T00:00:00+00:00"), "queue")
    assert desk.pop() == ("call", 2)
    assert desk.ledger.bury(desk.claimed("call", 2), error="ValueError('no')", traceback="Traceback …", trace_id="0af7")
    return desk


def test_a_dead_letter_says_all_that_is_known(buried):
    """Enough to understand it, and to run it again."""
    letter = buried.ledger.letters.show("call")

    assert ("call", "shop.charge", "queue", "failed") == (letter.id, letter.task, letter.list_key, letter.reason)
    assert ("ValueError('no')", "Traceback …", "0af7") == (letter.error, letter.traceback, letter.trace_id)
    assert (2, 1) == (letter.attempt, letter.deliveries)
    assert buried.text("call", 2, expires="2020-01-01T00:00:00+00:00") == letter.message
    assert abs(buried.redis.time()[0] * 1000 - letter.at_ms) < 60_000


def test_a_client_that_leaves_bytes_sees_the_same(buried, redis_url):
    """As kombu's connections do."""
    with redis.Redis.from_url(redis_url) as client:
        ledger = Ledger(client)
        assert buried.ledger.letters.show("call") == ledger.letters.show("call")
        assert (["call"], buried.ledger.letters.tally()) == (ledger.letters.ids(), ledger.letters.tally())
        assert "failed" == ledger.enter(buried.entry("call")).outcome
        assert "failed" == ledger.claim("call", 2, "me", lambda: buried.entry("call")).outcome
        assert "entered" == ledger.letters.exhume("call")
        assert "known" == ledger.letters.exhume("call")


def test_its_call_has_failed_and_is_not_run_again(buried):
    """Letter and outcome are written in one step."""
    assert "failed" == buried.refused("settled", "call", 2).outcome
    assert [] == buried.due()


def test_exhumed_it_is_a_first_attempt_under_its_old_id(buried):
    """Published at once; neither its retries nor its date count any more, and its body is untouched."""
    before = json.loads(buried.ledger.letters.show("call").message)
    assert "entered" == buried.ledger.letters.exhume("call")

    after = json.loads(buried.redis.lindex("queue", 0))
    assert (before["body"], before["properties"]) == (after["body"], after["properties"])
    assert (0, None) == (after["headers"]["retries"], after["headers"]["expires"])
    assert -1 == buried.redis.pttl("dispatch:ledger:call")
    assert (1, 1) == (buried.claimed("call", 1).attempt, int(buried.facts()["deliveries"]))
    assert (None, 0, 0) == (
        buried.ledger.letters.show("call"),
        buried.ledger.letters.tally().count,
        buried.ledger.letters.tally().bytes,
    )


def test_exhumed_twice_it_is_published_once(buried):
    """The answer was lost, or two operators had the same thought."""
    assert ["entered", "known"] == [buried.ledger.letters.exhume("call") for _ in range(2)]
    assert ["call"] == buried.queued()


def test_exhumed_and_lost_it_is_found_by_the_sweep(buried):
    """It is a call like any other."""
    buried.ledger.letters.exhume("call")
    buried.pop()
    buried.later(30_000)

    assert 1 == buried.sweep().pushed


def test_a_call_that_dies_again_is_one_letter(buried):
    """The newer one, and its size is counted once."""
    size = buried.ledger.letters.tally().bytes
    buried.ledger.letters.exhume("call")
    buried.ledger.bury(buried.claimed("call", 1), error="ValueError('no')", traceback="Traceback …", trace_id="0af7")

    tally = buried.ledger.letters.tally()
    assert 1 == tally.count
    assert abs(tally.bytes - size) < 40


def test_a_letter_replaces_an_older_one_of_the_same_id(buried):
    """The first life of the call was forgotten, and somebody used its id again."""
    size = buried.ledger.letters.tally().bytes
    buried.redis.delete("dispatch:ledger:call")
    claim = buried.running("call")
    buried.ledger.bury(claim, error="ValueError('no')", traceback="Traceback …", trace_id="0af7")

    tally = buried.ledger.letters.tally()
    assert 1 == tally.count
    assert tally.bytes <= size


def test_a_letter_stays_while_a_call_of_its_id_is_under_way(buried):
    """The first life of the call was forgotten, and somebody used its id again."""
    buried.redis.delete("dispatch:ledger:call")
    buried.enter("call")

    assert "known" == buried.ledger.letters.exhume("call")
    assert ["call"] == buried.queued() == buried.ledger.letters.ids()


def test_dropped_it_is_gone(buried):
    """And dropping it again says that there was nothing."""
    assert [True, False] == [buried.ledger.letters.drop("call") for _ in range(2)]
    assert "absent" == buried.ledger.letters.exhume("call")
    assert (0, 0) == (buried.ledger.letters.tally().count, buried.ledger.letters.tally().bytes)


def test_the_newest_are_listed_first(desk):
    """In pages."""
    for number in range(5):
        desk.ledger.bury(desk.running(f"call-{number}"), error="E", traceback="T")
        desk.redis.zadd("dispatch:dead", {f"call-{number}": number})

    assert ["call-4", "call-3"] == desk.ledger.letters.ids(limit=2)
    assert ["call-2", "call-1", "call-0"] == desk.ledger.letters.ids(2)


def test_the_oldest_make_room_by_count(redis_url, new_desk, caplog):
    """They are counted, and the log says that they went."""
    desk = new_desk(redis_url, bounds=Bounds(count=3))
    with caplog.at_level(logging.WARNING, "dispatch.ledger"):
        for number in range(5):
            desk.ledger.bury(desk.running(f"call-{number}"), error="E", traceback="T")
            desk.redis.zadd("dispatch:dead", {f"call-{number}": number})

    assert ["call-4", "call-3", "call-2"] == desk.ledger.letters.ids()
    assert None is desk.ledger.letters.show("call-0")
    assert 2 == desk.ledger.letters.tally().gone
    assert 2 == len(caplog.records)


def test_the_oldest_make_room_by_size(redis_url, new_desk):
    """The newest stays, even if it is too big alone."""
    desk = new_desk(redis_url, bounds=Bounds(bytes=2000))
    for number, size in enumerate((300, 300, 300, 5000)):
        desk.ledger.bury(desk.running(f"call-{number}"), error="E", traceback="T" * size)
        desk.redis.zadd("dispatch:dead", {f"call-{number}": number})
        if size == 300:
            assert number + 1 == desk.ledger.letters.tally().count

    assert ["call-3"] == desk.ledger.letters.ids()
    assert 5000 < desk.ledger.letters.tally().bytes < 6000
