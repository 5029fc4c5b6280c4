"""Whether many calls are counted before somebody's eyes while they are waited for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from dispatch._endings import Endings
from dispatch._handle import Handle


class Progress(msgspec.Struct, frozen=True):
    """What was asked for: `label` is by default the task's name; without `show`, only a terminal gets a bar."""

    label: str | None
    show: bool | None


def shown(
    progress: Progress | None, handles: Sequence[Handle[Any]], endings: Endings[Any]
) -> AbstractContextManager[None]:
    """A bar that counts `endings` while the block lasts, if one was asked for."""
    if progress is None:
        return nullcontext()
    from dispatch._bar import bar  # noqa: PLC0415 - who shows no bar need not pay for rich

    return bar(progress.label or name_of(handles), endings.total, lambda: endings.ended, show=progress.show)


def name_of(handles: Iterable[Handle[Any]]) -> str:
    """The task that all of them are calls of, or how many tasks there are."""
    names = {handle.task for handle in handles}
    return names.pop() if len(names) == 1 else f"{len(names)} tasks"
