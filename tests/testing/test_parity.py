"""parity(): local calls treat their arguments as Celery would."""

from __future__ import annotations

import pytest

import dispatch
from dispatch import NotAccepted, NotSerializable, ResultNotSerializable
from dispatch.testing import capture, inline, parity
from testing import shop


def test_tuples_arrive_as_lists_and_nothing_is_shared(dispatcher):
    """The call runs in the pool, on a copy of what was passed."""
    passed = {"sizes": (1, 2)}
    with parity(), capture() as sent:
        handle = shop.echo.delay(passed)
        got = handle.result(5)

    assert got == {"sizes": [1, 2]}
    assert handle.decision.destination == "fast"
    assert sent[0].arguments == {"value": {"sizes": (1, 2)}}
    assert shop.echo.delay(passed).result(5) is passed


def test_what_would_fail_on_celery_fails_here(dispatcher):
    """With the name of the argument; nothing runs, and nothing is recorded."""
    with parity(), capture() as sent:
        with pytest.raises(NotSerializable, match="argument 'value' is of type object"):
            shop.echo.delay(object())
        with pytest.raises(NotSerializable, match="holds a value of type set"):
            shop.echo.delay({"in": [set()]})
        assert dispatch.explain(shop.echo, object()).decision is None

    assert list(sent) == []


def test_a_result_that_celery_could_not_keep_fails_here(dispatcher):
    """Unless nobody wants it."""
    with parity():
        assert isinstance(shop.opaque.delay().exception(5), ResultNotSerializable)
        assert shop.opaque.apply_async(ignore_result=True).result(5) is shop.opaque


def test_a_task_that_no_worker_would_find_is_passed_over(dispatcher):
    """One defined inside a function, say."""

    @dispatch.task(name="shop.hidden")
    def hidden() -> None:
        pass

    with parity(), pytest.raises(NotAccepted, match=r"no worker finds shop\.hidden: define it at the top of a module"):
        hidden.delay()
    hidden.delay().result(5)


def test_a_task_that_stays_here_is_left_alone(dispatcher):
    """`only="local"` says that it never meets a broker."""
    thing = object()
    with parity():
        assert shop.keep.delay(thing).result(5) is thing


def test_inline_and_parity_go_together(dispatcher):
    """Everything travels, and everything runs at once."""
    with inline(), parity():
        assert shop.echo.delay((1,)).result() == [1]
        assert shop.charge.delay((1,)).result() == [1]
        with pytest.raises(NotSerializable):
            shop.echo.delay(object())
