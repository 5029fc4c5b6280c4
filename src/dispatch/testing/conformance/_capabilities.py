"""What a transport promises beyond what all of them do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Read by the conformance suite: each word says which of two behaviours is the right one."""

    survives_restart: bool = False
    """It takes durable calls. One that does not refuses them with `NotAccepted`."""
    leaves_process: bool = False
    """Tasks run in another process."""
    by_reference: bool = False
    """A task gets the very objects that the caller passed. Otherwise they make the round trip through JSON, and what
    JSON cannot carry is refused with `NotSerializable`."""
    by_pickle: bool = False
    """They are pickled instead, and so are results: a copy of what pickle can carry arrives as it was."""
    by_plain_json: bool = False
    """Through JSON, and what Celery adds to it (dates, decimals, UUIDs) is refused with `NotSerializable` too."""
    returns_reference: bool = False
    """A result is the very object that the task returned, however arguments travel."""
    on_disk: bool = False
    """It takes durable calls alone, and the dispatcher's policy makes every call durable; one that waits is
    `spooled`."""
    carries_context: bool = False
    """A task sees the caller's context variables."""
    runs_apart: bool = False
    """The caller goes on while the task runs, and calls wait their turn."""
    can_cancel: bool | None = False
    """A call that waits can be kept from running. `None`: until somebody has taken it, which may be any moment."""
    can_delay: bool = False
    """It takes `countdown`. One that does not refuses it with `NotAccepted` or `NotConfigured`."""
    can_stop: bool = False
    """A function that runs longer than its `timeout` is ended. Otherwise its call alone ends, and it goes on.
    (Coroutines are ended everywhere.)"""
