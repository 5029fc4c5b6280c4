"""What was dispatched: every call that a destination took, where it went, and why."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dispatch._call import Call, CallOptions
from dispatch._decision import Decision
from dispatch._handle import Handle
from dispatch._outcome import Failure
from dispatch._task import Task
from dispatch.errors import CallCancelled
from dispatch.testing._scene import Scene
from dispatch.testing._theatre import playing


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """One call, as it was made."""

    task: str
    """The registered name."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arguments: dict[str, Any]
    """All of them under their parameters' names, so that `f.delay(1)` and `f.delay(x=1)` look alike."""
    options: CallOptions | None
    """What `apply_async` was told beyond the requirements."""
    handle: Handle[Any]
    """Another handle of the same call."""

    @property
    def decision(self) -> Decision:
        """Where the call went, by which rule, and why others were passed over."""
        return self.handle.decision

    def __repr__(self) -> str:
        return f"<Captured {self.task} | {self.decision.destination} | {', '.join(self.arguments)}>"


class Capture(Scene):
    """The calls, oldest first. Safe from any thread; `len`, index and iterate it, during the capture and after."""

    def __init__(self, *, run: bool) -> None:
        self.takes = not run
        self._changed = threading.Condition()
        self._calls: dict[Call, Captured] = {}
        self._held: list[Call] = []

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """Task and arguments of each: `assert sent.calls == [("shop.greet", {"name": "Ada"})]`."""
        return [(each.task, each.arguments) for each in self]

    def of(self, task: Task[..., Any]) -> list[Captured]:
        """Those of one task, whatever its variant."""
        return [each for each in self if each.task == task.name]

    def wait(self, count: int = 1, timeout: float = 5.0) -> list[Captured]:
        """Wait until there are `count` calls; returns all there are. Raises `TimeoutError` after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._calls) >= count, timeout):
                raise TimeoutError(f"{len(self._calls)} calls were dispatched within {timeout} s, not {count}")
            return list(self._calls.values())

    def __iter__(self) -> Iterator[Captured]:
        with self._changed:
            return iter(list(self._calls.values()))

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, index: int) -> Captured:
        return list(self)[index]

    def __repr__(self) -> str:
        return f"<Capture {len(self)} calls: {', '.join(each.task for each in self)}>"

    # ---- the scene

    def offered(self, call: Call) -> None:
        captured = Captured(call.spec.name, call.args, call.kwargs, _by_name(call), call.options, Handle(call))
        with self._changed:
            self._calls[call] = captured
            self._changed.notify_all()

    def declined(self, call: Call) -> None:
        with self._changed:
            self._calls.pop(call, None)

    def take(self, call: Call) -> None:
        call.source = _NOBODY
        with self._changed:
            self._held.append(call)

    def left(self) -> None:
        """Nobody will ever run what was held: whoever still has a handle must not wait for ever."""
        for call in self._held:
            _NOBODY.watch(call)


@contextmanager
def capture(*, run: bool = True) -> Generator[Capture]:
    """Record what is dispatched inside the `with`, by every dispatcher and from every thread.

    A call that nobody took, because it was refused or its outcome is unknown, is not recorded. The calls are still
    routed and run. With `run=False` they are routed and do not run: the policy decides as if there were a broker,
    and the handle is `waiting` until somebody waits for it or the capture ends. Then it says what is true, with
    `CallCancelled`: the call did not run and never will. `cancel()` is true.

    Captures nest, each sees the calls. Of `capture(run=False)` and `inline()`, the one opened last has the calls.
    """
    with playing(Capture(run=run)) as sent:
        yield sent


class _Nobody:
    """Where the outcome of a call comes from that was captured instead of run."""

    def watch(self, call: Call) -> None:
        did_not_run = f"call {call.id} of {call.spec.name} was captured with run=False: it did not run"
        call.settle(Failure(CallCancelled(did_not_run)))

    def unwatch(self, _call: Call) -> None:
        pass

    def peek(self, _call: Call) -> None:
        pass

    def revoke(self, _call: Call) -> bool:
        return True


_NOBODY = _Nobody()


def _by_name(call: Call) -> dict[str, Any]:
    try:
        bound = inspect.signature(call.spec.function).bind(*call.args, **call.kwargs)
    except (TypeError, ValueError):  # a builtin that does not tell its signature
        return dict(call.kwargs)
    return dict(bound.arguments)
