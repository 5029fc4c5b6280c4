"""Whose Celery app it is, when it is known, and what the one has that dispatch makes."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery
from kombu import Queue

from dispatch.errors import NotConfigured
from dispatch.transports.celery import AppSource, Store, build_app, celery_settings, settings_for
from dispatch.transports.celery._queues import ARGUMENTS


@pytest.fixture
def new_app(leaving):
    return lambda **options: leaving(Celery("shop", set_as_current=False, **options))


@pytest.fixture
def module(project):
    """Writes a module; gives its name."""
    return lambda source="": project(source).name


# An app that was given -------------------------------------------------------------------------------------------


def test_an_app_that_is_given_is_the_app(new_app):
    """Known at once."""
    app = new_app()
    source = AppSource(app, store=Store())

    assert app is source.known is source()


def test_where_nobody_named_an_app_there_is_none_until_one_is_adopted(new_app):
    """A worker's own app is taken where no other was named, and only there."""
    source = AppSource(None, store=Store())
    assert source() is None

    app = new_app()

    assert app is source.adopt(app) is source()
    assert app is source.adopt(new_app())


def test_an_app_is_not_made_to_read_its_configuration(new_app):
    """It may be given while the module with the configuration is still being imported."""
    app = new_app()
    app.config_from_object("settings_that_cannot_be_imported_yet")

    AppSource(app, store=Store())

    assert not app.configured


def test_results_over_rpc_are_refused(new_app, monkeypatch):
    """By the app, by its environment, by our setting: the error says what to use instead."""
    with pytest.raises(NotConfigured, match="result backend that keeps results"):
        AppSource(new_app(backend="rpc://"), store=Store())
    with pytest.raises(NotConfigured, match="DISPATCH_RESULT_BACKEND=rpc"):
        Store("rpc://")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "rpc://")
    with pytest.raises(NotConfigured, match="rpc://"):
        AppSource(new_app(), store=Store())


def test_rpc_from_a_configuration_that_is_read_later_is_refused_then(new_app):
    """What the app did not know when it was given is found when results are asked for."""
    app, store = new_app(), Store()
    AppSource(app, store=store)
    app.conf.result_backend = "rpc://"

    with pytest.raises(NotConfigured, match="rpc://"):
        store.of(app)


def test_a_broker_that_cannot_keep_results_says_which_setting_is_missing(new_app):
    """A Redis behind TLS needs more than its address to be a result backend."""
    app = new_app(broker="rediss://localhost/0")

    with pytest.raises(NotConfigured, match="Set DISPATCH_RESULT_BACKEND"):
        Store().of(app)


@pytest.mark.parametrize(
    ("broker", "kept"),
    [("redis://localhost/0", True), ("amqp://localhost", False), ("redis://a/0;redis://b/0", True)],
)
def test_where_the_app_has_no_backend_a_redis_broker_keeps_results(new_app, broker, kept):
    """RabbitMQ keeps none."""
    assert kept == Store().kept(new_app(broker=broker))


def test_our_setting_is_for_apps_that_have_no_backend(new_app):
    """It gives way to the app's own, and comes before the broker."""
    store = Store("redis://elsewhere/7")

    assert "redis://elsewhere/7" == store.of(new_app(broker="redis://localhost/0")).url
    assert "redis://own/1" == store.of(new_app(backend="redis://own/1")).url


# An app that was named -------------------------------------------------------------------------------------------


def test_a_named_app_is_imported_at_first_use(module, leaving):
    """Not when it is named."""
    name = module("from celery import Celery\nclass at:\n    app = Celery('shop', set_as_current=False)")
    source = AppSource(f"{name}:at.app", store=Store())
    assert name not in sys.modules
    assert source.known is None

    app = leaving(source())

    assert sys.modules[name].at.app is app is source.known


@pytest.mark.parametrize("text", ["shop", "shop:", ":app", ""])
def test_a_name_that_is_no_name_is_refused_at_once(text):
    """`module:attribute`, and the error says so and where it stands."""
    with pytest.raises(NotConfigured, match=r"DISPATCH_CELERY_APP=.*module:attribute"):
        AppSource(text, store=Store())


@pytest.mark.parametrize(
    ("source", "path", "told"),
    [
        ("import nowhere_to_be_found", "app", "nowhere_to_be_found"),
        ("", "app", "has no attribute 'app'"),
        ("app = 7", "app", "7, which is no Celery app"),
    ],
)
def test_a_name_that_leads_to_no_app_is_refused_with_the_setting(module, source, path, told):
    """When it is used; as a setting that is wrong, and not as an ImportError out of nowhere."""
    found = AppSource(f"{module(source)}:{path}", store=Store(), setting="configure(celery=…)")

    with pytest.raises(NotConfigured, match=told) as caught:
        found()
    assert "configure(celery=…)=" in str(caught.value)


def test_a_module_that_is_half_imported_is_asked_again_later(module, leaving):
    """A call made while the app's module is being imported says so; the next one finds the app."""
    name = module(
        """
        from celery import Celery
        from dispatch.errors import NotConfigured
        from dispatch.transports.celery import AppSource, Store
        source = AppSource(f"{__name__}:app", store=Store())
        try:
            source()
        except NotConfigured as error:
            early = str(error)
        app = Celery("shop", set_as_current=False)
        """
    )
    imported = __import__(name)

    assert "still being imported" in imported.early
    assert imported.app is leaving(imported.source())


