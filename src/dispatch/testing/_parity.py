"""Local calls that treat their arguments as Celery would."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from dispatch.testing._scene import Scene
from dispatch.testing._theatre import playing


class Parity(Scene):
    """Makes every call travel."""

    strict = True


@contextmanager
def parity() -> Generator[None]:
    """Inside the `with`, arguments and results make the round trip through Celery's JSON, wherever a call runs.

    Tuples arrive as lists and nothing is shared with the caller. Arguments that JSON cannot carry raise
    `NotSerializable`, with the name of the argument; a result that it cannot carry is a `ResultNotSerializable`; a task
    that a worker would not find is passed over. Tasks with `only="local"` never travel and are left alone. For every
    dispatcher, in every thread; goes together with `inline()` and `capture()`.
    """
    with playing(Parity()):
        yield
