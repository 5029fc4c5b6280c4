"""Results are read as JSON alone: a pickle in the backend is not unpickled, whatever the app accepts."""

from __future__ import annotations

import pickle

import pytest
import redis
from celery import Celery

from dispatch._handle import Handle
from dispatch.errors import CallFailed
from dispatch.transports.celery import AppSource, Results, Store

CALL = "7d1f0000-1"


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def app(leaving, redis_url):
    app = leaving(Celery("shop", broker=redis_url, backend=redis_url, set_as_current=False))
    app.conf.update(result_serializer="pickle", accept_content=["json", "pickle"])
    return app


def test_a_pickled_result_is_refused_and_not_unpickled(app, redis_url, new_call, tmp_path):
    hole = tmp_path / "hole"
    client = redis.Redis.from_url(redis_url)
    key = app.backend.get_key_for_task(CALL)
    client.set(key, pickle.dumps({"status": "SUCCESS", "result": Bomb(str(hole)), "task_id": CALL}))
    client.close()
    store = Store()
    results = Results(AppSource(app, store=store), store)
    try:
        handle = Handle(new_call(results, CALL))
        with pytest.raises(CallFailed, match="JSON alone"):
            handle.result(timeout=20)
    finally:
        results.close()

    assert not hole.exists()
