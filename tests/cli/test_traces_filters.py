"""`dispatch traces list`: which traces are wanted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.tracing import ask, away_from_settings
from dispatch._clock import wall
from telemetry import written


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Neither the machine's settings nor its `.env`."""
    away_from_settings(monkeypatch, tmp_path)


@pytest.fixture
def several(tmp_path):
    """One trace each: a quick local call, a slow one that failed, a queued one, and two calls in one trace."""
    above = written.a_span("GET /", start=40, took=500, scope="shop")
    written.write(
        tmp_path / "traces" / "t.jsonl",
        *written.local("quick-1", start=10),
        *written.local("slow-1", start=20, took=9_000, error="ValueError", task="shop.crop"),
        *written.queued("queued-1", start=30),
        *(above, *written.local("two-1", start=41, parent=above), *written.queued("two-2", start=42, parent=above)),
    )


def listed(*arguments):
    """The calls of the traces that are listed, the newest trace first."""
    found = json.loads(ask("list", "--json", *arguments).stdout)
    return [" ".join(call["call_id"] for call in trace["calls"]) for trace in found]


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ((), ["two-1 two-2", "queued-1", "slow-1", "quick-1"]),
        (("--task", "shop.c*"), ["slow-1"]),
        (("--task", "SHOP.*"), []),
        (("--destination", "queue"), ["two-1 two-2", "queued-1"]),
        (("--rule", "otherwise"), ["two-1 two-2", "slow-1", "quick-1"]),
        (("--rule", "otherwise", "--destination", "queue"), []),
        (("--slower", "400us"), ["two-1 two-2", "slow-1"]),
        (("--errors",), ["slow-1"]),
        (("--errors", "--destination", "queue"), []),
        (("--task", "*.resize", "--slower", "1ms"), []),
    ],
)
def test_filters_leave_traces_of_which_one_call_is_wanted(several, arguments, calls):
    """All of them hold; task, destination and rule of one and the same call."""
    assert calls == listed(*arguments)


def test_since_leaves_traces_that_began_then_or_later(several):
    """A moment with its zone; a duration counts back from now."""
    moment = datetime.fromtimestamp(written.BEGAN / 1e9, UTC) + timedelta(microseconds=25)

    assert ["two-1 two-2", "queued-1"] == listed("--since", moment.isoformat())
    assert 4 == len(listed("--since", "2000-01-01T00:00"))
    assert [] == listed("--since", "2200-01-01")


def test_since_a_while_ago_counts_back_from_now(tmp_path):
    """Of the machine's clock."""
    now = (wall() - written.BEGAN) / 1e3
    for name, minutes in (("old", 11), ("young", 9)):
        written.write(tmp_path / "traces" / "t.jsonl", *written.local(name, start=now - minutes * 60e6))

    assert ["young"] == listed("--since", "10m")


def test_refused_calls_are_those_without_a_destination(tmp_path):
    """`refused` stands in its column, and may be asked for."""
    nobody = written.a_span("dispatch shop.resize", written.of("a-1"), error="NotAccepted")
    written.write(tmp_path / "traces" / "t.jsonl", nobody, *written.local("a-2"))

    assert ["a-1"] == listed("--destination", "refused")


def test_where_no_trace_is_wanted_it_is_said(several):
    """On the other stream, with how many there are."""
    asked = ask("list", "--task", "nobody.*")

    assert (0, "", "none of 4 traces is wanted\n") == (asked.exit_code, asked.stdout, asked.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--slower", "10"), "'10' is not a duration: write a number and a unit"),
        (("--slower", "-5ms"), "'-5ms' is not a duration"),
        (("--since", "yesterday"), "'yesterday' is neither a duration, such as 2h, nor a date"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_a_bad_filter_is_a_wrong_argument(arguments, says):
    """Status 2, and a sentence with the cure."""
    asked = ask("list", *arguments)

    assert 2 == asked.exit_code
    assert says in asked.stderr
