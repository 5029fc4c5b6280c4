"""Setting up, ending, forking."""

from __future__ import annotations

import os
import threading

import pytest

import dispatch
from dispatch import _default
from dispatch.pool import Drained

FAST = """
version: 1
destinations:
  fast: {{transport: local, workers: 1, capacity: 10, on_shutdown: {on_shutdown}}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: fast}}
"""


started, release = threading.Event(), threading.Event()


@dispatch.task
def hold() -> str:
    started.set()
    assert release.wait(10)
    return "held"


@dispatch.task
def echo(value: int) -> int:
    return value


@dispatch.task(durability="durable")
def keep(value: int) -> int:
    return value


@pytest.fixture(autouse=True)
def _fresh():
    started.clear()
    release.clear()
    yield
    release.set()


@pytest.fixture
def undefined(monkeypatch):
    """No default dispatcher yet; whatever the test sets up is ended."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    yield
    dispatch.shutdown("5s")


def test_the_first_call_makes_a_dispatcher_of_the_environment(undefined):
    """Nothing configured, no broker: the ready policy without one is in force."""
    handle = echo.delay(1)

    assert 1 == handle.result(timeout=5)
    assert "fast" == handle.decision.destination


def test_a_durable_call_without_a_broker_is_not_configured(undefined):
    """Refused, with the setting to set; never weakened."""
    dispatch.configure(policy="default")

    with pytest.raises(dispatch.NotConfigured, match="DISPATCH_BROKER_URL"):
        keep.delay(1)


def test_a_durable_call_that_only_memory_could_take_is_not_accepted(dispatcher):
    """`not_durable`, not a local run."""
    dispatcher(FAST.format(on_shutdown="finish"))

    with pytest.raises(dispatch.NotAccepted, match="fast: not_durable") as caught:
        keep.delay(1)

    assert [("fast", "not_durable")] == [(each.destination, each.why) for each in caught.value.passed_over]


def test_configure_says_which_policy_is_in_force(undefined, caplog):
    """Once, in the log, with its version."""
    caplog.set_level("INFO", "dispatch")

    made = dispatch.configure(policy="latency-first")

    said = [record.getMessage() for record in caplog.records if "policy in force" in record.getMessage()]
    assert 1 == len(said)
    assert made.policy.version in said[0]


def test_the_environment_names_the_policy(undefined, monkeypatch, tmp_path):
    """`DISPATCH_POLICY`: a path, or several, the later overlaying the earlier."""
    (tmp_path / "base.yaml").write_text(FAST.format(on_shutdown="finish"))
    (tmp_path / "more.yaml").write_text("version: 1\ndestinations:\n  fast: {capacity: 3}\n")
    monkeypatch.setenv("DISPATCH_POLICY", "base.yaml, more.yaml")

    assert 3 == dispatch.configure().policy.destinations["fast"].capacity


def test_a_bad_policy_fails_at_configure_and_leaves_the_last_one_in_force(undefined, tmp_path):
    """Every mistake with its place; calls go on as before."""
    before = dispatch.configure(policy="no-broker")
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\nrules: 3\n")

    with pytest.raises(dispatch.PolicyError, match=r"bad\.yaml:1:10"):
        dispatch.configure(policy=bad)

    assert before is _default.current()
    assert 1 == echo.delay(1).result(timeout=5)


def test_configure_ends_the_dispatcher_before_it(undefined):
    """Its calls finish; new ones go to the new one."""
    dispatch.configure(policy="no-broker")
    handle = hold.delay()
    started.wait(5)
    release.set()

    dispatch.configure(policy="no-broker")

    assert "held" == handle.result(timeout=5)
    assert 2 == echo.delay(2).result(timeout=5)


def test_shutdown_finishes_what_waits_and_takes_nothing_new(undefined):
    """`on_shutdown: finish`; afterwards `delay` says that it was shut down."""
    dispatch.configure(policy=dispatch_policy("finish"))
    handles = [hold.delay(), *(echo.delay(index) for index in range(3))]
    started.wait(5)
    threading.Timer(0.02, release.set).start()

    assert Drained(finished=4) == dispatch.shutdown("5s")
    assert ["held", 0, 1, 2] == [handle.result() for handle in handles]
    with pytest.raises(dispatch.NotAccepted, match="shut down"):
        echo.delay(1)
    assert Drained() == dispatch.shutdown()


def test_shutdown_can_drop_what_waits(undefined):
    """`on_shutdown: drop`: started calls finish, waiting ones are cancelled, and the sum is right."""
    dispatch.configure(policy=dispatch_policy("drop"))
    running, *waiting = [hold.delay(), *(echo.delay(index) for index in range(3))]
    started.wait(5)
    threading.Timer(0.02, release.set).start()

    assert Drained(finished=1, dropped=3) == dispatch.shutdown("5s")
    assert "held" == running.result()
    assert ["cancelled"] * 3 == [handle.status for handle in waiting]


def dispatch_policy(on_shutdown):
    from dispatch.policy import parse

    return parse(FAST.format(on_shutdown=on_shutdown))


def test_in_a_forked_child_the_parents_handles_are_lost_and_new_calls_work(dispatcher):
    """What the parent waits for is the parent's; the child's own pool runs the child's calls."""
    dispatcher()
    handle = hold.delay()
    started.wait(5)

    pid = os.fork()
    if pid == 0:
        try:
            handle.result(timeout=5)
        except dispatch.HandleLost:
            os._exit(0 if echo.delay(3).result(timeout=5) == 3 else 2)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    release.set()

    assert 0 == status
    assert "held" == handle.result(timeout=5)


