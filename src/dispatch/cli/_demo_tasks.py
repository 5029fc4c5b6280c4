"""Three small tasks of a shop, each with another need."""

from __future__ import annotations

import hashlib

import dispatch


@dispatch.task(name="shop.thumbnail")
def thumbnail(image: bytes, width: int) -> bytes:
    """Somebody is waiting for the page, and will simply ask again when it is lost."""
    return image[:: max(1, len(image) // width)]


@dispatch.task(name="shop.charge", durability="durable")
def charge(order: int) -> str:
    """Money: it must happen, whatever dies meanwhile. Returns the receipt."""
    return hashlib.sha256(b"order %d" % order).hexdigest()[:12]


@dispatch.task(name="shop.recommend", latency_budget="5s")
def recommend(customer: int) -> list[int]:
    """Nice to have in a few seconds' time."""
    return [customer * step % 97 for step in (3, 5, 7)]
