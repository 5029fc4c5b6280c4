"""What a doctor finds in an app's configuration, without asking anybody."""

from __future__ import annotations

from celery import Celery

from dispatch.transports.celery.doctor._configuration import configuration
from transports.celery.doctor.patients import spec

NOWHERE = "redis://127.0.0.1:1/0"
RABBITMQ = "amqp://127.0.0.1:1//"


def work():
    """A task that is Celery's alone."""


def codes(subject):
    return {each.code: each for each in configuration(subject)}


def test_an_app_of_our_own_has_nothing_to_mend(patient):
    limited = {"worker_eta_task_limit": 100}  # other tests have shared tasks with every app

    assert {} == codes(patient(NOWHERE, conf=limited, specs=(spec(),)))
    assert {} == codes(patient(RABBITMQ, conf=limited, specs=(spec(result=False),)))


def test_pickle_that_is_read(patient):
    said = codes(patient(NOWHERE, conf={"accept_content": ["json", "pickle"]}))

    assert "error" == said["accepts-pickle"].severity
    assert 'app.conf.accept_content = ["json"]' in said["accepts-pickle"].hints


def test_pickle_that_is_read_of_results_alone(patient):
    assert "accepts-pickle" in codes(patient(NOWHERE, conf={"result_accept_content": ["pickle"]}))


def test_pickle_that_is_written(patient):
    said = codes(patient(NOWHERE, conf={"task_serializer": "pickle", "result_serializer": "pickle"}))

    assert "task_serializer and result_serializer are pickle" == said["writes-pickle"].fact


def test_a_worker_that_takes_more_than_it_runs(patient):
    assert "is 4" in codes(patient(NOWHERE, conf={"worker_prefetch_multiplier": 4}))["prefetches"].fact


def test_an_app_without_the_settings_for_durable_calls(patient):
    """A user's own, on RabbitMQ: its queues are classic ones."""
    said = codes(patient(RABBITMQ, app=Celery("shop", broker=RABBITMQ)))

    assert "task_default_queue_type" in said["settings-missing"].fact
    assert "app.conf.update(dispatch.celery_settings())" in said["settings-missing"].hints


def test_results_that_nothing_keeps(patient):
    assert "no-result-store" in codes(patient(RABBITMQ, specs=(spec(),)))
    assert "no-result-store" not in codes(patient(RABBITMQ, specs=(spec(result=False),)))


def test_results_that_reach_only_one_thread(patient):
    """Found by the store itself."""
    app = Celery("shop", broker=RABBITMQ, backend="rpc://")

    assert "rpc://" in codes(patient(RABBITMQ, app=app))["no-result-store"].fact


def test_results_that_are_kept_for_ever(patient):
    assert "results-kept-for-ever" in codes(patient(NOWHERE, conf={"result_expires": None}))


def test_delays_in_workers_memory(patient):
    """A note, and only where the app has tasks of its own."""
    subject = patient(NOWHERE)
    subject.app.task(name="shop.old", shared=False)(work)

    assert "note" == codes(subject)["unlimited-eta"].severity
    subject.app.conf.worker_eta_task_limit = 100
    assert "unlimited-eta" not in codes(subject)


def test_a_visibility_timeout_that_is_shorter_than_a_task(patient):
    """Redis would give the call away while it runs."""
    subject = patient(NOWHERE, conf={"broker_transport_options": {"visibility_timeout": 60}})
    subject.app.task(name="shop.slow", shared=False, acks_late=True, time_limit=90)(work)

    assert "warning" == codes(subject)["visibility-timeout"].severity


def test_a_visibility_timeout_beside_a_task_without_a_limit(patient):
    subject = patient(NOWHERE)
    subject.app.task(name="shop.slow", shared=False, acks_late=True)(work)

    assert "note" == codes(subject)["visibility-timeout"].severity


def test_a_task_that_outlasts_rabbitmqs_patience(patient):
    """Half an hour, as it comes."""
    hour = spec(timeout_ns=3600 * 10**9, result=False)

    assert "consumer-timeout" in codes(patient(RABBITMQ, specs=(hour,)))
    assert "consumer-timeout" not in codes(patient(NOWHERE, specs=(hour,)))


def test_large_arguments_without_a_store(patient):
    """RabbitMQ is none, and a Redis is one."""
    assert "no-payload-store" in codes(patient(RABBITMQ, claim_check_over="1MiB"))
    assert "no-payload-store" not in codes(patient(NOWHERE, claim_check_over="1MiB"))
