"""What is wrong with a spool: its disk, its room, and how long its calls have waited."""

from __future__ import annotations

from collections.abc import Iterator

from dispatch._finding import Fact, Seen, error, note, warning
from dispatch._units import show_duration, show_size
from dispatch.policy import SpoolSettings
from dispatch.settings import Settings
from dispatch.spool import Spool

_OLD_NS = 5 * 60 * 10**9
"""A spool is emptied within seconds of its broker's return; what is older waits for something else."""

_FULL = 0.8


def examine_spool(name: str, said: SpoolSettings, settings: Settings) -> Iterator[Seen]:
    """What is seen of the file, and of the disk it is on. May raise what the disk raises."""
    about = f"spool {name}"
    if settings.application is None:
        yield warning(
            "no-application",
            about,
            "DISPATCH_APPLICATION is not set: the spool has no file, and takes nothing",
            "Give the application a name, the same in all its processes.",
            "DISPATCH_APPLICATION=shop",
        )
        return
    limit = {} if said.max_bytes is None else {"max_bytes": said.max_bytes}
    spool = Spool(settings.application, folder=settings.spool_dir, **limit)
    try:
        yield from _ground(about, said, spool)
        if spool.path.exists():
            yield from _contents(about, spool)
        else:
            yield Fact(about, f"nothing was ever kept in {spool.path}")
    finally:
        spool.close()


def _ground(about: str, said: SpoolSettings, spool: Spool) -> Iterator[Seen]:
    ground = spool.ground
    if ground.keeps:
        yield Fact(about, f"{spool.folder} is on {ground.kind}, which keeps what was synced")
    elif said.durability == "asserted":
        yield note("spool-asserted", about, ground.why, "Nothing to mend, if you know that it keeps what it is given.")
    else:
        yield error(
            "spool-not-durable",
            about,
            f"it takes no calls: {ground.why}",
            "Set DISPATCH_SPOOL_DIR to a folder on a disk, or a volume.",
            "DISPATCH_SPOOL_DIR=/var/lib/shop/spool",
        )


def _contents(about: str, spool: Spool) -> Iterator[Seen]:
    now = spool.statistics()
    if now.set_aside:
        yield warning(
            "spool-set-aside",
            about,
            f"{len(now.set_aside)} files could not be used and were set aside: {', '.join(map(str, now.set_aside))}",
            "Look whether calls are in them: sqlite3 FILE .recover. Then move them elsewhere.",
        )
    if now.bytes > _FULL * now.max_bytes:
        yield warning(
            "spool-nearly-full",
            about,
            f"it holds {show_size(now.bytes)} of {show_size(now.max_bytes)}",
            "Bring its broker back, or give it more: max_bytes in the policy.",
        )
    if now.waiting + now.unknown and (now.oldest_ns or 0) > _OLD_NS:
        yield warning(
            "spool-old",
            about,
            f"{now.waiting + now.unknown} calls wait, the oldest since {show_duration(now.oldest_ns or 0)}"
            + ("" if now.last_error is None else f"; last error: {now.last_error}"),
            "A process of the application has to run, for its forwarder empties the spool; or do it now.",
            "dispatch spool forward",
        )
    else:
        yield Fact(about, f"{now.waiting + now.unknown} calls wait")
