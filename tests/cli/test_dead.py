"""`dispatch dead`: what an operator sees of the calls that failed for good, and does about them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner

from cli.burial import bury
from dispatch.cli import main
from dispatch.spool import Entry as SpoolEntry
from dispatch.spool import Spool, Verdict
from dispatch.transports.celery import build_app
from dispatch.transports.celery._registration import withdraw_from
from dispatch.transports.celery.dead import dead_letters


@pytest.fixture
def asked(redis_url, monkeypatch):
    """`asked("ls", …)` over a Redis with nothing in it."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    return lambda *arguments: CliRunner().invoke(main, ["dead", *arguments])


@pytest.fixture
def ledger(redis_url):
    app = build_app(redis_url)
    there = dead_letters(app)
    yield there._ledger
    there.close()
    withdraw_from(app)
    app.close()


def test_an_empty_place_is_said_to_be_empty(asked):
    """And that is fine."""
    found = asked("ls")

    assert (0, "no dead letters\n") == (found.exit_code, found.output)


def test_ls_has_a_line_for_each_the_newest_first(asked, ledger):
    """What a person needs to know which to look at."""
    bury(ledger, "first")
    bury(ledger, "second", task="shop.ship", error="boom\n\x1b[31mred")

    heading, newest, oldest = asked("ls").output.splitlines()

    assert ["since", "call", "task", "reason", "attempts", "error", "place"] == heading.split()
    assert ["second", "shop.ship", "failed", "1"] == newest.split()[2:6]
    assert "\x1b" not in newest
    assert ["first", "shop.charge", "failed", "1", "LookupError:", "no", "order", "7", "redis"] == oldest.split()[2:]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--task", "shop.ch*"), ["third", "first"]),
        (("--task", "nothing.*"), []),
        (("--limit", "2"), ["third", "second"]),
        (("--limit", "1", "--task", "shop.ship"), ["second"]),
        (("--since", "1h"), ["third", "second", "first"]),
        (("--since", (datetime.now() + timedelta(hours=1)).isoformat()), []),  # noqa: DTZ005 - as a person writes it
    ],
)
def test_ls_shows_those_that_are_asked_for(asked, ledger, options, ids):
    """By task, by age, and so many of the newest."""
    for call_id, task in (("first", "shop.charge"), ("second", "shop.ship"), ("third", "shop.charge")):
        bury(ledger, call_id, task)

    assert ids == [letter["id"] for letter in json.loads(asked("ls", "--json", *options).output)]


def test_ls_for_programs_leaves_out_what_may_be_long_or_secret(asked, ledger):
    """Arguments and traceback are for `show`."""
    bury(ledger, "first")

    (letter,) = json.loads(asked("ls", "--json").output)

    assert letter.pop("at_ms") > 0
    assert {
        "place": "redis",
        "id": "first",
        "task": "shop.charge",
        "reason": "failed",
        "error": "LookupError: no order 7",
        "attempts": 1,
        "deliveries": 1,
        "trace_id": "0af7",
        "queue": "shop",
    } == letter


def test_show_has_all_of_it(asked, ledger):
    """For a person, and for a program."""
    bury(ledger, "first")

    shown = asked("show", "first").output
    letter = json.loads(asked("show", "first", "--json").output)

    for words in ("shop.charge", "LookupError: no order 7", "[[7], {}, {}]", "redis, from queue shop", "0af7"):
        assert words in shown
    assert shown.endswith("Traceback …\n  in charge\n")
    assert ("[[7], {}, {}]", "Traceback …\n  in charge") == (letter["arguments"], letter["traceback"])


def test_retry_sends_it_again_once(asked, ledger):
    """Asked a second time, the call is under way."""
    bury(ledger, "first")

    assert "first sent again\n" == asked("retry", "first").output
    assert "first is under way already\n" == asked("retry", "first").output
    assert "no dead letters\n" == asked("ls").output


def test_drop_throws_it_away(asked, ledger):
    """And no other."""
    bury(ledger, "first")
    bury(ledger, "second")

    assert {"first": "dropped"} == json.loads(asked("drop", "first", "--json").output)
    assert ["second"] == [letter["id"] for letter in json.loads(asked("ls", "--json").output)]


