"""Whether what the broker accepts is kept: the same question that a publisher asks, and the same answer."""

from __future__ import annotations

from collections.abc import Iterator

from amqp.exceptions import NotFound

from dispatch._finding import Fact, Seen, error, note, warning
from dispatch.policy import CelerySettings
from dispatch.transports.celery._wishes import need_of
from dispatch.transports.celery.doctor._reach import Reach
from dispatch.transports.celery.doctor._subject import Subject
from dispatch.transports.celery.publishing import Proof, load


def keeping(subject: Subject, reached: Reach) -> Iterator[Seen]:
    """For each queue that the policy names."""
    there = {queue: _exists(reached, subject, queue) for queue in subject.queues}
    line = load(subject.app, lambda: subject.seconds)()
    try:
        for queue, names in subject.queues.items():
            about = f"queue {queue}"
            if not there[queue]:
                yield note(
                    "no-queue",
                    about,
                    "it does not exist yet",
                    "Nothing to mend: the first worker, or the first call, makes it. Is the name as you meant it?",
                )
                continue
            proof = line.prove(queue)
            for name in names:
                yield from _of(subject, name, subject.destinations[name], about, proof)
    finally:
        line.drop()


def _exists(reached: Reach, subject: Subject, queue: str) -> bool:
    """Looked at without making it. On Redis a queue is there when something is in it, so always."""
    if subject.system != "rabbitmq":
        return True
    channel = reached.connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except NotFound:
        return False  # and the channel is gone with it
    channel.close()
    return True


def _of(subject: Subject, name: str, said: CelerySettings, about: str, proof: Proof) -> Iterator[Seen]:
    if said.durability == "asserted":
        if proof.kept:
            yield note(
                "needlessly-asserted",
                about,
                f"{name} says `durability: asserted`, and the broker was asked: it keeps what it accepts",
                "Write `verified`, or remove the line: then you hear of it when that changes.",
            )
        else:
            yield warning(
                "asserted-in-vain",
                about,
                f"{name} says `durability: asserted`, and the broker says otherwise: {proof.why}",
                f"To mend it: {proof.cure}.",
            )
        return
    missing = proof.missing(need_of(said))
    if missing is None:
        yield Fact(about, f"keeps durable calls ({name})")
        return
    why, _, cure = missing.partition(". To mend it: ")
    make = error if subject.durable else warning
    code = "not-synced" if proof.kept else "not-durable"
    hint = _HINTS.get((subject.system, code))
    yield make(code, about, f"{name} takes no durable calls: {why}", f"To mend it: {cure}.", *([hint] if hint else ()))


_HINTS = {
    ("redis", "not-synced"): "redis-cli CONFIG SET appendfsync always",
    ("redis", "not-durable"): "redis-cli CONFIG SET appendonly yes   # and `appendonly yes` in redis.conf",
    ("rabbitmq", "not-durable"): "app.conf.update(dispatch.celery_settings())   # and a new task_default_queue",
}
