"""A policy that is changed while calls are made: all of it holds from one call to the next, or nothing of it does."""

from __future__ import annotations

import os
import random
import threading
from asyncio import to_thread
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import pytest
import structlog
from structlog.testing import capture_logs

import dispatch
from dispatch._dispatcher import Dispatcher
from dispatch.errors import NotAccepted, NotConfigured, PolicyError
from dispatch.policy import load as read
from dispatch.policy import parse
from house.policies import ONE_POOL
from servers.patience import eventually

NUMBERS = count(1)
SEED = int(os.environ.get("RELOAD_SEED", random.SystemRandom().randrange(10**9)))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(ONE_POOL)
    return path


@pytest.fixture
def dispatcher(file):
    one = Dispatcher(policy=str(file))
    yield one
    one.shutdown("5s")


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


@contextmanager
def logged():
    """What is logged meanwhile. Afterwards nobody has configured structlog, as before."""
    try:
        with capture_logs() as said:
            yield said
    finally:
        structlog.reset_defaults()


def task(dispatcher, function, **known):
    known = {"name": f"reload.task{next(NUMBERS)}", **known}
    return dispatch.task(**known)(function).using(dispatcher)


def stopper(dispatcher, gate):
    """A task that keeps its worker until the gate opens, and what is released each time one has begun."""
    begun = threading.Semaphore(0)

    def stop(_text: str = "") -> None:
        begun.release()
        assert gate.wait(30)

    return task(dispatcher, stop), begun


def occupied(dispatcher, gate, workers=2):
    stop, begun = stopper(dispatcher, gate)
    handles = [stop.delay() for _ in range(workers)]
    for _ in handles:
        assert begun.acquire(timeout=10)
    return stop


def test_the_next_call_is_decided_by_the_file_as_it_is_now(dispatcher, file):
    """The decision names the new rule and the new version; the call before it had the old ones."""
    add = task(dispatcher, lambda: 1)
    before = add.delay().decision

    file.write_text(TWO.replace("rules: []", "rules: [{name: mine, match: {task: reload.*}, route_to: other}]"))
    policy = dispatcher.reload()

    after = add.delay().decision
    assert ("otherwise", "mine") == (before.rule, after.rule)
    assert (policy.version, read(str(file)).version) == (after.policy_version, policy.version)
    assert before.policy_version != after.policy_version
    assert policy is dispatcher.policy


def test_a_file_that_says_the_same_changes_nothing(dispatcher, file):
    """Comments and layout are not the policy: it stays the very same object, and nothing is said."""
    before = dispatcher.policy
    file.write_text("# a comment\n" + ONE_POOL)

    with logged() as said:
        assert before is dispatcher.reload()

    assert [] == said


def test_a_bad_file_leaves_the_last_good_policy_in_force_and_says_everything(dispatcher, file):
    """Every mistake is in the error and in the log, with the version that stays; calls go on."""
    add = task(dispatcher, lambda: 1)
    before = add.delay().decision.policy_version
    file.write_text(ONE_POOL.replace("workers: 2", "workres: 2").replace("route_to: fast", "route_to: fats"))

    with logged() as said, pytest.raises(PolicyError) as raised:
        dispatcher.reload()

    assert ["unknown-key", "unknown-destination"] == [each.code for each in raised.value.problems]
    (line,) = said
    assert ("error", before) == (line["log_level"], line["version"])
    assert [str(each) for each in raised.value.problems] == line["problems"]
    assert before == add.delay().decision.policy_version

    file.unlink()
    with pytest.raises(PolicyError, match="not-found"):
        dispatcher.reload()
    assert 1 == add.delay().result(10)


@pytest.mark.parametrize(
    ("was", "becomes", "place"),
    [
        ("workers: 2", "workers: 3", ":4:28:"),
        ("workers: 2, ", "", ":4:3:"),
        ("workers: 2", "runner: asyncio", ":4:28:"),
        ("transport: local, workers: 2, capacity: 100", "transport: celery", ":4:10:"),
        ("capacity: 100", "capacity: 0", ":4:40:"),
    ],
)
def test_what_takes_a_restart_is_refused_with_that_word(dispatcher, file, was, becomes, place):
    """Workers that live are not exchanged: the problem names the key and its place, and nothing else changes either."""
    before = dispatcher.policy
    text = ONE_POOL.replace("durability: ephemeral", "durability: ephemeral, latency_budget: 1s")
    file.write_text(text.replace(was, becomes))

    with pytest.raises(PolicyError) as raised:
        dispatcher.reload()

    problem = raised.value.problems[0]
    assert "needs-restart" == problem.code
    assert "restart" in problem.message
    assert f"{file}{place}" in str(problem)
    assert before is dispatcher.policy


