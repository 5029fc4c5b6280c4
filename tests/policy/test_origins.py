"""The whole policy of several files, laid out, and where each value was said."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.errors import PolicyError
from dispatch.policy import READY, load, parse
from dispatch.policy._origins import UNSAID, laid_out
from dispatch.spool import Spool
from dispatch.transports.celery.ledger import Terms
from policy.test_guide import EXAMPLES
from policy.test_properties import CALM, policies

BASE = """\
version: 1
destinations:
  fast: {transport: local, workers: 2}
  queue:
    transport: celery
    breaker: {failures: 3, open_for: 1500ms}
  disk: {transport: spool, forward_to: queue}
defaults: {durability: ephemeral, latency_budget: 1h}
tasks:
  "shop.*": {latency_budget: 5s}
  "odd: {#'é": {durability: durable}
rules:
  - route_to: queue
    match: {any: [{tags: [a, "b c"]}, {not: {payload: "> 1MiB"}}]}
    name: first
    fallback: [fast]
otherwise: {route_to: fast, fallback: [queue, disk]}
"""
OVER = """\
version: 1
destinations:
  fast: {workers: 9, on_full: next}
  queue: {breaker: {failures: 1}, max_payload: 1MiB}
defaults: {durability: durable}
tasks:
  "shop.*": {durability: durable}
  "shop.quick": {latency_budget: 1ms}
"""


IN_NUMBERS = {"lease_ns": 30 * 10**9, "remember_ns": 86400 * 10**9, "max_deliveries": 5, "max_bytes": 1 << 30}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "over.yaml").write_text(OVER)
    return ["base.yaml", "over.yaml"]


def text_of(sources):
    return "\n".join(line.text for line in laid_out(sources))


def meaning(policy):
    """All that it says, with the transports' own words where it says nothing."""
    file = policy._file.model_dump()
    for destination in file["destinations"].values():
        for name, value in IN_NUMBERS.items():
            if name in destination and destination["transport"] != "local":
                destination[name] = destination[name] or value
    return file


def test_each_value_has_the_place_where_it_was_said_or_none(files):
    """The later file's, where it says something; nowhere, where it is a default."""
    said = {
        line.path: (line.value, line.spot and (line.spot.file, line.spot.line)) for line in laid_out(files) if line.path
    }

    assert ("9", ("over.yaml", 3)) == said["destinations", "fast", "workers"]
    assert ("local", ("base.yaml", 3)) == said["destinations", "fast", "transport"]
    assert ("10000", None) == said["destinations", "fast", "capacity"]
    assert ("1", ("over.yaml", 4)) == said["destinations", "queue", "breaker", "failures"]
    assert ("1500ms", ("base.yaml", 6)) == said["destinations", "queue", "breaker", "open_for"]
    assert ("1m", None) == said["destinations", "queue", "breaker", "max_open"]
    assert ("30s", None) == said["destinations", "queue", "lease"]
    assert ("durable", ("over.yaml", 5)) == said["defaults", "durability"]
    assert ("1h", ("base.yaml", 8)) == said["defaults", "latency_budget"]
    assert ("durable", ("over.yaml", 7)) == said["tasks", "shop.*", "durability"]
    assert ("5s", ("base.yaml", 10)) == said["tasks", "shop.*", "latency_budget"]
    assert ("[fast]", ("base.yaml", 16)) == said["rules", 0, "fallback"]
    assert ("rank", None) == said["otherwise", "on_infeasible"]


def test_what_has_no_effect_is_not_laid_out(files):
    """`loop` is for coroutines; written out, it would be a mistake."""
    assert "loop" not in text_of(files)


def test_patterns_come_in_the_order_in_which_they_are_asked(files):
    """Those that an overlay adds are the first."""
    patterns = dict.fromkeys(line.path[1] for line in laid_out(files) if line.path[:1] == ("tasks",))

    assert ["shop.quick", "shop.*", "odd: {#'é"] == list(patterns) == list(load(files).tasks)


@pytest.mark.parametrize("name", [*READY, "base.yaml", "base.yaml over.yaml", "guide.yaml"])
def test_what_is_laid_out_is_a_policy_that_means_the_same(files, tmp_path, name):
    """Whoever keeps it as a file keeps every decision."""
    (tmp_path / "guide.yaml").write_text(EXAMPLES[0])
    sources = name.split()

    assert meaning(load(sources)) == meaning(parse(text_of(sources)))


@CALM
@given(policies, st.sampled_from(["", "tasks: {'r.*': {latency_budget: 1s}}", "defaults: {durability: durable}"]))
def test_so_it_is_for_any_policy(tmp_path_factory, policy, over):
    """By search."""
    folder = tmp_path_factory.getbasetemp()
    sources = [str(folder / "any.yaml"), str(folder / "over.yaml")]
    (folder / "any.yaml").write_text(json.dumps(policy))
    (folder / "over.yaml").write_text(f"version: 1\n{over}\n")
    with suppress(PolicyError):
        assert meaning(load(sources)) == meaning(parse(text_of(sources)))


def test_a_file_that_is_gone_meanwhile_is_a_policy_error(files, tmp_path):
    """It is read once more."""
    (tmp_path / "over.yaml").unlink()
    with pytest.raises(PolicyError, match=r"over\.yaml:1:1: not-found"):
        laid_out(files)


def test_the_defaults_of_the_transports_are_those_of_the_transports():
    """The policy does not know them; its picture does."""
    terms = Terms()
    most = inspect.signature(Spool).parameters["max_bytes"].default

    assert {"lease": "30s", "remember": "1d", "max_deliveries": "5"} == UNSAID["celery"]
    assert (30_000, 86_400_000, 5) == (terms.lease_ms, terms.remember_ms, terms.max_deliveries)
    assert ({"max_bytes": "1GiB"}, 1 << 30) == (UNSAID["spool"], most)
