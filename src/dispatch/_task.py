"""The decorator. A task is the function it was, plus the ways to send a call of it somewhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, ParamSpec, Protocol, cast, overload

from typing_extensions import TypeVar

from dispatch import _default
from dispatch._apply import call_options
from dispatch._clock import ticks
from dispatch._dispatcher import Dispatcher
from dispatch._handle import Handle
from dispatch._registry import TaskSpec, registry
from dispatch._requirements import Durability, Duration, Kind, Only, Requirements
from dispatch._signature import importable_name, mirror
from dispatch._units import as_duration_ns
from dispatch.policy import Explanation

P = ParamSpec("P")
R = TypeVar("R")
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
        return self._dispatcher().send(spec, args, kwargs, entered)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """`delay` that never blocks the event loop, whether it waits for room or for a broker."""
        entered = ticks()
        spec = self.spec
        spec.signature(*args, **kwargs)
        return await self._dispatcher().asend(spec, args, kwargs, entered)

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

        `expires` (seconds or a date), `task_id`, `headers` and `ignore_result` hold wherever the call runs.
        `countdown`, `eta`, `queue`, `exchange`, `routing_key`, `priority`, `serializer`, `compression`, `link`,
        `link_error`, `chain`, `chord` and `group_id` are Celery's and send the call there.
        Any other option is a `TypeError`.
        """
        entered = ticks()
        told = call_options(self.name, options)
        task = self.options(
            durability=durability,
            latency_budget=latency_budget,
            only="celery" if told is not None and told.celery else only,
            route_to=route_to,
        )
        positional, named = tuple(args or ()), dict(kwargs or {})
        self.spec.signature(*positional, **named)
        return self._dispatcher().send(task.spec, positional, named, entered, told)

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

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


def _with_requirements(spec: TaskSpec, requirements: Requirements) -> TaskSpec:
    return TaskSpec(
        name=spec.name, function=spec.function, signature=spec.signature, requirements=requirements, kind=spec.kind,
        tags=spec.tags, result=spec.result, idempotent=spec.idempotent, expires_ns=spec.expires_ns,
        coroutine=spec.coroutine, importable=spec.importable,
    )  # fmt: skip


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
    retry: object = None,
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
    retry: object = None,
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
    `result=False`    nobody will ask for the result on Celery, so that none is stored.
    `idempotent`      running twice does no harm: after an unknown outcome the next candidate is taken.

    Raises `ValueError` or `TypeError` naming the parameter, here and not at the first call.
    """
    _refuse_what_is_not_built(retry=retry, timeout=timeout, bind=bind)
    requirements = Requirements.of(durability=durability, latency_budget=latency_budget, only=only)
    if kind not in (None, "io", "cpu", "async"):
        raise ValueError(f"kind={kind!r} is not known: it takes 'io', 'cpu' or 'async'")

    def declare(function: Callable[..., Any]) -> Task[..., Any]:
        if not callable(function):
            raise TypeError(f"@dispatch.task decorates a function, not {function!r}")
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
            expires_ns=None if expires is None else as_duration_ns(expires),
            coroutine=coroutine,
            importable=importable,
        )
        registry.declare(spec)
        _default.expect_worker()
        return Task(spec)

    return cast("_Declare", declare) if function is None else declare(function)


def explain(task: Task[P, Any], *args: P.args, **kwargs: P.kwargs) -> Explanation:
    """The decision that this call would get now, and why, without sending it.

    Raises `TypeError` when the arguments do not fit the signature.
    """
    return task.explain(*args, **kwargs)


def _refuse_what_is_not_built(*, retry: object, timeout: object, bind: bool) -> None:
    if retry is not None:
        raise NotImplementedError("retry= comes with the next version of dispatch; until then, retry inside the task")
    if timeout is not None:
        raise NotImplementedError("timeout= comes with the next version of dispatch; until then, bound the work itself")
    if bind:
        raise TypeError(
            "bind=True is Celery's: a dispatch task has no `self`. Drop it, and the first parameter with it"
        )