def test_an_overlay_that_takes_a_restart_is_named(tmp_path, file):
    """Of several files it is the last that says it."""
    over = tmp_path / "over.yaml"
    over.write_text("version: 1\n")
    with Dispatcher(policy=[str(file), str(over)]) as one:
        over.write_text("version: 1\ndestinations:\n  fast: {workers: 5}\n")

        with pytest.raises(PolicyError) as raised:
            one.reload()

    assert [(str(over), 3)] == [(each.file, each.line) for each in raised.value.problems]


def test_a_policy_that_is_no_file_cannot_be_read_again():
    """There is nothing to read; the error says what to give instead."""
    with Dispatcher(policy=parse(ONE_POOL)) as one, pytest.raises(NotConfigured, match=r"given as a Policy.*configure"):
        one.reload()


def test_after_the_end_no_policy_comes_into_force(dispatcher, file):
    """A destination that came then would never be closed."""
    dispatcher.shutdown("5s")
    file.write_text(ONE_POOL.replace("100", "200"))

    with pytest.raises(NotConfigured, match="shut down"):
        dispatcher.reload()


def test_the_default_dispatcher_is_reloaded_by_the_door(file):
    """`dispatch.reload()`, and before there is a dispatcher, it makes one."""
    dispatch.configure(policy=str(file))
    try:
        file.write_text(ONE_POOL.replace("100", "50"))

        assert read(str(file)).version == dispatch.reload().version
        assert 50 == dispatch.statistics().destinations["fast"].capacity
    finally:
        dispatch.shutdown("5s")


# ---- limits of what lives


def test_more_capacity_lets_in_who_waits_for_room(dispatcher, file, gate):
    """The pool is the same one: what waits stays, and a sender that waits for room gets it."""
    file.write_text(ONE_POOL.replace("capacity: 100", "capacity: 1, block_timeout: 30s"))
    dispatcher.reload()
    stop = occupied(dispatcher, gate)
    first = stop.delay()
    second = []
    sender = threading.Thread(target=lambda: second.append(stop.delay()))
    sender.start()

    file.write_text(ONE_POOL.replace("capacity: 100", "capacity: 2, block_timeout: 30s"))
    dispatcher.reload()
    sender.join(20)

    assert 2 == dispatcher.statistics().destinations["fast"].waiting
    gate.set()
    assert (None, None) == (first.result(10), second[0].result(10))


def test_less_capacity_sends_nobody_away(dispatcher, file, gate):
    """What waits beyond the new capacity stays, nobody new gets in, and when it has run the new capacity holds."""
    stop = occupied(dispatcher, gate)
    waiting = [stop.delay() for _ in range(10)]

    file.write_text(ONE_POOL.replace("capacity: 100", "capacity: 3, on_full: reject"))
    dispatcher.reload()

    with pytest.raises(NotAccepted):
        stop.delay()
    gate.set()
    assert [None] * 10 == [each.result(10) for each in waiting]
    eventually(lambda: dispatcher.destinations["fast"]._pool.channel.capacity == 3)


def test_on_full_and_the_shutdown_follow_the_new_word(dispatcher, file, gate):
    """`on_full: block` becomes `reject`, and what waits at the end is dropped."""
    file.write_text(ONE_POOL.replace("capacity: 100", "capacity: 1, on_full: reject, on_shutdown: drop"))
    dispatcher.reload()
    stop = occupied(dispatcher, gate)
    waiting = stop.delay()

    with pytest.raises(dispatch.DestinationFull):
        stop.delay()
    threading.Timer(0.2, gate.set).start()
    drained = dispatcher.shutdown("10s")

    assert 1 == drained.dropped
    with pytest.raises(dispatch.CallCancelled):
        waiting.result(1)


@pytest.mark.parametrize("runner", ["thread", "asyncio"])
def test_bytes_are_bounded_from_the_reload_on(file, gate, runner):
    """`max_bytes` where there was none, then more of it, then none again: what waits is counted, and given back."""
    text = ONE_POOL.replace("workers: 2", f"workers: 2, runner: {runner}, on_full: reject")
    file.write_text(text)
    with Dispatcher(policy=str(file)) as one:
        begun = threading.Semaphore(0)

        async def astop(_text: str = "") -> None:
            begun.release()
            await to_thread(gate.wait, 30)

        def stop(_text: str = "") -> None:
            begun.release()
            assert gate.wait(30)

        slow = task(one, astop if runner == "asyncio" else stop)
        handles = [slow.delay() for _ in range(2)]
        for _ in handles:
            assert begun.acquire(timeout=10)
        handles.append(slow.delay("x" * 1000))

        file.write_text(text.replace("workers: 2", "workers: 2, max_bytes: 1KiB"))
        one.reload()
        handles.append(slow.delay("x" * 600))
        with pytest.raises(NotAccepted):
            slow.delay("x" * 600)

        file.write_text(text.replace("workers: 2", "workers: 2, max_bytes: 4KiB"))
        one.reload()
        handles.append(slow.delay("x" * 600))
        assert 1200 < one.statistics().destinations["fast"].bytes < 1400
        gate.set()
        assert [None] * 5 == [each.result(10) for each in handles]
        assert 0 == one.statistics().destinations["fast"].bytes

        file.write_text(text)
        one.reload()
        assert None is slow.delay("x" * 9000).result(10)
        assert None is one.statistics().destinations["fast"].bytes


