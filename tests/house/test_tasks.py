"""The decorator, and what it makes of a function."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys

import pytest

import dispatch
from dispatch._signature import mirror


@dispatch.task
def add(a: int, b: int = 2, *, scale: int = 1) -> int:
    """Add two numbers."""
    return (a + b) * scale


def test_a_plain_call_is_a_plain_call():
    """Calling a task runs the function here and now; no dispatcher is made for it."""
    assert 8 == add(1, b=3, scale=2)


def test_a_task_still_looks_like_its_function():
    """Name, docstring and module are the function's."""
    assert "add" == add.__name__
    assert "Add two numbers." == add.__doc__
    assert add.name.endswith(".add")
    assert f"<Task {add.name}>" == repr(add)


def test_a_delayed_call_returns_what_the_function_returns(dispatcher):
    """The arguments arrive as they were given."""
    dispatcher()

    assert 12 == add.delay(1, b=3, scale=3).result(timeout=5)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing 1 required positional argument: 'a'"),
        ((1, 2, 3), {}, "takes from 1 to 2 positional arguments but 3 were given"),
        ((1,), {"scal": 2}, "unexpected keyword argument 'scal'"),
    ],
)
@pytest.mark.parametrize("way", ["delay", "apply_async"])
def test_arguments_that_do_not_fit_are_a_type_error_at_delay(dispatcher, way, args, kwargs, message):
    """The same words as a plain call, before anything is routed."""
    dispatcher()

    with pytest.raises(TypeError, match=message):
        add.delay(*args, **kwargs) if way == "delay" else add.apply_async(args, kwargs)


def positional(a, /, b, c=1, *rest, d, e=2, **more): ...
def keyword_only(*, a, b=1): ...
def both_ends(a, b=1, /, *, c): ...


@pytest.mark.parametrize("function", [positional, keyword_only, both_ends, lambda: None, lambda *args, **kwargs: None])
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((1,), {}),
        ((1, 2), {"d": 3}),
        ((1, 2, 3, 4), {"d": 3, "x": 4}),
        ((), {"a": 1}),
        ((1,), {"c": 2}),
        ((), {"a": 1, "b": 2, "c": 3}),
    ],
)
def test_the_mirror_of_a_signature_raises_what_the_function_would(function, args, kwargs):
    """Every kind of parameter, with the very same message."""

    def said(called):
        try:
            called(*args, **kwargs)
        except TypeError as error:
            return str(error)
        return None

    assert said(function) == said(mirror(function))


def test_two_tasks_cannot_share_a_name():
    """The second declaration fails where it stands."""
    dispatch.task(name="house.twice")(len)

    with pytest.raises(ValueError, match="two tasks are named 'house\\.twice'"):
        dispatch.task(name="house.twice")(abs)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"durability": "forever"}, ValueError, "durability='forever'"),
        ({"latency_budget": "soon"}, ValueError, "latency_budget: 'soon' is not a duration"),
        ({"kind": "gpu"}, ValueError, "kind='gpu' is not known"),
        ({"only": "spool"}, ValueError, "only='spool'"),
        ({"retry": 3}, TypeError, "retry=3: it takes a dispatch.Retry"),
        ({"timeout": 0}, ValueError, "timeout: 0 is not a duration"),
        ({"expires": "soon"}, ValueError, "expires: 'soon' is not a duration"),
        ({"bind": True}, TypeError, "bind=True is Celery's"),
    ],
)
def test_what_the_decorator_cannot_do_is_said_at_the_declaration(words, error, message):
    """Not at the first call, and not by ignoring it."""
    with pytest.raises(error, match=message):
        dispatch.task(**words)(len)


def test_options_makes_a_variant_once_and_leaves_the_task_alone():
    """The same words give the same variant, so that a call site binds once."""
    variant = add.options(latency_budget="10ms")

    assert variant is add.options(latency_budget="10ms")
    assert 10_000_000 == variant.spec.requirements.latency_budget_ns
    assert add.spec.requirements.latency_budget_ns is None
    assert add is add.options()


