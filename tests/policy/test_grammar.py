"""What the keys of a policy mean, once they are read."""

from __future__ import annotations

import pytest

from dispatch.policy import CelerySettings, LocalSettings, parse

WHOLE = """
version: 1
destinations:
  fast:
    transport: local
    runner: thread
    workers: 8
    capacity: 0
    on_full: block
    block_timeout: 1m30s
    on_shutdown: drop
  queue:
    transport: celery
    queue: images
    publish_deadline: 250ms
    durability: asserted
    expires: 1h
    max_payload: 1MiB
  plain: {transport: local, reached_by: pins}
  bare: {transport: celery}
defaults: {durability: durable, latency_budget: 10s}
tasks:
  "billing.*": {durability: durable, latency_budget: 5s}
rules:
  - name: everything
    match:
      task: ["billing.*", "shop.charge"]
      tags: slow
      kind: io
      durability: ephemeral
      latency_budget: 1s..1m
      payload: ">= 10KiB"
      all: [{kind: io}]
      any: [{kind: io}, {kind: cpu}]
      not: {kind: async}
    route_to: queue
    fallback: [bare]
    on_infeasible: reject
otherwise: {route_to: bare, fallback: [fast]}
"""


def test_every_key_is_typed_by_its_meaning():
    """Sizes are bytes, durations nanoseconds, counts numbers, and the rest words."""
    policy = parse(WHOLE)
    fast, queue = policy.destinations["fast"], policy.destinations["queue"]

    assert isinstance(fast, LocalSettings)
    assert (8, 0, "block", 90 * 10**9, "drop") == (
        fast.workers,
        fast.capacity,
        fast.on_full,
        fast.block_timeout_ns,
        fast.on_shutdown,
    )
    assert isinstance(queue, CelerySettings)
    assert ("images", 250 * 10**6, "asserted", 3600 * 10**9, 1 << 20) == (
        queue.queue,
        queue.publish_deadline_ns,
        queue.durability,
        queue.expires_ns,
        queue.max_payload,
    )
    assert ("durable", 10**10) == (policy.defaults.durability, policy.defaults.latency_budget_ns)
    assert 5 * 10**9 == policy.tasks["billing.*"].latency_budget_ns
    assert ("queue", "bare") == policy.rules[0].targets
    assert ("bare", "fast") == policy.otherwise.targets


def test_what_is_left_out_has_a_value_that_suits():
    """Threads, ten thousand calls that wait, a second for room; two seconds for the broker, which is asked."""
    plain, bare = parse(WHOLE).destinations["plain"], parse(WHOLE).destinations["bare"]

    assert LocalSettings(transport="local", reached_by="pins") == plain
    assert ("thread", None, 10_000, "block", 10**9, "finish") == (
        plain.runner,
        plain.workers,
        plain.capacity,
        plain.on_full,
        plain.block_timeout_ns,
        plain.on_shutdown,
    )
    assert (None, 2 * 10**9, "verified", None, None) == (
        bare.queue,
        bare.publish_deadline_ns,
        bare.durability,
        bare.expires_ns,
        bare.max_payload,
    )


def test_a_policy_read_is_a_policy_for_good():
    """Settings are frozen: nobody changes a policy in force by accident."""
    with pytest.raises(ValueError, match="frozen"):
        parse(WHOLE).destinations["fast"].capacity = 5
