"""A call's own retry in a message: written by the caller, and read by a worker that trusts nobody."""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from dispatch import Retry
from dispatch.transports.celery._retry_header import RETRY_HEADER, pack, retry_of

TOLD = {"attempts": 4, "on": ["builtins.OSError"], "backoff_ns": 10, "max_backoff_ns": 20, "jitter": False}


@pytest.fixture
def spec(spec):
    """A task with a retry of its own."""
    return structs.replace(spec, retry=Retry(attempts=9))


def read(text, spec, error):
    return retry_of({RETRY_HEADER: text}, spec, error)


def test_what_was_written_is_read(spec):
    """Every word of it; of the exceptions, those that the error is one of."""
    retry = Retry(attempts=7, on=(KeyError, OSError), backoff="250ms", max_backoff="1m", jitter=False)
    found = read(pack(retry), spec, ConnectionResetError())

    assert (7, 0.25, 60, False) == (found.attempts, found.backoff, found.max_backoff, found.jitter)
    assert (OSError,) == found.kinds


def test_an_error_that_it_does_not_name_is_final(spec):
    """The task's own retry is not asked then: the call's holds instead of it."""
    assert read(pack(Retry(on=KeyError)), spec, ValueError()) is None


def test_names_are_compared_and_nothing_is_imported(spec):
    """A class of the same name in another module is another one, and a module that nobody has is no trouble."""
    told = json.dumps(TOLD | {"on": ["elsewhere.OSError", "no.such.module.Error"]})

    assert read(told, spec, OSError()) is None


def test_an_exception_of_the_callers_program_is_named_as_a_worker_imports_it(spec, monkeypatch):
    """`__main__` there is `shop` here."""
    monkeypatch.setattr("dispatch.transports.celery._retry_header.main_name", lambda: "shop")
    here, there = type("Declined", (Exception,), {}), type("Declined", (Exception,), {})
    here.__module__, there.__module__ = "__main__", "shop"

    assert (there,) == read(pack(Retry(on=here)), spec, there()).kinds


@pytest.mark.parametrize(
    "text",
    [
        7, b"{}", ["attempts"], "", "{", "null", "[]", "{}", "é" * 70_000,
        *(json.dumps(TOLD | wrong) for wrong in (
            {"attempts": 0}, {"attempts": True}, {"attempts": "4"}, {"on": "builtins.OSError"}, {"on": [1]},
            {"backoff_ns": -1}, {"backoff_ns": 10**400}, {"max_backoff_ns": 1.5}, {"jitter": None}, {"more": 1},
        )),
    ],
    ids=lambda text: str(text)[:60],
)  # fmt: skip
def test_what_is_no_such_header_leaves_the_tasks_own_word(spec, text, caplog):
    """And a line in the log, that says why."""
    assert read(text, spec, OSError()) is spec.retry
    assert "dispatch-retry is not understood" in caplog.text


def test_without_a_header_the_task_has_the_word(spec):
    """As declared where the worker runs."""
    assert retry_of({}, spec, OSError()) is spec.retry
