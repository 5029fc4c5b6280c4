"""The workers that are alive, and what they tell of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dispatch._clock import wall
from dispatch._finding import Fact, Finding, Seen, error, note, warning
from dispatch._release import release
from dispatch._units import show_duration
from dispatch.transports.celery.doctor._configuration import pickled
from dispatch.transports.celery.doctor._reach import Reach
from dispatch.transports.celery.doctor._subject import Subject
from dispatch.transports.celery.worker._telling import COMMAND, digest

_LISTEN = 1.0
"""Seconds to wait for one more to answer; a worker on the same machine takes some milliseconds."""

_SKEW_NS = 1_000_000_000


class Worker(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One that answered. `told` is empty where it does not know dispatch."""

    name: str
    queues: frozenset[str]
    told: Mapping[str, Any]
    skew_ns: int
    """By how much its clock differs from ours at the least."""

    @property
    def about(self) -> str:
        return f"worker {self.name}"


def crew(subject: Subject, reached: Reach) -> list[Worker]:
    """Ask all of them, twice: what every worker of Celery's knows, and what ours know."""
    queues = dict(_ask(subject, reached, "active_queues"))
    sent = wall()
    heard = {name: (told, wall()) for name, told in _ask(subject, reached, COMMAND)}
    found = []
    for name in sorted(queues | heard.keys()):
        told, at = heard.get(name, ({}, sent))
        if not isinstance(told, Mapping) or "error" in told:
            told = {}
        known = frozenset(each["name"] for each in queues.get(name, ())) or frozenset(told.get("queues", ()))
        found.append(Worker(name=name, queues=known, told=told, skew_ns=_skew(told.get("wall"), sent, at)))
    return found


def workers(subject: Subject, found: list[Worker]) -> Iterator[Seen]:
    """What is wrong with those that are there, and where there are none."""
    for queue in subject.queues:
        here = [worker for worker in found if queue in worker.queues]
        if here:
            yield Fact(f"queue {queue}", f"read by {', '.join(worker.name for worker in here)}")
        else:
            yield _nobody(queue, found)
        for worker in here:
            if worker.told:
                yield from _knowledge(subject, worker)
            else:
                yield _stranger(subject, worker)
    for worker in found:
        if worker.told:
            yield from _versions(worker)
            yield from _clock(worker)
            yield from _prefork(worker)
            yield from _refused(worker)
            yield from pickled(worker.about, worker.told.get("conf", {}))


def _nobody(queue: str, found: list[Worker]) -> Finding:
    others = sorted({each for worker in found for each in worker.queues})
    read = f"; {len(found)} workers read {', '.join(others)}" if found else ", and no worker has answered at all"
    return error(
        "no-worker",
        f"queue {queue}",
        f"nobody reads it{read}",
        "Start a worker on it.",
        f"celery -A MODULE worker -Q {queue}",
    )


def _stranger(subject: Subject, worker: Worker) -> Finding:
    make = error if subject.specs else warning
    return make(
        "no-dispatch",
        worker.about,
        "it does not know dispatch: it throws away the calls of tasks that it has never heard of",
        "Have it import the modules that declare the tasks; a plain `celery -A … worker` of the same app does.",
        'app.conf.imports = ["shop.tasks"]',
    )


def _knowledge(subject: Subject, worker: Worker) -> Iterator[Finding]:
    known: Mapping[str, str] = worker.told.get("tasks", {})
    missing = sorted(spec.name for spec in subject.specs if spec.importable and spec.name not in known)
    if missing:
        yield error(
            "unknown-task",
            worker.about,
            f"it does not know {', '.join(missing)}: it throws their calls away",
            "Deploy the same code there, and have it import their modules; or give them a queue of their own.",
        )
    other = sorted(spec.name for spec in subject.specs if known.get(spec.name, "") not in ("", digest(spec)))
    if other:
        yield warning(
            "other-code",
            worker.about,
            f"it has other parameters, or another timeout, expiry or retry, for {', '.join(other)}",
            "Deploy the same code on both sides, and restart the worker.",
        )


def _versions(worker: Worker) -> Iterator[Seen]:
    versions: Mapping[str, str] = worker.told.get("versions", {})
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    if versions.get("dispatch") != release():
        yield warning(
            "other-version",
            worker.about,
            f"it runs dispatch {versions.get('dispatch')}, and this is {release()}",
            "Run one version on both sides; workers first when you upgrade.",
        )
    else:
        yield Fact(worker.about, f"{worker.told.get('pool')} pool, {shown}")


def _clock(worker: Worker) -> Iterator[Finding]:
    if worker.skew_ns > _SKEW_NS:
        yield warning(
            "clock-skew",
            worker.about,
            f"its clock and ours differ by {show_duration(worker.skew_ns)} or more",
            "Have both machines set their clocks by NTP: expiry, delays and waiting times are differences of dates.",
        )


def _prefork(worker: Worker) -> Iterator[Finding]:
    if worker.told.get("pool") != "prefork":
        return
    threads = worker.told.get("threads", ())
    if threads:
        yield warning(
            "prefork-threads",
            worker.about,
            f"threads run in its main process ({', '.join(threads)}): a process that it forks may inherit a lock that "
            "one of them holds, and wait for ever",
            "Start them in each process, at Celery's signal worker_process_init, or use `--pool threads`.",
        )
    if worker.told.get("grpc"):
        yield note(
            "prefork-grpc",
            worker.about,
            "its main process has imported gRPC, which does not survive a fork once it is in use",
            "Speak OTLP over HTTP there, or import gRPC at Celery's signal worker_process_init.",
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        )


def _refused(worker: Worker) -> Iterator[Finding]:
    refused: Mapping[str, int] = worker.told.get("refused", {})
    if refused:
        counts = ", ".join(f"{count} {why}" for why, count in sorted(refused.items()))
        yield warning(
            "refused-messages",
            worker.about,
            f"it has turned messages away since it was started: {counts}",
            "Its log names them. Forged: somebody has another DISPATCH_SIGNING_KEY, or none. Malformed: somebody else "
            "writes to the broker. Stale or replayed: copies, or calls that waited longer than the window.",
        )


def _ask(subject: Subject, reached: Reach, command: str) -> Iterator[tuple[str, Any]]:
    heard: list[Any] = []
    control = subject.app.control
    control.broadcast(
        command, reply=True, timeout=min(_LISTEN, subject.seconds), connection=reached.connection, callback=heard.append
    )
    for reply in heard:
        yield from reply.items()


def _skew(theirs: Any, sent: int, heard: int) -> int:
    if not isinstance(theirs, int):
        return 0
    return max(0, sent - theirs, theirs - heard)
