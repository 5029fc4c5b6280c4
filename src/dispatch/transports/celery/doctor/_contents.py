"""What has piled up on a Redis: calls that nobody fetches, and results that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import redis

from dispatch._finding import Fact, Seen, error, warning
from dispatch.transports.celery._redis import connect
from dispatch.transports.celery.doctor._reach import Reach
from dispatch.transports.celery.doctor._subject import Subject

_LONG = 1000
"""Messages in one queue that are worth a word: about a second of work for one worker process."""

_MANY_RESULTS = 10_000
_RESULTS = "celery-task-meta-*"


def queues(subject: Subject, reached: Reach) -> Iterator[Seen]:
    for queue in subject.queues:
        length = _length(subject, reached, queue)
        if length is not None and length >= _LONG:
            yield warning(
                "queue-long",
                f"queue {queue}",
                f"{length} messages wait in it",
                "Start more workers, or find out what holds those that read it.",
            )
        elif length is not None:
            yield Fact(f"queue {queue}", f"{length} messages wait")


def ledger(subject: Subject) -> Iterator[Seen]:
    """The durable calls that it keeps; those that are overdue are nobody's."""
    book = connect(subject.app)
    try:
        size = book.size()
    finally:
        book.close()
    if size.overdue:
        yield warning(
            "overdue",
            "ledger",
            f"{size.overdue} of {size.kept} durable calls should have been published again by now, and nobody does it",
            "A worker, or a process that sends calls, has to run: each of them looks after these.",
        )
    else:
        yield Fact("ledger", f"{size.kept} durable calls under way")


def results(subject: Subject) -> Iterator[Seen]:
    """Counted as far as it takes to say that they are many."""
    where = subject.store.of(subject.app)
    client = getattr(where, "client", None)
    if client is None or not hasattr(client, "scan_iter"):
        return
    try:
        found = sum(1 for _ in islice(client.scan_iter(match=_RESULTS, count=1000), _MANY_RESULTS))
    except redis.RedisError as raised:
        yield error(
            "results-unreachable",
            "results",
            f"the store of results does not answer: {raised}",
            "Start it, or mend its address: DISPATCH_RESULT_BACKEND, or the app's result_backend. Calls run meanwhile, "
            "and whoever waits for a result waits in vain.",
        )
        return
    if found >= _MANY_RESULTS:
        expires = where.expires
        yield warning(
            "unread-results",
            "results",
            f"{found} results or more are kept, {'for ever' if not expires else f'each for {expires:.0f} s'}",
            "Say result=False on tasks whose results nobody reads, or set a shorter result_expires.",
            "@dispatch.task(result=False)",
        )
    else:
        yield Fact("results", f"the store answers, and keeps {found}")


def _length(subject: Subject, reached: Reach, queue: str) -> int | None:
    if subject.system == "redis":
        return int(reached.redis.llen(f"{reached.prefix}{queue}"))
    channel = reached.connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except Exception:  # noqa: BLE001 - it is not there, which others say
        return None
    finally:
        if channel.connection is not None:
            channel.close()
