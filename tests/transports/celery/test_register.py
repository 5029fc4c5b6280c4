"""How declared tasks come to be tasks of a Celery app, here and in a worker."""

from __future__ import annotations

import pytest
from celery import Celery, signals

from dispatch._registry import Registry, TaskSpec
from dispatch.errors import DispatchError
from dispatch.transports.celery import AppSource, Store, _registration
from dispatch.transports.celery.worker import _body


@pytest.fixture
def registry(monkeypatch):
    """An empty one, in place of the process's own."""
    registry = Registry()
    monkeypatch.setattr(_registration, "registry", registry)
    monkeypatch.setattr(_body, "registry", registry)
    return registry


@pytest.fixture
def app(leaving):
    return leaving(Celery("shop", broker="redis://localhost/0", set_as_current=False))


def add(x, y=1):
    """Adds."""
    return x + y


def sub(x, y=1):
    return x - y


# Here ------------------------------------------------------------------------------------------------------------


def test_tasks_declared_before_and_after_the_app_is_known_are_registered(registry, app, new_spec):
    """All so far at once, each later one as it is declared, under the names they were declared with."""
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())
    registry.declare(new_spec(sub, name="shop.sub"))

    assert {"shop.add", "shop.sub"} <= app.tasks.keys()
    assert (3, 1) == (app.tasks["shop.add"](2), app.tasks["shop.sub"](2))


def test_a_task_that_is_a_lambda_keeps_the_app_from_no_other(registry, app, new_spec):
    registry.declare(new_spec(lambda x: -x, name="shop.negative"))
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())

    assert (-2, 3) == (app.tasks["shop.negative"](2), app.tasks["shop.add"](2))


def test_registering_neither_finalizes_the_app_nor_reads_its_configuration(registry, app, new_spec):
    """The user may go on to configure it."""
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())

    assert not app.finalized
    assert not app.configured


def test_an_app_is_given_each_task_once(registry, app, new_spec):
    """Two sources of one app, and a task that is declared anew when its module is reloaded."""
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())
    AppSource(app, store=Store())
    registered = app.tasks["shop.add"]

    registry.declare(_again(new_spec))

    assert registered is app.tasks["shop.add"]


def test_a_task_declared_anew_runs_its_new_function(registry, app, new_spec):
    """After a reload the worker runs what the module says now."""
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())

    registry.declare(_again(new_spec))

    assert "new 2 1" == app.tasks["shop.add"](2)


def _again(new_spec) -> TaskSpec:
    def function(x, y=1):
        return f"new {x} {y}"

    function.__module__, function.__qualname__ = add.__module__, add.__qualname__
    return new_spec(function, name="shop.add")


def test_other_apps_of_the_process_are_left_alone(registry, app, leaving, new_spec):
    """Tasks go to the app that was named, not to every one there is."""
    other = leaving(Celery("other", set_as_current=False))
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())

    assert "shop.add" in app.tasks
    assert "shop.add" not in other.tasks


def test_the_apps_configuration_and_its_own_tasks_stay_as_they_are(registry, app, new_spec):
    """`app.conf` is the user's."""
    before = dict(app.conf)
    own = app.task(name="own.task")(sub)
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())
    app.finalize()

    assert before == dict(app.conf)
    assert not app.tasks["own.task"].acks_late
    assert 1 == own(2)


def test_a_task_has_what_durable_calls_need(registry, app, new_spec):
    """Late acknowledgement, by our own request, and JSON; what nobody will read is not stored."""
    registry.declare(new_spec(add, name="shop.add"))
    registry.declare(new_spec(sub, name="shop.sub", result=False))
    AppSource(app, store=Store())
    task = app.tasks["shop.add"]

    assert task.acks_late
    assert task.reject_on_worker_lost
    assert _registration.REQUEST == task.Request
    assert "json" == task.serializer
    assert (False, True) == (task.ignore_result, app.tasks["shop.sub"].ignore_result)


def test_celerys_own_signatures_check_the_arguments(registry, app, new_spec):
    """`.s()` and canvas refuse what does not fit, as Celery does for its own tasks."""
    registry.declare(new_spec(add, name="shop.add"))
    AppSource(app, store=Store())

    with pytest.raises(TypeError, match="positional argument"):
        app.tasks["shop.add"].s(1, 2, 3).apply_async()
    assert "Adds." == app.tasks["shop.add"].__doc__


