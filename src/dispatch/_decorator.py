"""The decorator: what a task is declared with, checked where it stands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from dispatch import _default
from dispatch._registry import TaskSpec, registry
from dispatch._requirements import Durability, Duration, Kind, Only, Requirements
from dispatch._retry import Retry
from dispatch._signature import importable_name, mirror, refuse_odd_shapes
from dispatch._task import Task
from dispatch._units import as_duration_ns

P = ParamSpec("P")
R = TypeVar("R")


class _Declare(Protocol):
    """What `task` gives when it is called with words first. The function's own type says which task it becomes."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R, Coroutine[Any, Any, R]]: ...
@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    durability: Durability | None = None,
    latency_budget: Duration | None = None,
    kind: Kind | None = None,
    tags: Iterable[str] = (),
    only: Only | None = None,
    expires: Duration | None = None,
    result: bool = True,
    idempotent: bool = False,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    bind: bool = False,
) -> _Declare: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    durability: Durability | None = None,
    latency_budget: Duration | None = None,
    kind: Kind | None = None,
    tags: Iterable[str] = (),
    only: Only | None = None,
    expires: Duration | None = None,
    result: bool = True,
    idempotent: bool = False,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    bind: bool = False,
) -> Task[..., Any] | _Declare:
    """Declare a task: `@dispatch.task`, or `@dispatch.task(durability="durable", latency_budget="2s")`.

    `durability`      `"ephemeral"` may be lost, `"durable"` runs at least once; unset: the policy says.
    `latency_budget`  the longest acceptable time to the task's first line; it ranks the candidates.
    `kind`            `"io"`, `"cpu"`, or `"async"`, the default of coroutine functions; rules match it.
    `tags`            words that rules match.
    `only`            `"local"` or `"celery"`: keep the candidates of that transport.
    `expires`         a call that has waited longer does not run.
    `timeout`         the longest that one attempt may run; then it fails with `CallTimeout`.
    `retry`           a `dispatch.Retry`: which errors are worth another attempt, how many, and how far apart.
    `result=False`    nobody will ask for the result on Celery, so that none is stored.
    `idempotent`      running twice does no harm: after an unknown outcome the next candidate is taken.

    Raises `ValueError` or `TypeError` naming the parameter, here and not at the first call.
    """
    if bind:
        raise TypeError(
            "bind=True is Celery's: a dispatch task has no `self`. Drop it, and the first parameter with it"
        )
    if retry is not None and not isinstance(retry, Retry):
        raise TypeError(f"retry={retry!r}: it takes a dispatch.Retry, such as dispatch.Retry(attempts=5)")
    requirements = Requirements.of(durability=durability, latency_budget=latency_budget, only=only)
    if kind not in (None, "io", "cpu", "async"):
        raise ValueError(f"kind={kind!r} is not known: it takes 'io', 'cpu' or 'async'")
    expires_ns, timeout_ns = _limit("expires", expires), _limit("timeout", timeout)

    def declare(function: Callable[..., Any]) -> Task[..., Any]:
        if not callable(function):
            raise TypeError(f"@dispatch.task decorates a function, not {function!r}")
        refuse_odd_shapes(function)
        coroutine = inspect.iscoroutinefunction(function)
        found, importable = importable_name(function)
        spec = TaskSpec(
            name=name or found,
            function=function,
            signature=mirror(function),
            requirements=requirements,
            kind=kind or ("async" if coroutine else "io"),
            tags=frozenset([tags] if isinstance(tags, str) else tags),
            result=result,
            idempotent=idempotent,
            expires_ns=expires_ns,
            timeout_ns=timeout_ns,
            retry=retry,
            coroutine=coroutine,
            importable=importable,
        )
        registry.declare(spec)
        _default.expect_worker()
        return Task(spec)

    return cast("_Declare", declare) if function is None else declare(function)


def _limit(name: str, duration: Duration | None) -> int | None:
    """Nanoseconds. Raises `ValueError` naming the parameter."""
    try:
        return None if duration is None else as_duration_ns(duration)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