def test_an_app_that_is_made_is_made_once(new_app):
    """However many threads ask for it first."""
    made = []
    together = threading.Barrier(8)

    def make():
        made.append(new_app())
        return made[-1]

    source = AppSource(make, store=Store())

    def ask():
        together.wait()
        return source()

    with ThreadPoolExecutor(8) as pool:
        apps = {each.result() for each in [pool.submit(ask) for _ in range(8)]}

    assert set(made) == apps
    assert 1 == len(made)


# An app of ours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_RESULT_BACKEND"])
def test_our_app_is_not_made_where_a_variable_of_celerys_would_send_it_elsewhere(leaving, monkeypatch, variable):
    """Celery prefers its own variables to what an app is told; alike, or unset, is fine."""
    monkeypatch.setenv(variable, "redis://elsewhere:1/0")

    with pytest.raises(NotConfigured, match=f"unset {variable}, or set both alike"):
        build_app("redis://here:1/0", "redis://here:1/1")

    monkeypatch.setenv(variable, "redis://here:1/1" if "RESULT" in variable else "redis://here:1/0")
    leaving(build_app("redis://here:1/0", "redis://here:1/1"))


def test_our_app_speaks_json_and_nothing_else(leaving):
    """Nothing that is unpickled comes in."""
    conf = leaving(build_app("redis://localhost/0")).conf

    assert (["json"], "json", "json") == (conf.accept_content, conf.task_serializer, conf.result_serializer)


def test_our_app_waits_for_its_broker(leaving):
    """At the start of a worker as later on."""
    assert leaving(build_app("redis://localhost/0")).conf.broker_connection_retry_on_startup


def test_our_queues_on_rabbitmq_are_quorum_queues_on_topic_exchanges(leaving):
    """The default one, and whatever a policy names; what RabbitMQ takes out of them goes to the dead letters."""
    app = leaving(build_app("amqp://localhost"))
    app.conf.task_default_queue = "renamed"

    for queue in (app.amqp.queues["renamed"], app.amqp.queues["another"]):
        assert {"x-queue-type": "quorum", **ARGUMENTS} == queue.queue_arguments
        assert "topic" == queue.exchange.type
    assert (100, "dispatch.dead") == (ARGUMENTS["x-delivery-limit"], ARGUMENTS["x-dead-letter-exchange"])


def test_an_app_of_the_users_describes_its_queues_like_ours_once_it_took_the_settings(new_app):
    """Also when somebody has looked at its queues before."""
    app = new_app(broker="amqp://localhost")
    assert not app.amqp.queues["early"].queue_arguments
    app.conf.update(settings_for(app))

    for queue in (app.amqp.queues[app.conf.task_default_queue], app.amqp.queues["another"]):
        assert {"x-queue-type": "quorum", **ARGUMENTS} == queue.queue_arguments


def test_an_app_that_did_not_take_the_settings_keeps_its_queues(new_app):
    """Asking what they are changes nothing."""
    app = new_app(broker="amqp://localhost")
    app.conf.update(task_default_queue_type="quorum", task_create_missing_queue_type="quorum")
    settings_for(app)

    for queue in (app.amqp.queues[app.conf.task_default_queue], app.amqp.queues["another"]):
        assert {"x-queue-type": "quorum"} == queue.queue_arguments


def test_queues_that_the_user_describes_keep_their_shape(new_app):
    """Others of the same app have ours."""
    app = new_app(broker="amqp://localhost")
    app.conf.update(settings_for(app))
    app.conf.task_queues = [Queue("own", queue_arguments={"x-queue-type": "quorum"}), Queue("classic")]

    own, classic, missing = (app.amqp.queues[name].queue_arguments for name in ("own", "classic", "missing"))
    assert ({"x-queue-type": "quorum"}, None) == (own, classic)
    assert {"x-queue-type": "quorum", **ARGUMENTS} == missing


def test_an_app_keeps_a_description_of_its_own_making(new_app):
    """It is somebody else's idea of what queues are."""
    app = new_app(broker="amqp://localhost", amqp="celery.app.amqp:Queues")
    app.conf.update(settings_for(app))

    assert "celery.app.amqp:Queues" == app.amqp_cls


def test_our_queues_on_redis_stay_as_celery_makes_them(leaving):
    """There a topic costs a round trip for each message, and there is no other kind of queue."""
    app = leaving(build_app("redis://localhost/0"))

    assert "direct" == app.amqp.queues[app.conf.task_default_queue].exchange.type


def test_our_app_keeps_its_results_where_it_is_told(leaving):
    """Else the app itself has no backend; dispatch gives one to its own tasks."""
    assert "redis://results/0" == leaving(build_app("amqp://x", "redis://results/0")).conf.result_backend
    assert leaving(build_app("amqp://x")).conf.result_backend is None


@pytest.mark.parametrize("url", ["amqp://localhost", "redis://localhost/0"])
def test_an_app_of_the_users_takes_the_same_settings(new_app, leaving, url):
    """`app.conf.update(celery_settings(…))` makes it equal in what durable calls need."""
    app = new_app(broker=url)
    app.conf.update(celery_settings(url))

    ours = leaving(build_app(url)).conf
    assert {key: ours[key] for key in celery_settings(url)} == {key: app.conf[key] for key in celery_settings(url)}
    assert 1 == app.conf.worker_prefetch_multiplier