def test_results_go_to_the_backend_of_the_app_or_to_ours(registry, leaving, new_spec):
    """Asked when it is needed: the app may learn of its backend after it was given."""
    registry.declare(new_spec(add, name="shop.add"))
    late = leaving(Celery("late", broker="redis://localhost/0", set_as_current=False))
    without = leaving(Celery("without", broker="redis://localhost/0", set_as_current=False))
    AppSource(late, store=Store())
    AppSource(without, store=Store())
    late.conf.result_backend = "redis://own/3"

    assert "redis://own/3" == late.tasks["shop.add"].backend.url
    assert "redis://localhost/0" == without.tasks["shop.add"].backend.url


# In a worker -----------------------------------------------------------------------------------------------------

HOOKED = """
import os
from celery import Celery
from dispatch._registry import TaskSpec, registry
from dispatch._requirements import Requirements
from dispatch._signature import mirror
from dispatch.transports.celery import AppSource, Store, hook_worker

NAMED = {named}
SOURCES = []


def source():
    if not SOURCES:
        SOURCES.append(AppSource(NAMED, store=Store()))
    return SOURCES[0]


def add(x, y):
    return x + y


def ended():
    with open(os.environ["SHOP_ENDS"], "a") as file:
        file.write(f"{{os.getpid()}}\\n")


hook_worker(source, at_end=ended)
spec = TaskSpec(name="hooked.add", function=add, signature=mirror(add), requirements=Requirements())
registry.declare(spec)

app = Celery("hooked", broker=os.environ["DISPATCH_BROKER_URL"])
app.conf.worker_pool_start_method = os.environ.get("SHOP_START", "fork")
"""


@pytest.fixture
def hooked(project, redis_url, tmp_path, monkeypatch):
    """A module that says where its app is, and registers nothing by itself; a plain client for its task."""

    def make(named: str, **environment: str):
        shop = project(HOOKED.format(named=named), broker_url=redis_url)
        shop.environment.update({"SHOP_ENDS": str(tmp_path / "ends"), **environment})
        return shop

    return make


@pytest.fixture
def client(redis_url):
    """Plain Celery: knows the name of the task, and where its results are."""
    with Celery("client", broker=redis_url, backend=redis_url, set_as_current=False) as client:
        yield client
        client.backend.result_consumer.stop()
        client.backend.client.close()
        client.pool.force_close_all()


def test_a_named_app_has_the_tasks_before_its_worker_starts(hooked, client, redis_url):
    """The call that waits when the worker starts is not thrown away as unknown."""
    sent = client.send_task("hooked.add", (1, 2))
    shop = hooked("__name__ + ':app'")

    with shop.worker():
        assert 3 == sent.get(timeout=20)


def test_where_no_app_was_named_the_workers_own_has_the_tasks(hooked, client):
    """A worker that knows the tasks and runs the app needs no setting to bring them together."""
    shop = hooked("None")
    with shop.worker(pool="solo"):
        assert 3 == client.send_task("hooked.add", (1, 2)).get(timeout=20)


def test_a_pool_that_spawns_its_processes_has_the_tasks_too(hooked, client):
    """As on macOS: each process imports the modules anew and meets the app as a copy."""
    shop = hooked("__name__ + ':app'", SHOP_START="spawn")
    with shop.worker(concurrency=1):
        assert 3 == client.send_task("hooked.add", (1, 2)).get(timeout=20)


def test_a_worker_whose_app_is_not_to_be_had_ends_with_the_reason(hooked):
    """Rather than throw away as unknown what was sent to it."""
    shop = hooked("__name__ + ':missing'")

    with pytest.raises(DispatchError, match="has no attribute 'missing'"), shop.worker():
        pass


def test_a_worker_of_another_app_says_so(hooked):
    """It runs what it knows, and logs what it will not know."""
    shop = hooked("Celery('other')")
    with shop.worker(pool="solo"):
        assert "this worker runs another app" in shop.log.read_text()


def test_at_its_end_each_process_of_a_worker_is_told(hooked, tmp_path):
    """The main one and those of its pool: there the last spans are flushed."""
    shop = hooked("None")
    with shop.worker(concurrency=2) as worker:
        main = str(worker.pid)

    told = (tmp_path / "ends").read_text().split()
    assert 3 == len(set(told))
    assert main in told


def test_a_process_that_is_no_worker_is_told_nothing(hooked):
    """Hooks cost nothing where no worker starts: the signals of Celery are all that is touched."""
    shop = hooked("None")
    ran = shop.run(f"import {shop.name} as shop; print(shop.SOURCES)")

    assert "[]\n" == ran.stdout
    assert not [each for each in signals.task_prerun.receivers if "dispatch" in str(each)]
