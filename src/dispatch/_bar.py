"""A bar that counts the calls that have ended, on stderr, where a person looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def bar(label: str, total: int, count: Callable[[], int], *, show: bool | None = None) -> Iterator[None]:
    """Show `count()` of `total` while the block lasts. `show=None`: when stderr is a terminal."""
    console = Console(stderr=True)
    if not (console.is_terminal if show is None else show):
        yield
        return
    with _Bar(label, total, count, console):
        yield


class _Bar(Progress):
    """Asks for the count when it draws itself, some times a second, so that no call pays for being counted."""

    def __init__(self, label: str, total: int, count: Callable[[], int], console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._count = count
        self._row = self.add_task(label, total=total)

    def get_renderables(self) -> Iterable[RenderableType]:
        for row in self.task_ids:
            self.update(row, completed=self._count())
        yield from super().get_renderables()
