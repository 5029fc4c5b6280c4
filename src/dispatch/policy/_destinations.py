"""Destinations as a policy describes them, one model for each transport."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from dispatch.policy._mistake import Mistake
from dispatch.policy._quantity import DurationNs, Name, Size, Word, counted
from dispatch.policy._shape import Shape

SECOND = 10**9


class LocalSettings(Shape):
    """A pool of workers in this process."""

    transport: Literal["local"]
    runner: Literal["thread", "process", "asyncio"] = "thread"
    workers: Annotated[int, counted(1, 10_000)] | None = None
    """Unset: as many as suit the machine."""
    capacity: Annotated[int, counted(0, 10_000_000)] = 10_000
    """Calls that may wait; with 0 a call is taken only when a worker is free."""
    max_bytes: Size | None = None
    """Estimated payload of all calls that may wait; a single larger one is passed over."""
    on_full: Literal["block", "next", "reject", "caller_runs"] = "block"
    block_timeout_ns: DurationNs = Field(default=SECOND, alias="block_timeout")
    on_shutdown: Literal["finish", "hand_over", "drop"] = "finish"
    loop: Literal["own", "caller"] = "own"
    max_tasks_per_child: Annotated[int, counted(1, 10**9)] | None = None
    """Calls after which a worker process is replaced."""
    max_memory_per_child: Size | None = None
    """Bytes of resident memory beyond which it is, looked at after each call."""

    @model_validator(mode="after")
    def _suits_its_runner(self) -> LocalSettings:
        if self.runner == "asyncio" and self.on_full == "caller_runs":
            raise Mistake(
                "no-caller-runs",
                "`on_full: caller_runs` needs a thread to run in, and these are coroutines",
                "Write `block`, `next` or `reject`.",
            )
        if self.runner != "asyncio" and "loop" in self.model_fields_set:
            raise Mistake("no-loop", "`loop` says something only with `runner: asyncio`", "Remove it.")
        for key in ("max_tasks_per_child", "max_memory_per_child"):
            if self.runner != "process" and key in self.model_fields_set:
                raise Mistake("no-child", f"`{key}` says something only with `runner: process`", "Remove it.")
        return self


class Breaker(Shape):
    """When to stop asking a broker that fails, and for how long."""

    failures: Annotated[int, counted(1, 1_000_000)] = 5
    open_for_ns: DurationNs = Field(default=5 * SECOND, alias="open_for")
    max_open_ns: DurationNs = Field(default=60 * SECOND, alias="max_open")

    @model_validator(mode="after")
    def _grows(self) -> Breaker:
        if self.max_open_ns < self.open_for_ns:
            raise Mistake("bad-range", "`max_open` is shorter than `open_for`", "Make it at least as long.")
        return self


class CelerySettings(Shape):
    """A queue of Celery's, behind a broker."""

    transport: Literal["celery"]
    queue: Word | None = None
    """Unset: the Celery app's own default queue, which a worker without `-Q` reads."""
    publish_deadline_ns: DurationNs = Field(default=2 * SECOND, alias="publish_deadline")
    durability: Literal["verified", "asserted"] = "verified"
    expires_ns: DurationNs | None = Field(default=None, alias="expires")
    max_payload: Size | None = None
    breaker: Breaker | None = None
    require: Literal["fsync"] | None = None
    lease_ns: DurationNs | None = Field(default=None, alias="lease")
    remember_ns: DurationNs | None = Field(default=None, alias="remember")
    max_deliveries: Annotated[int, counted(1, 100)] | None = None


class SpoolSettings(Shape):
    """Calls on local disk, waiting for their transport."""

    transport: Literal["spool"]
    max_bytes: Size | None = None
    forward_to: Name | None = None
    run: Name | None = None
    durability: Literal["verified", "asserted"] = "verified"

    @model_validator(mode="after")
    def _has_one_way_out(self) -> SpoolSettings:
        if (self.forward_to is None) == (self.run is None):
            raise Mistake(
                "no-way-out",
                "a spool needs either `forward_to` or `run`",
                "Name the destination that takes its calls: `forward_to: queue`, or `run: fast`.",
            )
        return self


DestinationSettings: TypeAlias = LocalSettings | CelerySettings | SpoolSettings

BY_TRANSPORT: dict[str, type[Shape]] = {"local": LocalSettings, "celery": CelerySettings, "spool": SpoolSettings}