def test_apply_async_takes_celerys_words_and_no_others(dispatcher):
    """An option that neither path knows is a `TypeError` naming those that exist."""
    dispatcher()

    with pytest.raises(TypeError, match=r"does not take countdwon\. It takes the requirements"):
        add.apply_async((1,), countdwon=3)


def test_apply_async_gives_the_call_the_id_it_was_told(dispatcher):
    """`task_id` holds on the local path too."""
    dispatcher()

    handle = add.apply_async((1,), task_id="mine")

    assert "mine" == handle.id
    assert 3 == handle.get(timeout=5)


def test_celerys_word_for_publishing_again_changes_nothing(dispatcher):
    """`retry=True` and `retry=False` are about the broker; the destination's `publish_deadline` answers that here."""
    dispatcher()

    assert [3, 3] == [add.apply_async((1,), retry=word).get(timeout=5) for word in (True, False)]


def test_a_program_s_own_tasks_are_named_as_a_worker_imports_them(tmp_path):
    """Not `__main__`, which means something else in every process."""
    program = tmp_path / "shop.py"
    program.write_text("import dispatch\n@dispatch.task\ndef pay(): ...\nprint(pay.name, pay.spec.importable)\n")

    out = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True).stdout
    typed = subprocess.run(
        [sys.executable, "-c", program.read_text()], check=True, capture_output=True, text=True
    ).stdout

    assert "shop.pay True" == out.strip()
    assert "__main__.pay False" == typed.strip()


def injected(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function("db", *args, **kwargs)

    return wrapper


def test_arguments_are_checked_against_what_is_really_called(dispatcher):
    """A decorator below ours may supply arguments that the caller does not."""
    dispatcher()

    @dispatch.task
    @injected
    def with_db(db, number):
        return db, number

    assert ("db", 1) == with_db.delay(1).result(timeout=5) == with_db(1)


def counting():
    yield 1


async def acounting():
    yield 1


class Shop:
    def method(self, number): ...


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (counting, "counting is a generator"),
        (acounting, "acounting is a generator"),
        (Shop.method, r"Shop\.method is a method"),
        (functools.partial(len, ()), "has no name that another process could find"),
        (3, "decorates a function, not 3"),
    ],
)
def test_what_is_no_function_of_its_own_is_refused_at_the_declaration(thing, message):
    """A generator would run where it is iterated, a method lacks its object, a partial has no name."""
    with pytest.raises(TypeError, match=message):
        dispatch.task(thing)


def test_a_task_is_pickled_by_its_name_and_a_handle_not_at_all(dispatcher):
    """As the function that it was; a handle says why not."""
    dispatcher()

    assert add is pickle.loads(pickle.dumps(add))
    with pytest.raises(TypeError, match="belongs to its process"):
        pickle.dumps(add.delay(1))


def test_a_pin_to_this_process_and_a_word_of_celerys_quarrel_aloud(dispatcher):
    """Neither silently wins."""
    dispatcher()

    with pytest.raises(TypeError, match="is pinned to this process, and priority is Celery's"):
        add.options(only="local").apply_async((1,), priority=1)
    with pytest.raises(TypeError, match="is pinned to this process, and queue is Celery's"):
        add.apply_async((1,), only="local", queue="q")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"task_id": 5}, "task_id=5 is no id"),
        ({"task_id": ""}, "no id"),
        ({"headers": 5}, "headers=5"),
        ({"retry": 5}, "retry=5: it takes a dispatch.Retry"),
        ({"countdown": 1, "eta": 2}, "countdown= and eta= both say"),
        ({"countdown": "soon"}, "countdown='soon': it takes seconds"),
        ({"eta": float("nan")}, "eta=nan: it takes seconds"),
        ({"expires": [1]}, r"expires=\[1\]: it takes seconds"),
    ],
)
def test_options_of_the_wrong_kind_are_refused_by_name(dispatcher, words, message):
    """At the call, not in a reader thread later."""
    dispatcher()

    with pytest.raises(TypeError, match=message):
        add.apply_async((1,), **words)
