"""Destinations as a policy describes them, one model for each transport."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from dispatch.policy._mistake import Mistake
from dispatch.policy._quantity import DurationNs, Name, Size, Word, counted
from dispatch.policy._shape import Shape

SECOND = 10**9


ReachedBy: TypeAlias = Literal["rules", "pins"]


def _says(**words: str) -> JsonDict:
    """To editors: a destination that says all of this."""
    return {"properties": {key: {"const": word} for key, word in words.items()}, "required": list(words)}


def _only_with(key: str, **words: str) -> JsonDict:
    """To editors: `key` has an effect only beside these."""
    return {"if": {"required": [key]}, "then": _says(**words)}


class LocalSettings(Shape):
    """A pool of workers in this process."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                _only_with("loop", runner="asyncio"),
                _only_with("max_tasks_per_child", runner="process"),
                _only_with("max_memory_per_child", runner="process"),
                {"not": _says(runner="asyncio", on_full="caller_runs")},
            ]
        }
    )

    transport: Literal["local"]
    """Threads, processes or coroutines of this process."""
    runner: Literal["thread", "process", "asyncio"] = "thread"
    """How its workers run: `process` for work that needs a core, `asyncio` for coroutine tasks alone."""
    workers: Annotated[int, counted(1, 10_000)] | None = None
    """Calls that run at once. Unset: as many as suit the machine."""
    capacity: Annotated[int, counted(0, 10_000_000)] = 10_000
    """Calls that may wait; with 0 a call is taken only when a worker is free."""
    max_bytes: Size | None = None
    """Estimated payload of all calls that may wait; a single larger one is passed over."""
    on_full: Literal["block", "next", "reject", "caller_runs"] = "block"
    """Without room: wait for some, go to the next candidate, refuse the call, or run it where it was sent."""
    block_timeout_ns: DurationNs = Field(default=SECOND, alias="block_timeout")
    """How long `block` waits."""
    on_shutdown: Literal["finish", "hand_over", "drop"] = "finish"
    """What becomes of calls that wait when the program ends."""
    loop: Literal["own", "caller"] = "own"
    """Where coroutines run: on a thread of the destination's, or on the loop that `delay` is called on."""
    max_tasks_per_child: Annotated[int, counted(1, 10**9)] | None = None
    """Calls after which a worker process is replaced."""
    max_memory_per_child: Size | None = None
    """Bytes of resident memory beyond which it is, looked at after each call."""
    reached_by: ReachedBy = "rules"
    """`pins`: no rule has to name it, since calls do so themselves with `route_to=`."""

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
    """Refusals in a row after which it is left alone."""
    open_for_ns: DurationNs = Field(default=5 * SECOND, alias="open_for")
    """How long it is left alone at first."""
    max_open_ns: DurationNs = Field(default=60 * SECOND, alias="max_open")
    """How long at most, as the pauses grow."""

    @model_validator(mode="after")
    def _grows(self) -> Breaker:
        if self.max_open_ns < self.open_for_ns:
            raise Mistake("bad-range", "`max_open` is shorter than `open_for`", "Make it at least as long.")
        return self


class CelerySettings(Shape):
    """A queue of Celery's, behind a broker."""

    transport: Literal["celery"]
    """A queue on the broker, read by Celery's own workers."""
    queue: Word | None = None
    """Celery's name for the queue. Unset: the Celery app's own default queue, which a worker without `-Q` reads."""
    publish_deadline_ns: DurationNs = Field(default=2 * SECOND, alias="publish_deadline")
    """How long a caller waits for the broker's answer, once the publisher is warm."""
    durability: Literal["verified", "asserted"] = "verified"
    """Whether the broker is asked if it keeps durable calls, or you say that it does."""
    expires_ns: DurationNs | None = Field(default=None, alias="expires")
    """A call that waited longer does not run. Unset: it may wait for ever."""
    max_payload: Size | None = None
    """A larger payload is passed over. Unset: any is carried."""
    compress_over: Size | None = None
    """Larger encoded arguments travel compressed, where that makes them smaller. Unset: none do."""
    claim_check_over: Size | None = None
    """What is still larger is kept in DISPATCH_PAYLOAD_STORE, and the message says where. Unset: all of it travels."""
    claim_expires_ns: DurationNs | None = Field(default=None, alias="claim_expires")
    """How long at most it is kept there. Unset: 30d."""
    breaker: Breaker | None = None
    """Unset: `{failures: 5, open_for: 5s, max_open: 1m}`, or what another destination says."""
    require: Literal["fsync"] | None = None
    """`fsync`: durable calls only where what is accepted survives the loss of power. Unset: the death of processes."""
    lease_ns: DurationNs | None = Field(default=None, alias="lease")
    """On Redis: how long a durable call's worker may be silent before another may run it. Unset: 30s."""
    remember_ns: DurationNs | None = Field(default=None, alias="remember")
    """On Redis: how long a durable call that has ended is known. Unset: 1d."""
    max_deliveries: Annotated[int, counted(1, 100)] | None = None
    """Deliveries of one attempt after which a durable call is a dead letter. Unset: 5."""
    reached_by: ReachedBy = "rules"
    """`pins`: no rule has to name it, since calls do so themselves with `route_to=`."""

    @model_validator(mode="after")
    def _has_something_to_keep(self) -> CelerySettings:
        if self.claim_expires_ns is not None and self.claim_check_over is None:
            raise Mistake("no-claim", "`claim_expires` says something only with `claim_check_over`", "Remove it.")
        return self


class SpoolSettings(Shape):
    """Calls on local disk, waiting for their transport."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["forward_to"]}, {"required": ["run"]}]})

    transport: Literal["spool"]
    """This machine's disk, for durable calls."""
    max_bytes: Size | None = None
    """What the calls in it may take. Unset: 1GiB."""
    forward_to: Name | None = None
    """The Celery destination that its calls go to."""
    run: Name | None = None
    """The local destination that runs them, at least once."""
    durability: Literal["verified", "asserted"] = "verified"
    """Whether the file system is looked at, or you say that it keeps what was synced."""
    reached_by: ReachedBy = "rules"
    """`pins`: no rule has to name it, since calls do so themselves with `route_to=`."""

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
