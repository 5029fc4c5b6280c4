"""The same empty task twice: plain Celery's, and ours."""

from __future__ import annotations

import dispatch

app = dispatch.celery_app()


@app.task(name="benchmarks.plain", shared=False)
def plain(a: int, b: int) -> int:
    return a + b


@app.task(name="benchmarks.plain_unread", shared=False, ignore_result=True, queue="idle")
def plain_unread(a: int, b: int) -> int:
    return a + b


@dispatch.task(name="benchmarks.routed")
def routed(a: int, b: int) -> int:
    return a + b


@dispatch.task(name="benchmarks.routed_unread", result=False)
def routed_unread(a: int, b: int) -> int:
    return a + b