# ---- destinations that come and go

TWO = ONE_POOL.replace("defaults", "  other: {transport: local, workers: 1, reached_by: pins}\ndefaults")
TO_OTHER = TWO.replace("route_to: fast", "route_to: other, fallback: [fast]")


def test_a_destination_may_come_and_go_and_come_again(dispatcher, file, gate):
    """One that is named no more finishes what it has, and is the same one when it is named again."""
    stop, begun = stopper(dispatcher, gate)
    file.write_text(TO_OTHER)
    dispatcher.reload()
    running, waiting = stop.delay(), stop.delay()
    assert begun.acquire(timeout=10)
    pool = dispatcher.destinations["other"]._pool

    file.write_text(ONE_POOL)
    dispatcher.reload()
    assert ["fast"] == list(dispatcher.destinations)
    assert "fast" == stop.delay().decision.destination
    assert 1 == dispatcher.statistics().destinations["other"].waiting
    file.write_text(TWO.replace("workers: 1", "workers: 2"))
    with pytest.raises(PolicyError, match="needs-restart"):
        dispatcher.reload()  # its worker still lives
    file.write_text(TWO)
    dispatcher.reload()

    assert pool is dispatcher.destinations["other"]._pool
    gate.set()
    assert (None, None) == (running.result(10), waiting.result(10))


def test_what_waits_where_nothing_is_sent_any_more_is_finished_at_the_end(dispatcher, file, gate):
    """A shutdown waits for every destination that lives, named or not."""
    stop, begun = stopper(dispatcher, gate)
    file.write_text(TO_OTHER)
    dispatcher.reload()
    handles = [stop.delay(), stop.delay()]
    assert begun.acquire(timeout=10)
    file.write_text(ONE_POOL)
    dispatcher.reload()

    gate.set()
    dispatcher.shutdown("10s")

    assert [None, None] == [each.result(0) for each in handles]


def test_a_pin_to_a_destination_that_went_is_said_at_the_call(dispatcher, file):
    """The task's word is looked up in the policy in force."""
    file.write_text(TWO)
    dispatcher.reload()
    pinned = task(dispatcher, lambda: 1).options(route_to="other")
    assert 1 == pinned.delay().result(10)

    file.write_text(ONE_POOL)
    dispatcher.reload()

    with pytest.raises(NotConfigured, match="no such destination"):
        pinned.delay()


# ---- under load

LEFT = """
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 40, max_bytes: 2KiB, on_full: next}
  left: {transport: local, workers: 2, capacity: 50, on_full: block, block_timeout: 30s}
defaults: {durability: ephemeral}
rules:
  - {name: small-left, match: {payload: "< 40B"}, route_to: left}
  - {name: big-left, match: {payload: ">= 40B"}, route_to: fast, fallback: [left]}
otherwise: {route_to: left, fallback: [fast]}
"""
RIGHT = """
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 7, on_full: next}
  right: {transport: local, workers: 2, capacity: 50, on_full: block, block_timeout: 30s}
defaults: {durability: ephemeral, latency_budget: 10s}
rules:
  - {name: small-right, match: {payload: "< 60B"}, route_to: fast, fallback: [right]}
  - {name: big-right, match: {payload: ">= 60B"}, route_to: right}
otherwise: {route_to: right, fallback: [fast]}
"""
WHOLE = {
    "small-left": {"left"},
    "big-left": {"fast", "left"},
    "small-right": {"fast", "right"},
    "big-right": {"right"},
}


class Load:
    """Eight threads that send until it is over, and what became of it."""

    def __init__(self, dispatcher) -> None:
        self.sent: list[tuple[int, int, dispatch.Handle]] = []
        self.ran: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._over = threading.Event()

        def note(number: int, _text: str) -> int:
            with self._lock:
                self.ran[number] += 1
            return number

        self._task = task(dispatcher, note)

    def send(self, first: int) -> None:
        chance = random.Random(SEED + first)
        for number in range(first, 10**9, 8):
            if self._over.is_set():
                return
            size = chance.choice([1, 30, 50, 80])
            self.sent.append((number, size, self._task.delay(number, "x" * size)))

    def end(self, senders) -> None:
        self._over.set()
        for sender in senders:
            sender.result(30)