def test_all_takes_what_the_filters_leave(asked, ledger):
    """One command for many."""
    for call_id, task in (("first", "shop.charge"), ("second", "shop.ship"), ("third", "shop.charge")):
        bury(ledger, call_id, task)

    assert {"first": "sent", "third": "sent"} == json.loads(
        asked("retry", "--all", "--task", "shop.charge", "--json").output
    )
    assert "second dropped\n" == asked("drop", "--all").output
    assert "no dead letters\n" == asked("drop", "--all").output


@pytest.mark.parametrize("arguments", [("retry",), ("drop", "one", "--all"), ("drop", "one", "--task", "shop.*")])
def test_what_is_meant_must_be_said_in_one_way(asked, arguments):
    """Nothing is thrown away by a slip."""
    refused = asked(*arguments)

    assert (2, True) == (refused.exit_code, "give either ids, or --all" in refused.output)


@pytest.mark.parametrize("command", ["show", "retry", "drop"])
def test_a_letter_that_is_not_there_is_named(asked, command):
    """With the way to find those that are."""
    refused = asked(command, "nobody")

    assert 2 == refused.exit_code
    assert "there is no dead letter nobody; `dispatch dead ls` shows those that there are" in refused.output


def test_a_date_that_is_none_is_named(asked):
    """With what it could be."""
    refused = asked("ls", "--since", "yesterday")

    assert (2, True) == (refused.exit_code, "'yesterday' is neither a duration" in refused.output)


def test_without_a_broker_the_settings_are_named(monkeypatch):
    """The same sentence as elsewhere."""
    monkeypatch.delenv("DISPATCH_BROKER_URL", raising=False)
    refused = CliRunner().invoke(main, ["dead", "ls"])

    assert (2, True) == (refused.exit_code, "DISPATCH_BROKER_URL" in refused.output)


def test_a_broker_that_is_away_is_a_finding_and_no_traceback(monkeypatch, closed_port):
    """Status 1: a server that failed."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", f"redis://127.0.0.1:{closed_port}/0")
    refused = CliRunner().invoke(main, ["dead", "ls"])

    assert (1, True) == (refused.exit_code, "Redis cannot be asked" in refused.output)


# On this machine's disk ------------------------------------------------------------------------------------------


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """With one dead call and one that waits; and no broker is configured."""
    monkeypatch.setenv("DISPATCH_APPLICATION", "kitchen")
    monkeypatch.setenv("DISPATCH_SPOOL_DIR", str(tmp_path / "state"))
    opened = Spool("kitchen", folder=tmp_path / "state")
    for call_id in ("lost", "waits"):
        opened.add(SpoolEntry(id=call_id, broker="fast", task="shop.charge", arguments=b"secret", trace="0af7"))
    (row, _) = opened.take("fast", "me", count=2, lease=60)
    opened.settle("me", [(Verdict(row.id, "never", "LookupError: no order 7", "Traceback …\n  in charge"), 0)])
    yield opened
    opened.close()


def on_disk(*arguments):
    return CliRunner().invoke(main, ["dead", *arguments])


def test_dead_calls_on_disk_are_among_them(spool):
    """Also where there is no broker; those that wait are none."""
    (letter,) = json.loads(on_disk("ls", "--json").output)

    assert ("lost", "spool", "fast", "0af7") == (letter["id"], letter["place"], letter["queue"], letter["trace_id"])
    assert "in charge" in on_disk("show", "lost").output
    assert 2 == on_disk("show", "waits").exit_code


def test_a_dead_call_on_disk_is_sent_again_or_dropped(spool):
    """And nobody drops a live one by that name."""
    assert "waits" in on_disk("drop", "waits").output
    assert "leased" == spool.state("waits")

    assert {"lost": "sent"} == json.loads(on_disk("retry", "lost", "--json").output)
    assert "waiting" == spool.state("lost")
    assert "no dead letters\n" == on_disk("ls").output


def test_both_places_are_one_list(asked, ledger, spool):
    """The broker's and the disk's, each by its name."""
    bury(ledger, "first")

    assert {"redis", "spool"} == {letter["place"] for letter in json.loads(asked("ls", "--json").output)}
