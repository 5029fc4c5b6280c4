"""The same tasks under `@dispatch.task`; which path they take, `COMPARE_POLICY` says."""

from __future__ import annotations

import os

import dispatch
from benchmarks.compare import shop

DURABILITY = "durable" if os.environ.get("COMPARE_DURABLE") else "ephemeral"

nothing = dispatch.task(name="compare.nothing", result=False, durability=DURABILITY)(shop.nothing)
hold = dispatch.task(name="compare.hold", result=False, durability="ephemeral")(shop.hold)
stamp = dispatch.task(name="compare.stamp", result=False, durability=DURABILITY)(shop.stamp)
collect = dispatch.task(name="compare.collect", durability="ephemeral")(shop.collect)

if "DISPATCH_BROKER_URL" in os.environ:
    app = dispatch.celery_app()