def change(dispatcher, path, chance) -> None:
    for turn in range(150):
        path.write_text(RIGHT if turn % 2 == 0 else LEFT)
        if chance.random() < 0.1:
            path.write_text("version: 1\nrules: [")
            with pytest.raises(PolicyError):
                dispatcher.reload()
        else:
            dispatcher.reload()


def test_under_load_no_call_is_lost_or_decided_by_half_a_policy(tmp_path):
    """While the policy is changed back and forth every call runs once, and each decision's version, rule, destination,
    budget and payload are those of one and the same policy. The seed is named by a failure.
    """
    sides = {parse(LEFT).version: "left", parse(RIGHT).version: "right"}
    path = tmp_path / "shop.yaml"
    path.write_text(LEFT)

    with Dispatcher(policy=str(path)) as one, ThreadPoolExecutor(8) as threads:
        load = Load(one)
        senders = [threads.submit(load.send, first) for first in range(8)]
        try:
            change(one, path, random.Random(SEED))
        finally:
            load.end(senders)
        results = [handle.result(30) for _, _, handle in load.sent]

    assert [number for number, _, _ in load.sent] == results, f"RELOAD_SEED={SEED}"
    assert Counter(results) == load.ran, f"RELOAD_SEED={SEED}"
    decisions = [handle.decision for _, _, handle in load.sent]
    broken = [each for each in decisions if not is_whole(each, sides[each.policy_version])]
    assert [] == broken, f"RELOAD_SEED={SEED}"
    assert set(sides) == {each.policy_version for each in decisions}


def is_whole(decision, side) -> bool:
    """Whether all that it says is said by the policy of that side."""
    small = decision.rule == f"small-{side}"
    size = decision.payload_bytes
    fits = size is None or small == (size < (40 if side == "left" else 60))
    budget = 10**10 if side == "right" else None
    return (
        fits
        and decision.destination in WHOLE.get(decision.rule, ())
        and (decision.rule.endswith(side) and budget == decision.latency_budget_ns)
    )


# ---- watching


def test_a_change_of_a_watched_file_is_followed(file, monkeypatch):
    """With DISPATCH_WATCH: written in place, replaced by a rename, and, after a mistake, mended."""
    monkeypatch.setenv("DISPATCH_WATCH", "true")
    with Dispatcher(policy=str(file)) as one:
        file.write_text(ONE_POOL.replace("100", "200"))
        eventually(lambda: one.statistics().destinations["fast"].capacity == 200, within=20)

        beside = file.with_name("beside.yaml")
        beside.write_text(ONE_POOL.replace("100", "300"))
        beside.replace(file)
        eventually(lambda: one.statistics().destinations["fast"].capacity == 300, within=20)

        good = read(str(file)).version
        with logged() as said:
            file.write_text("version: 1\n")
            eventually(lambda: [each for each in said if each["log_level"] == "error"], within=20)
        assert good == one.policy.version
        file.write_text(ONE_POOL)
        eventually(lambda: one.statistics().destinations["fast"].capacity == 100, within=20)


def test_a_turned_link_is_followed(tmp_path, monkeypatch):
    """As Kubernetes does it: the file is a link through a folder that is a link."""
    for name, capacity in (("one", "10"), ("two", "20")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shop.yaml").write_text(ONE_POOL.replace("100", capacity))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "shop.yaml").symlink_to("data/shop.yaml")
    monkeypatch.setenv("DISPATCH_WATCH", "true")
    with Dispatcher(policy=str(tmp_path / "shop.yaml")) as one:
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").replace(tmp_path / "data")

        eventually(lambda: one.statistics().destinations["fast"].capacity == 20, within=20)


def test_without_the_package_the_watch_names_the_extra(file, monkeypatch):
    """Not at the first change, but at once."""
    monkeypatch.setenv("DISPATCH_WATCH", "true")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(NotConfigured, match=r"dispatch-router\[watch\]"):
        Dispatcher(policy=str(file))


def test_a_forked_child_watches_for_itself(file, monkeypatch):
    """Its parent's thread is not there; with its first call it begins anew."""
    monkeypatch.setenv("DISPATCH_WATCH", "true")
    with Dispatcher(policy=str(file)) as one:
        add = task(one, lambda: 1)
        add.delay().result(10)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                add.delay().result(10)
                file.write_text(ONE_POOL.replace("100", "30"))
                eventually(lambda: one.statistics().destinations["fast"].capacity == 30, within=20)
                status = 0
            finally:
                os._exit(status)

        assert 0 == os.waitpid(pid, 0)[1]
        eventually(lambda: one.statistics().destinations["fast"].capacity == 30, within=20)
