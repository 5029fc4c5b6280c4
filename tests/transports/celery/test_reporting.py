"""What a worker stores beside a result: how long the call had waited, and how long it ran."""

from __future__ import annotations

import json

import pytest
from celery import Celery, states
from celery.app.task import Context
from celery.backends.base import DisabledBackend

from dispatch.testing import clock
from dispatch.transports.celery._report import REPORT, Report, report_of
from dispatch.transports.celery.worker import reporting
from dispatch.transports.celery.worker._reporting import begin


@pytest.fixture
def app(tmp_path):
    (tmp_path / "results").mkdir()
    with Celery("shop", broker="memory://", backend=f"file://{tmp_path}/results", set_as_current=False) as app:
        yield app


def a_request(sent_ns=None, **said):
    headers = {} if sent_ns is None else {"dispatch-sent-ns": str(sent_ns)}
    return Context(**{"retries": 0, "headers": headers, **said})


def kept(app, call_id="1"):
    return app.backend.get_task_meta(call_id, cache=False)


def test_a_result_is_stored_with_what_its_call_had_to_wait(app):
    """By the worker's clock, from when the message was written to the first line; and from there to the result."""
    with clock() as held:
        request = a_request(held.wall())
        held.advance("40ms")
        begin(request)
        held.advance("3s")
        reporting(app.backend).mark_as_done("1", 42, request)

    assert Report(40_000_000, 3_000_000_000) == report_of(kept(app))
    assert (states.SUCCESS, 42) == (kept(app)["status"], kept(app)["result"])


def test_so_is_a_failure(app):
    """It has waited as others have."""
    request = a_request(1)
    begin(request)
    reporting(app.backend).mark_as_failure("1", ValueError("no"), "…", request)

    assert states.FAILURE == kept(app)["status"]
    assert report_of(kept(app)) is not None


@pytest.mark.parametrize("request_", [a_request(), a_request(1, retries=1), a_request(1, headers=None)])
def test_what_says_nothing_of_its_start_is_stored_as_celery_does(app, request_):
    """A message that is not ours; and a further attempt, which had a pause before it."""
    begin(request_)
    reporting(app.backend).mark_as_done("1", 42, request_)

    assert REPORT not in kept(app)


def test_the_app_s_own_backend_is_left_alone_and_shares_all_its_state(app):
    """Its other tasks store results as before."""
    own = app.backend
    ours = reporting(own)
    request = a_request(1)
    begin(request)
    own.mark_as_done("1", 42, request)

    assert REPORT not in kept(app)
    assert ours is reporting(own)
    assert ours is not own
    assert isinstance(ours, type(own))
    assert vars(ours) is vars(own)


def test_celery_reads_such_a_result_as_any_other(app):
    """What it does not know, it does not look at."""
    request = a_request(1)
    begin(request)
    reporting(app.backend).mark_as_done("1", 42, request)

    assert 42 == app.AsyncResult("1").get(timeout=5)
    assert json.loads(json.dumps(kept(app)))["status"] == "SUCCESS"


def test_a_backend_that_keeps_no_text_is_left_as_it_is():
    """A database has columns, and none for this."""
    with Celery("shop", set_as_current=False) as app:
        assert isinstance(app.backend, DisabledBackend)
        assert reporting(app.backend) is app.backend
