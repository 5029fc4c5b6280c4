"""Stock Celery: what its first page tells to write, and no setting changed."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.compare import shop

app = Celery("plain", broker=os.environ["COMPARE_BROKER"], backend=os.environ["COMPARE_RESULTS"])

nothing = app.task(name="compare.nothing", shared=False, ignore_result=True)(shop.nothing)
stamp = app.task(name="compare.stamp", shared=False, ignore_result=True)(shop.stamp)
collect = app.task(name="compare.collect", shared=False)(shop.collect)