def test_explain_sends_nothing_and_says_every_step(dispatcher):
    """The decision, the rules asked, the candidates weighed."""
    one = dispatcher()

    said = dispatch.explain(echo, 1)

    assert "fast" == said.decision.destination
    assert 0 == one.destinations["fast"].statistics().finished
    with pytest.raises(TypeError):
        dispatch.explain(echo)


def test_a_task_can_be_sent_through_another_dispatcher(dispatcher):
    """`using` leaves the task and the default dispatcher alone; the `with` block ends the other one."""
    first = dispatcher()

    with dispatch.Dispatcher(policy=dispatch_policy("drop")) as second:
        assert 4 == echo.using(second).delay(4).result(timeout=5)
        assert 5 == echo.using(second).options(latency_budget="1s").delay(5).result(timeout=5)

    assert 2 == second.destinations["fast"].statistics().finished
    assert 0 == first.destinations["fast"].statistics().finished
    with pytest.raises(dispatch.NotAccepted, match="shut down"):
        echo.using(second).delay(6)
    assert 7 == echo.delay(7).result(timeout=5)


def test_a_shutdown_may_be_told_not_to_wait_at_all(undefined):
    """A grace of zero: what runs is left, and counted."""
    dispatch.configure(policy=dispatch_policy("finish"))
    hold.delay()
    started.wait(5)

    assert Drained(left=1) == dispatch.shutdown(0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DISPATCH_SHUTDOWN_GRACE", "30"),
        ("DISPATCH_TELEMETRY", "maybe"),
        ("DISPATCH_BROKER_URL", "localhost"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_when_the_dispatcher_is_made(undefined, monkeypatch, variable, value):
    """By the variable's name, as `NotConfigured`; not at the exit, when calls wait."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(dispatch.NotConfigured, match=variable):
        dispatch.configure()


def test_an_empty_variable_is_no_variable(undefined, monkeypatch):
    """As compose files write `${DISPATCH_BROKER_URL:-}`."""
    for name in ("BROKER_URL", "POLICY", "TELEMETRY", "SHUTDOWN_GRACE", "CELERY_APP"):
        monkeypatch.setenv(f"DISPATCH_{name}", "")

    assert 1 == echo.delay(1).result(timeout=5)


def test_a_call_of_the_parent_cannot_be_cancelled_in_a_forked_child(dispatcher):
    """The parent may be running it; `True` would be a lie."""
    dispatcher()
    running, waiting = hold.delay(), echo.delay(1)
    started.wait(5)

    pid = os.fork()
    if pid == 0:
        refused = 0
        for act in (waiting.cancel, lambda: waiting.add_done_callback(print)):
            try:
                act()
            except dispatch.HandleLost:
                refused += 1
        os._exit(refused)
    _, status = os.waitpid(pid, 0)
    release.set()

    assert 2 == os.waitstatus_to_exitcode(status)
    assert ("held", 1) == (running.result(timeout=5), waiting.result(timeout=5))
