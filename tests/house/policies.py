"""Policies that several of these tests put in force."""

from __future__ import annotations

ON_CALLERS_LOOP = """
version: 1
destinations:
  fast: {transport: local, runner: asyncio, loop: caller}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
"""

ONE_POOL = """
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 100}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: fast}
"""

RUN_FROM_DISK = """
version: 1
destinations:
  fast: {transport: local, workers: 2}
  disk: {transport: spool, durability: asserted, run: fast}
defaults: {durability: durable}
otherwise: {route_to: disk}
"""
