"""A patient: an app on a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import pools

from dispatch._registry import TaskSpec
from dispatch.policy import CelerySettings
from dispatch.transports.celery import Store, build_app
from dispatch.transports.celery.doctor import Subject


@pytest.fixture
def patient() -> Iterator[Callable[..., Subject]]:
    """Makes subjects: `patient(url, specs=…, durable=…, queue=…, conf=…)`. No probe unless it is asked for."""
    made: list[Celery] = []

    def make(
        url: str,
        *,
        app: Celery | None = None,
        specs: tuple[TaskSpec, ...] = (),
        durable: bool = False,
        seconds: float = 5.0,
        probe: bool = False,
        conf: dict[str, Any] | None = None,
        backend: str | None = None,
        **destination: Any,
    ) -> Subject:
        here = app or build_app(url, backend)
        here.conf.update(conf or {})
        made.append(here)
        return Subject(
            app=here,
            store=Store(backend),
            destinations={"queue": CelerySettings.model_validate({"transport": "celery", **destination})},
            specs=specs,
            durable=durable,
            seconds=seconds,
            probe=probe,
        )

    yield make
    for app in made:
        app.close()
    pools.reset()
