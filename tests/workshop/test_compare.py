"""`make compare`: what its smallest run leaves, and that the documentation says what a run has said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from benchmarks.compare.page import html, pictures, rewritten
from benchmarks.compare.plots import PICTURES, seconds, size
from benchmarks.compare.run import Plan, take
from benchmarks.compare.scarcity import _in_process
from benchmarks.compare.tables import tables
from dispatch.policy import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]  # as a whole, since they share one run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "comparison.md"
RECORD = ROOT / "docs" / "comparison" / "comparison.json"

TINY = Plan(
    calls=50,
    rounds=1,
    seconds=0.05,
    waiting=50,
    bytes_sent=1,
    rates=(10, 1_000_000),
    sizes=(100, 1_000),
    only=("go", "executor", "celery-redis"),
    parts=("calls", "memory"),
    rabbitmq=False,
)


@pytest.fixture(scope="module")
def record():
    """A run of some contestants, too short to say anything."""
    heard = []
    made = msgspec.json.decode(msgspec.json.encode(take(TINY, heard.append)))
    assert ["Go channel", "ThreadPoolExecutor", "Celery on Redis"] == heard
    return made


def test_every_contestant_is_asked_everything(record):
    """A figure for each, and none that cannot be."""
    for one in record["contestants"].values():
        assert 0 < one["throughput"]["submit"] <= one["throughput"]["each"]
        assert [10, 1_000_000] == [load["rate"] for load in one["latency"]]
        assert all(load["saturated"] or 0 < load["p50"] <= load["p99"] for load in one["latency"])
        assert 2 == len([each for each in one["payload"] if each["each"] > 0])
        assert {"rest", "waiting", "drained"} == one["memory"]["phases"].keys()


def test_who_works_for_a_call_is_told_apart(record):
    """Behind a broker three processes do, and each has its own memory."""
    far = record["contestants"]["celery-redis"]

    assert {"caller_cpu", "worker_cpu", "broker_cpu"} <= far["throughput"].keys()
    assert {"caller", "broker"} == far["memory"]["phases"]["waiting"].keys()
    assert {"caller", "broker", "worker"} == far["memory"]["phases"]["drained"].keys()


def test_the_page_needs_nothing_else(record):
    """One file: no address is fetched, no picture lies beside it."""
    page = html(record)

    assert [] == re.findall(r'(?:src|href)="(?!#)', page)
    assert 4 == page.count("<svg")
    assert str(ROOT) not in page


def test_there_is_a_picture_for_what_was_measured(record, tmp_path):
    made = pictures(record, tmp_path)

    assert {"throughput", "latency", "payload", "memory"} == {path.stem for path in made}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_running_out_of_memory_is_seen_from_outside():
    """An unbounded queue takes everything with it; a bounded one answers."""
    unbounded = _in_process("asyncio", "asyncio.Queue", "")
    bounded = _in_process("channel", "dispatch.Channel", "")

    assert ("is killed", unbounded.accepted) == (unbounded.caller, unbounded.lost)
    assert ("raises TimeoutError", 128, 0) == (bounded.caller, bounded.accepted, bounded.lost)


def test_the_documentation_says_what_the_run_has_said():
    """Its tables are those of the record beside it, and every picture is there."""
    record = json.loads(RECORD.read_text())

    assert rewritten(PAGE.read_text(), record) == PAGE.read_text()
    assert all(f"comparison/{name}.png" in PAGE.read_text() for name in PICTURES)
    assert all((RECORD.parent / f"{name}.png").is_file() for name in PICTURES)
    assert {table.key for table in tables(record)} <= set(re.findall(r"<!-- ([a-z-]+) -->", PAGE.read_text()))


def test_the_policy_that_makes_the_choice_is_one():
    """It loads, and has every kind of place."""
    policy = load(ROOT / "examples" / "policies" / "comparison.yaml")

    assert ["local", "celery", "spool"] == [each.transport for each in policy.destinations.values()]


@pytest.mark.parametrize(
    ("value", "shown"), [(2e-9, "2 ns"), (1.5e-6, "1.5 µs"), (0.00123, "1.23 ms"), (1.0, "1 s"), (9.996e-4, "1 ms")]
)
def test_times_are_shown_as_a_person_reads_them(value, shown):
    assert shown == seconds(value)


def test_sizes_are_shown_as_a_person_reads_them():
    assert ["512 B", "1.5 kB", "10 MB", "2 GB"] == [size(each) for each in (512, 1_500, 10_000_000, 2_000_000_000)]
