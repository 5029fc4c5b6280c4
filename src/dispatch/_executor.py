"""The one place where user code is called, for every transport, so that they cannot drift apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dispatch._outcome import Failure, Outcome, Success


def execute(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outcome:
    """Call `function` and say what it did; never raises.

    Even `SystemExit` and `KeyboardInterrupt` are the task's own doing and end in its outcome: a worker that
    died of them would take calls with it that have nothing to do with the one that raised.
    """
    try:
        return Success(function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - see above
        # The first frame is this one: the user's story starts below it.
        return Failure(error, error.__traceback__.tb_next if error.__traceback__ else None)
