"""What a destination's settings ask of its broker, in the words of those who are asked."""

from __future__ import annotations

from dispatch.policy import CelerySettings
from dispatch.transports.celery.ledger import Terms
from dispatch.transports.celery.publishing import Limits, Need


def need_of(settings: CelerySettings) -> Need:
    """What a durable call asks of its broker here."""
    if settings.durability == "asserted":
        return "nothing"
    return "kept" if settings.require is None else "synced"


def limits_of(settings: CelerySettings) -> Limits | None:
    said = settings.breaker
    if said is None:
        return None
    return Limits(failures=said.failures, open_for=said.open_for_ns / 1e9, max_open=said.max_open_ns / 1e9)


def terms_of(settings: CelerySettings) -> Terms:
    said = {
        "lease_ms": None if settings.lease_ns is None else max(1, settings.lease_ns // 10**6),
        "remember_ms": None if settings.remember_ns is None else max(1, settings.remember_ns // 10**6),
        "max_deliveries": settings.max_deliveries,
    }
    return Terms(**{name: value for name, value in said.items() if value is not None})
