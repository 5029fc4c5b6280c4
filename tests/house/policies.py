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
