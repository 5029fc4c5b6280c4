"""`dispatch spool`: looking after calls on disk, beside the application and without it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import dispatch
from callers import ids
from dispatch import _default
from dispatch.cli import main
from dispatch.spool import Entry, Spool

SHOP = """
    import dispatch

    @dispatch.task(durability="durable")
    def charge(order):
        if order < 0:
            raise LookupError(f"no order {order}")
"""

FORWARDING = """
version: 1
destinations:
  queue: {transport: celery, queue: kitchen}
  disk: {transport: spool, durability: asserted, forward_to: queue}
defaults: {durability: durable}
otherwise: {route_to: queue, fallback: [disk]}
"""
RUNNING = """
version: 1
destinations:
  fast: {transport: local}
  queue: {transport: celery, queue: kitchen}
  disk: {transport: spool, durability: asserted, run: fast}
defaults: {durability: durable}
otherwise: {route_to: disk, fallback: [queue]}
"""


@pytest.fixture(autouse=True)
def _application(monkeypatch, tmp_path):
    """Named by the environment, as it is for the application itself. The command is the first in its process."""
    monkeypatch.setenv("DISPATCH_APPLICATION", "kitchen")
    monkeypatch.setenv("DISPATCH_SPOOL_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_default._default, "dispatcher", None)
    yield
    dispatch.shutdown("1s")


@pytest.fixture
def spool(tmp_path):
    """With three calls, of which the second has had no answer."""
    opened = Spool("kitchen", folder=tmp_path / "state")
    for number, task in enumerate(["kitchen.brew", "kitchen.brew", "billing.charge"]):
        entry = Entry(id=f"call-{number}", broker="queue", task=task, arguments=b"secret", doubtful=number == 1)
        opened.add(entry)
    yield opened
    opened.close()


def run(*arguments):
    """As in a process of its own."""
    _default._default.dispatcher = None
    return CliRunner().invoke(main, ["spool", *arguments])


def test_the_list_shows_ids_tasks_and_states_and_no_arguments(spool):
    """The oldest first, and a sum below."""
    asked = run("ls")

    assert (0, "") == (asked.exit_code, asked.stderr)
    head, *lines, total = asked.stdout.splitlines()
    assert ["id", "task", "state", "for", "age", "tries", "last", "error"] == head.split()
    assert [["call-0", "kitchen.brew", "waiting"], ["call-1", "kitchen.brew", "unknown"]] == [
        line.split()[:3] for line in lines[:2]
    ]
    assert total.endswith(" of 1 GiB: 2 waiting, 0 leased, 1 unknown, 0 dead")
    assert "secret" not in asked.stdout


def test_options_choose_and_json_is_for_programs(spool):
    """By task, by state, by age."""
    chosen = json.loads(run("ls", "--json", "--task", "kitchen.*", "--state", "waiting").stdout)

    assert (["call-0"], 3) == ([row["id"] for row in chosen["calls"]], chosen["statistics"]["rows"])
    assert [] == json.loads(run("ls", "--json", "--older-than", "1h").stdout)["calls"]


def test_a_spool_that_is_not_there_is_empty():
    """And is not made by looking at it."""
    asked = run("ls", "--json")

    assert (0, []) == (asked.exit_code, json.loads(asked.stdout)["calls"])


def test_without_a_name_the_setting_is_named(monkeypatch):
    """Status 2: a setting is missing."""
    monkeypatch.delenv("DISPATCH_APPLICATION")
    asked = run("ls")

    assert (2, True) == (asked.exit_code, "DISPATCH_APPLICATION" in asked.stderr)


def test_a_call_is_dropped_by_its_id_and_its_state_is_told(spool):
    """One that is not there is status 1."""
    asked = run("drop", "call-1", "call-9")

    assert ["call-1: dropped, was unknown", "call-9: there is no such call"] == asked.stdout.splitlines()
    assert (1, ["call-0", "call-2"]) == (asked.exit_code, [row.id for row in spool.ls()])


def test_calls_are_dropped_by_task(spool):
    """And nothing is dropped where nobody says which."""
    assert 0 == run("drop", "--task", "kitchen.*").exit_code
    assert ["call-2"] == [row.id for row in spool.ls()]
    assert 2 == run("drop").exit_code


@pytest.fixture
def policy(monkeypatch, tmp_path):
    """Puts a policy in force: `policy(RUNNING)`."""

    def put(text):
        (tmp_path / "policy.yaml").write_text(text)
        monkeypatch.setenv("DISPATCH_POLICY", str(tmp_path / "policy.yaml"))

    return put


def spooled(shop, *orders):
    """Spooled by a process of the application, which is then gone."""
    return shop.run(
        f"""
        import dispatch, {shop.name} as shop
        with dispatch._default.looking():
            disk = dispatch.configure().destinations["disk"]
        disk._watchman.start = lambda: None  # it runs and forwards nothing of what it spools
        for order in {orders}:
            print(shop.charge.delay(order).id)
        """
    ).stdout.split()


def test_forward_brings_calls_to_the_broker_without_the_application(
    project, policy, redis_url, monkeypatch, closed_port
):
    """Without the application, once the broker is back."""
    policy(FORWARDING)
    shop = project(SHOP, broker_url=f"redis://127.0.0.1:{closed_port}/0")
    sent = spooled(shop, 1, 2)
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    asked = run("forward")

    assert (0, "disk: 2 accepted\n", "") == (asked.exit_code, asked.stdout, asked.stderr)
    assert sorted(sent) == sorted(ids(redis_url, "kitchen"))


def test_forward_says_what_the_broker_did_not_take(project, policy, monkeypatch, closed_port):
    """Status 1; the calls are still there."""
    policy(FORWARDING)
    monkeypatch.setenv("DISPATCH_BROKER_URL", f"redis://127.0.0.1:{closed_port}/0")
    spooled(project(SHOP), 1)
    asked = run("forward")

    assert (1, True) == (asked.exit_code, "disk: 1 refused" in asked.stdout)
    assert "cannot be reached" in asked.stdout


def test_forward_runs_what_is_to_run_on_this_machine(project, policy):
    """In the command's own process; a failure is kept, and tried again when it is named."""
    policy(RUNNING)
    _, bad = spooled(project(SHOP), 1, -7)

    asked = run("forward")
    assert (1, "disk: 1 accepted, 1 never") == (asked.exit_code, asked.stdout.splitlines()[0])
    assert 0 == run("forward").exit_code
    assert 1 == run("forward", bad).exit_code
    (row,) = json.loads(run("ls", "--state", "dead", "--json").stdout)["calls"]
    assert (bad, "LookupError: no order -7") == (row["id"], row["last_error"])
