"""What the app's own configuration says, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from celery.backends.base import DisabledBackend

from dispatch._finding import Finding, Seen, error, note, warning
from dispatch.errors import NotConfigured
from dispatch.transports.celery._settings import settings_for
from dispatch.transports.celery.doctor._subject import Subject
from dispatch.transports.celery.payloads import store_of

_CODE = frozenset({"pickle", "application/x-python-serialize", "yaml", "application/x-yaml"})
"""What runs whatever the message says as it is read; `yaml` is safe in kombu and was not always."""

_HOUR = 3600
_CONSUMER_TIMEOUT = 1800
"""Seconds. RabbitMQ's own, where nobody set another."""


def configuration(subject: Subject) -> Iterator[Seen]:
    yield from pickled("app", subject.app.conf)
    yield from _recommended(subject)
    yield from _results(subject)
    yield from _payloads(subject)
    yield from _held(subject)
    yield from _time_limits(subject)


def pickled(about: str, conf: Any) -> Iterator[Finding]:
    """For the app here, and for a worker's of which only some words are known."""
    read = sorted({*_listed(conf.get("accept_content")), *_listed(conf.get("result_accept_content"))} & _CODE)
    if read:
        yield error(
            "accepts-pickle",
            about,
            f"accept_content has {', '.join(read)}: whoever may write to the broker may run code in the workers",
            "Accept JSON alone.",
            'app.conf.accept_content = ["json"]',
            "app.conf.result_accept_content = None",
        )
    written = [name for name in ("task_serializer", "result_serializer") if str(conf.get(name)) in _CODE]
    if written:
        yield error(
            "writes-pickle",
            about,
            f"{' and '.join(written)} {'is' if len(written) == 1 else 'are'} {conf.get(written[0])}",
            "Write JSON: dispatch's tasks do so by themselves, and others of the app should.",
            *(f'app.conf.{name} = "json"' for name in written),
        )


def _recommended(subject: Subject) -> Iterator[Finding]:
    conf = subject.app.conf
    wanted = settings_for(subject.app)
    if conf.worker_prefetch_multiplier != wanted.pop("worker_prefetch_multiplier"):
        yield warning(
            "prefetches",
            "app",
            f"worker_prefetch_multiplier is {conf.worker_prefetch_multiplier}: a worker takes calls that then wait for "
            "its present one, whatever else is idle",
            "Set it to 1; on RabbitMQ each call taken counts as delivered when the worker dies.",
            "app.conf.worker_prefetch_multiplier = 1",
        )
    other = {name: value for name, value in wanted.items() if conf.get(name) != value}
    if other:
        yield warning(
            "settings-missing",
            "app",
            f"not as dispatch.celery_settings() has them: {', '.join(sorted(other))}",
            "Take them over. On RabbitMQ a queue that exists keeps its shape: give task_default_queue a new name.",
            "app.conf.update(dispatch.celery_settings())",
            *(f"# {name} = {value!r}" for name, value in sorted(other.items())),
        )


def _results(subject: Subject) -> Iterator[Finding]:
    wanting = [spec.name for spec in subject.specs if spec.result]
    try:
        backend = subject.store.of(subject.app)
    except NotConfigured as said:
        yield error("no-result-store", "results", str(said), "Give the app a store that keeps results.")
        return
    if isinstance(backend, DisabledBackend):
        if wanting:
            yield warning(
                "no-result-store",
                "results",
                f"{len(wanting)} tasks want results, and nothing keeps them: {_some(wanting)}",
                "Set DISPATCH_RESULT_BACKEND, or say result=False on tasks whose results nobody reads.",
                "DISPATCH_RESULT_BACKEND=redis://localhost/1",
            )
    elif not backend.expires:
        yield warning(
            "results-kept-for-ever",
            "results",
            "result_expires is not set: every result stays in the store until somebody removes it",
            "Set it; Celery's own default is a day.",
            "app.conf.result_expires = 86400",
        )


def _payloads(subject: Subject) -> Iterator[Finding]:
    """Where large arguments are to be kept."""
    wanting = [name for name, said in subject.destinations.items() if said.claim_check_over is not None]
    if not wanting:
        return
    try:
        store_of(subject.app)
    except NotConfigured as said:
        yield error(
            "no-payload-store",
            "payloads",
            f"{_some(wanting)} has a claim_check_over, and larger calls pass it over: {said}",
            "Name a store that callers and workers share.",
            "DISPATCH_PAYLOAD_STORE=file:///srv/shop/payloads",
        )


def _held(subject: Subject) -> Iterator[Finding]:
    """What Celery keeps in its workers' memory: delayed calls of tasks that are not dispatch's."""
    conf, foreign = subject.app.conf, subject.foreign
    if foreign and not conf.get("worker_eta_task_limit"):
        yield note(
            "unlimited-eta",
            "app",
            f"worker_eta_task_limit is not set: delayed calls of {_some(foreign)} wait in workers' memory, 8 KB each",
            "Set a limit, or declare these with @dispatch.task: then the broker keeps them until they are due.",
            "app.conf.worker_eta_task_limit = 1000",
        )


def _time_limits(subject: Subject) -> Iterator[Finding]:
    if subject.system == "redis":
        yield from _visibility(subject)
    elif subject.system == "rabbitmq":
        yield from _consumer_timeout(subject)


def _visibility(subject: Subject) -> Iterator[Finding]:
    """Redis gives a call that nobody acknowledged to another worker; dispatch's are all acknowledged early."""
    app = subject.app
    timeout = (app.conf.broker_transport_options or {}).get("visibility_timeout", _HOUR)
    late = [name for name in subject.foreign if app.tasks[name].acks_late]
    longer = [name for name in late if (_limit(subject, name) or 0) >= timeout]
    if longer:
        yield warning(
            "visibility-timeout",
            "app",
            f"visibility_timeout is {timeout} s, and {_some(longer)} may run as long: Redis then gives the call to a "
            "second worker while the first still runs it",
            "Raise it above the longest time limit and the longest delay.",
            f'app.conf.broker_transport_options = {{"visibility_timeout": {round(2 * timeout)}}}',
        )
    elif any(_limit(subject, name) is None for name in late):
        yield note(
            "visibility-timeout",
            "app",
            f"visibility_timeout is {timeout} s, and {_some(late)} may run longer: nothing limits the time",
            "Give these tasks a time_limit below it, or raise it. Delays of Celery's own count as well.",
        )


def _consumer_timeout(subject: Subject) -> Iterator[Finding]:
    """RabbitMQ closes the channel of a worker that has not acknowledged a call for so long, and gives it to another."""
    long = [
        spec.name
        for spec in subject.specs
        if spec.timeout_ns is not None and spec.timeout_ns / 1e9 >= _CONSUMER_TIMEOUT
    ]
    if long:
        yield warning(
            "consumer-timeout",
            "app",
            f"{_some(long)} may run for {_CONSUMER_TIMEOUT // 60} minutes or longer: then RabbitMQ, as it comes, "
            "takes a durable call from its worker and gives it to another",
            "Raise consumer_timeout on the server above the longest timeout, or make the calls shorter.",
            "rabbitmqctl eval 'application:set_env(rabbit, consumer_timeout, 7200000).'",
            "consumer_timeout = 7200000   # rabbitmq.conf, milliseconds",
        )


def _limit(subject: Subject, name: str) -> float | None:
    limit: float | None = subject.app.tasks[name].time_limit or subject.app.conf.task_time_limit
    return limit


def _listed(said: Any) -> Iterable[str]:
    return [str(each) for each in said or ()]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
