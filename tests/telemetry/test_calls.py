"""The recorder's file: what it says of a call, and who may read it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

import dispatch
from dispatch.telemetry.calls import dump, load, recorded
from dispatch.telemetry.traces import percentiles, starts
from servers.patience import eventually


@dispatch.task(tags=["images"])
def resize(image: str) -> str:
    return image


@dispatch.task
def refuse() -> None:
    raise LookupError("secret of refuse")


def test_a_call_is_remembered_as_its_traces_would_tell_it(remembering):
    """Requirements, estimate, arrival, decision, wait and run: what a replay needs. No SDK is in place."""
    handle = resize.options(latency_budget="2s").using(remembering).delay("secret of resize")
    handle.result(timeout=10)

    (call,) = recorded()
    decision = handle.decision
    assert (handle.id, resize.name, ("images",), "io") == (call.call_id, call.task, call.tags, call.kind)
    assert ("fast", "local", "otherwise") == (call.destination, call.transport, call.rule)
    assert (decision.policy_version, "ephemeral", 2_000_000.0) == (
        call.policy_version, call.durability, call.latency_budget_us,
    )  # fmt: skip
    assert decision.actual_start_ns == pytest.approx(call.actual_start_us * 1e3)
    assert call.overhead_us == pytest.approx(call.decide_us + call.serialize_us + call.enqueue_us)
    assert all(each >= 0 for each in (call.wait_us, call.start_us, call.run_us))
    assert (1, None, os.getpid()) == (call.attempts, call.error, call.worker.pid)


def test_a_failure_and_a_refusal_say_which_error(remembering):
    """By its type; a refused call has no destination."""
    refuse.using(remembering).delay().exception(timeout=10)
    with pytest.raises(dispatch.NotAccepted):
        resize.options(durability="durable").using(remembering).delay("a")

    failed, refused = recorded()
    assert ("LookupError", "fast") == (failed.error, failed.destination)
    assert ("NotAccepted", None, None) == (refused.error, refused.destination, refused.run_us)


def test_of_a_repeated_call_the_time_to_its_first_start_is_not_known(remembering):
    """What is remembered is its last attempt."""
    stubborn = dispatch.task(name="calls.stubborn", retry=dispatch.Retry(attempts=2, backoff="1ms"))(
        refuse.spec.function
    )
    stubborn.using(remembering).delay().exception(timeout=10)

    (call,) = recorded()
    assert (2, None) == (call.attempts, call.actual_start_us)


def test_what_was_dumped_is_loaded_again(remembering, tmp_path):
    """And is as good as traces for whoever sums calls up."""
    for _ in range(5):
        resize.using(remembering).delay("secret of resize").result(timeout=10)
    before = recorded()
    path = dump(tmp_path / "deep" / "calls.ndjson")

    recording = load(path)
    assert [each.call_id for each in before] == [each.call_id for each in recording.calls]
    assert os.getpid() == recording.process.pid
    assert (
        [5] == [row.count for row in percentiles(recording.calls)] == [row.started for row in starts(recording.calls)]
    )


def test_a_dump_is_its_owner_s_alone_and_keeps_no_arguments(remembering, tmp_path):
    """0600, whatever the umask; and nothing unfinished is left beside it."""
    before = os.umask(0)
    try:
        resize.using(remembering).delay("secret of resize").result(timeout=10)
        refuse.using(remembering).delay().exception(timeout=10)
        path = dump(tmp_path / "calls" / "calls.ndjson")
        path = dump(path)
    finally:
        os.umask(before)
    assert 0o600 == path.stat().st_mode & 0o777
    assert [path] == list(path.parent.iterdir())
    assert b"secret" not in path.read_bytes()


def test_without_a_name_a_dump_stands_beside_the_traces(remembering, tmp_path, monkeypatch):
    """Under a name that no reader of traces takes for a trace file."""
    monkeypatch.setenv("DISPATCH_TRACE_DIR", str(tmp_path / "traces"))
    path = dump()
    assert (tmp_path / "traces", ".ndjson") == (path.parent, path.suffix)
    assert 0 == dispatch.telemetry.traces.read(path.parent).files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("{}\n", ":1: "),
        ('{"resourceSpans":[]}\n', ":1: "),
        ('{"format":"dispatch calls","version":1,"written_ns":1,"process":{"service":"a"}}\nno\n', ":2: "),
        ('{"format":"dispatch calls","version":2,"written_ns":1,"process":{"service":"a"}}\n', ":1: "),
    ],
)
def test_what_is_no_recording_is_refused_with_its_place(tmp_path, content, said):
    path = tmp_path / "calls.ndjson"
    path.write_text(content)
    with pytest.raises(ValueError, match="dump did not write this") as error:
        load(path)
    assert said in str(error.value)


def test_a_folder_that_cannot_be_written_is_the_caller_s_to_know(remembering, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        dump(tmp_path / "file" / "calls.ndjson")


def test_a_signal_has_the_last_calls_written_down(tmp_path):
    """Where the application asks for it; and whoever handled the signal before still does."""
    program = """
import signal, sys, dispatch
from dispatch.telemetry.calls import dump_on
@dispatch.task
def double(x: int) -> int:
    return 2 * x
signal.signal(signal.SIGUSR1, lambda *_: print("mine", flush=True))
dump_on(signal.SIGUSR1)
double.delay(2).result(timeout=10)
print("ready", flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "DISPATCH_TRACE_DIR": str(tmp_path), "DISPATCH_POLICY": "no-broker"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert "ready\n" == child.stdout.readline()
        child.send_signal(signal.SIGUSR1)
        assert "mine\n" == child.stdout.readline()
        written = eventually(lambda: list(tmp_path.glob("*.ndjson")))
        child.stdin.close()
    assert ["__main__.double"] == [call.task for call in load(written[0]).calls]


def test_calls_may_end_while_the_recorder_is_read(remembering):
    """Nobody waits for anybody."""
    over = threading.Event()

    def read():
        while not over.is_set():
            recorded()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        handles = [resize.using(remembering).delay("a") for _ in range(2_000)]
        assert ["a"] * 2_000 == [handle.result(timeout=10) for handle in handles]
    finally:
        over.set()
        reader.join()
    assert 2_000 == len(recorded())
