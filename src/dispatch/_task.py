"""A task: the function it was, plus the ways to send a call of it somewhere."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import Any, Concatenate, Generic, ParamSpec, cast, overload

from typing_extensions import TypeVar

from dispatch import _default
from dispatch._apply import call_options
from dispatch._clock import ticks
from dispatch._dispatcher import Dispatcher
from dispatch._group import Group
from dispatch._handle import Handle
from dispatch._map import asend_each, send_each
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability, Duration, Only, Requirements
from dispatch._steps import block, leave_free
from dispatch.policy import Explanation

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
A = TypeVar("A")
Q = ParamSpec("Q")
C = TypeVar("C", default=R)
"""What a plain call gives: `R` itself, or of a coroutine function the coroutine that gives it."""

_VARIANTS_KEPT = 64
"""Variants made by `options` are remembered, so that a call site that repeats itself binds only once."""


class Task(Generic[P, R, C]):
    """A function that can also be sent: called plainly it runs here and now, with `delay` it is routed."""

    def __init__(self, spec: TaskSpec, through: Callable[[], Dispatcher] = _default.current) -> None:
        self.spec = spec
        self._dispatcher = through
        self._variants: dict[Requirements, Task[P, R, C]] = {}
        functools.update_wrapper(self, spec.function)

    @property
    def name(self) -> str:
        """The registered, dotted name, the same in every process."""
        return self.spec.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Run the function here and now, as if it were not a task: a coroutine function gives its coroutine."""
        result: C = self.spec.function(*args, **kwargs)
        return result

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Send one call to where the policy says.

        Raises `TypeError` when the arguments do not fit the signature, and `NotAccepted`, `NotConfigured`,
        `NotSerializable` or `OutcomeUnknown` when no destination took it for sure.
        """
        entered = ticks()
        spec = self.spec
        spec.signature(*args, **kwargs)
        started = self._dispatcher().start(spec, args, kwargs, entered)
        return started if isinstance(started, Handle) else block(started)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """`delay` that never blocks the event loop, whether it waits for room or for a broker."""
        entered = ticks()
        spec = self.spec
        spec.signature(*args, **kwargs)
        dispatcher = await _default.acurrent() if self._dispatcher is _default.current else self._dispatcher()
        started = dispatcher.start(spec, args, kwargs, entered, awaiting=True)
        return started if isinstance(started, Handle) else await leave_free(started)

    @overload
    def map(  # type: ignore[misc] # a task of coroutines is such a callable, and mypy cannot know which is one
        self: Callable[Concatenate[A, Q], Coroutine[Any, Any, S]],
        items: Iterable[A],
        /,
        *common: Q.args,
        **common_kwargs: Q.kwargs,
    ) -> Group[S]: ...
    @overload
    def map(
        self: Callable[Concatenate[A, Q], S], items: Iterable[A], /, *common: Q.args, **common_kwargs: Q.kwargs
    ) -> Group[S]: ...
    def map(self: Any, items: Iterable[Any], /, *common: Any, **common_kwargs: Any) -> Group[Any]:
        """`delay` for each item, with `common` behind it: `thumbnail.map(images, width=64).results()`.

        Items are drawn one at a time, so back pressure reaches whoever makes them. Raises what `delay` raises when
        nothing was sent yet, else `PartlySent`, whose `sent` is the group of what was.
        """
        # `self` as a callable, above: through `Task[Concatenate[A, Q], S]` mypy would leave the items unchecked.
        task = cast("Task[..., Any]", self)
        return send_each(task._dispatcher().start, task.spec, items, common, common_kwargs)  # noqa: SLF001

    @overload
    async def amap(  # type: ignore[misc] # see `map`
        self: Callable[Concatenate[A, Q], Coroutine[Any, Any, S]],
        items: Iterable[A] | AsyncIterable[A],
        /,
        *common: Q.args,
        **common_kwargs: Q.kwargs,
    ) -> Group[S]: ...
    @overload
    async def amap(
        self: Callable[Concatenate[A, Q], S],
        items: Iterable[A] | AsyncIterable[A],
        /,
        *common: Q.args,
        **common_kwargs: Q.kwargs,
    ) -> Group[S]: ...
    async def amap(
        self: Any, items: Iterable[Any] | AsyncIterable[Any], /, *common: Any, **common_kwargs: Any
    ) -> Group[Any]:
        """`map` that never blocks the event loop, however many items there are; draws from `async` iterables too."""
        task = cast("Task[..., Any]", self)
        start = functools.partial(task._dispatcher().start, awaiting=True)  # noqa: SLF001
        return await asend_each(start, task.spec, items, common, common_kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        *,
        durability: Durability | None = None,
        latency_budget: Duration | None = None,
        only: Only | None = None,
        route_to: str | None = None,
        **options: Any,
    ) -> Handle[R]:
        """Celery's own call, on both paths: `apply_async((42,), task_id=…, expires=60)`.

        `countdown`, `eta` and `expires` (seconds or a date), `task_id`, `headers`, `ignore_result` and `retry` (a
        `dispatch.Retry`) hold wherever the call runs. `queue`, `exchange`, `routing_key`, `priority`, `serializer`,
        `compression`, `link`, `link_error`, `chain`, `chord` and `group_id` are Celery's and send the call there.
        Any other option is a `TypeError`.
        """
        entered = ticks()
        told = call_options(self.name, options)
        if told is not None and told.celery and "local" in (only, self.spec.requirements.only):
            raise TypeError(
                f"{self.name} is pinned to this process, and {', '.join(told.celery)} is Celery's: drop one"
            )
        task = self.options(
            durability=durability,
            latency_budget=latency_budget,
            only="celery" if told is not None and told.celery else only,
            route_to=route_to,
        )
        positional, named = tuple(args or ()), dict(kwargs or {})
        self.spec.signature(*positional, **named)
        started = self._dispatcher().start(task.spec, positional, named, entered, told)
        return started if isinstance(started, Handle) else block(started)

    def options(
        self,
        *,
        durability: Durability | None = None,
        latency_budget: Duration | None = None,
        only: Only | None = None,
        route_to: str | None = None,
    ) -> Task[P, R, C]:
        """The same task with other requirements: `thumbnail.options(latency_budget="10ms").delay(image, 64)`.

        A durability that was asked for earlier is never lowered. Raises `ValueError` naming the parameter.
        """
        wanted = Requirements.of(durability=durability, latency_budget=latency_budget, only=only, route_to=route_to)
        known = self._variants.get(wanted)
        if known is None:
            together = self.spec.requirements.strengthened(wanted)
            if together == self.spec.requirements:
                return self
            known = Task(_with_requirements(self.spec, together), self._dispatcher)
            if len(self._variants) < _VARIANTS_KEPT:
                self._variants[wanted] = known
        return known

    def using(self, dispatcher: Dispatcher) -> Task[P, R, C]:
        """The same task, sent through `dispatcher` instead of the default one."""
        return Task(self.spec, lambda: dispatcher)

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """The decision that this call would get now, and why, without sending it.

        Raises `TypeError` when the arguments do not fit the signature.
        """
        self.spec.signature(*args, **kwargs)
        return self._dispatcher().explain(self.spec, args, kwargs)

    def s(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's signature of this task, for canvas: what is built from it is Celery's own, and runs there."""
        return self._dispatcher().celery.task(self.name).s(*args, **kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Any:
        """`s` that takes no result of an earlier step."""
        return self._dispatcher().celery.task(self.name).si(*args, **kwargs)

    def __reduce__(self) -> str:
        return self.spec.function.__qualname__  # pickled by name, like the function that it was

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


def _with_requirements(spec: TaskSpec, requirements: Requirements) -> TaskSpec:
    return TaskSpec(
        name=spec.name, function=spec.function, signature=spec.signature, requirements=requirements, kind=spec.kind,
        tags=spec.tags, result=spec.result, idempotent=spec.idempotent, expires_ns=spec.expires_ns,
        timeout_ns=spec.timeout_ns, retry=spec.retry, coroutine=spec.coroutine, importable=spec.importable,
    )  # fmt: skip


def explain(task: Task[P, Any], *args: P.args, **kwargs: P.kwargs) -> Explanation:
    """The decision that this call would get now, and why, without sending it.

    Raises `TypeError` when the arguments do not fit the signature.
    """
    return task.explain(*args, **kwargs)
