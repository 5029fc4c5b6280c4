"""A call as it would be on the far side of a broker: its arguments and its result make the JSON round trip."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from dispatch._call import Call
from dispatch._registry import TaskSpec
from dispatch.errors import PassedOver
from dispatch.transports import Uncarried

_MARK = "_dispatch_testing_far_side"


def carry(call: Call, destination: str) -> PassedOver | None:
    """Give `call` the arguments and the result that it would have on Celery; say why that cannot be."""
    from dispatch.transports.celery import _round_trip  # noqa: PLC0415 - Celery is imported where a call meets it

    try:
        call.args, call.kwargs = _round_trip.arguments_after(call)
    except Uncarried as error:
        return error.passed(destination)
    if _wants_result(call) and not hasattr(call.spec.function, _MARK):
        call.spec = msgspec.structs.replace(call.spec, function=_returning(call.spec, _round_trip.result_after))
    return None


def refuses(spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any], destination: str) -> PassedOver | None:
    """Why these arguments would not arrive."""
    from dispatch.transports.celery.publishing import encode  # noqa: PLC0415

    try:
        encode(args, kwargs, spec.function)
    except Uncarried as error:
        return error.passed(destination)
    return None


def not_found(spec: TaskSpec, destination: str) -> PassedOver | None:
    """Why no worker would find the task."""
    if spec.importable:
        return None
    cure = "define it at the top of a module that a worker can import"
    return PassedOver(destination, "cannot_carry", f"no worker finds {spec.name}: {cure}")


def _wants_result(call: Call) -> bool:
    ignored = call.options.ignore_result if call.options is not None else None
    return call.spec.result if ignored is None else not ignored


def _returning(spec: TaskSpec, after: Callable[[str, Any], Any]) -> Callable[..., Any]:
    function = spec.function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return after(spec.name, await function(*args, **kwargs))

        made: Callable[..., Any] = awaited
    else:

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return after(spec.name, function(*args, **kwargs))

        made = called
    setattr(made, _MARK, True)
    return made
