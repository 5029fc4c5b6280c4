"""`dispatch traces tail`: the last calls, and each new one as it is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from cli.tracing import ask, away_from_settings
from dispatch.cli import _traces_tail
from telemetry.written import QUEUE, a_line, a_span, compact, handed, local, of, queued, ran, write


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Neither the machine's settings nor its `.env`."""
    away_from_settings(monkeypatch, tmp_path)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "traces" / "traces-shop-1.jsonl"


@pytest.fixture
def between(monkeypatch):
    """What happens between one look and the next; after the last of them somebody presses Ctrl-C."""

    def between(*happenings):
        left = iter(happenings)

        def wait(_seconds):
            happening = next(left, None)
            if happening is None:
                raise KeyboardInterrupt
            happening()

        monkeypatch.setattr(_traces_tail, "sleep", wait)

    return between


def calls(asked):
    """Of what was printed as JSON."""
    return [json.loads(line)["call_id"] for line in asked.stdout.splitlines()]


def test_tail_shows_the_last_calls_a_line_for_each(file):
    """The newest last, with where they went, by which rule, what it cost and how they ended."""
    write(file, *(span for number in range(12) for span in local(f"a-{number}", start=number)))
    write(file, *queued("q-1", start=50, error="ValueError"), handed("q-2", QUEUE, start=60))

    heading, *lines = ask("tail", "--limit", "3").output.splitlines()

    assert ["start", "trace", "task", "destination", "rule", "overhead", "wait", "run", "status"] == heading.split()
    assert ["shop.resize", "fast", "otherwise", "6", "µs", "40", "µs", "100", "µs", "ok"] == lines[0].split()[2:]
    assert ["shop.resize", "queue", "must-survive", "6", "µs", "40", "µs", "100", "µs", "ValueError"] == lines[
        1
    ].split()[2:]
    assert ["6", "µs", "waiting"] == lines[2].split()[5:]
    assert 10 == len(ask("tail").output.splitlines()) - 1


def test_tail_as_json_is_an_object_a_line(file):
    """The call's record, with its run's."""
    write(file, *queued("a-1", linked=True))

    [line] = ask("tail", "--json").stdout.splitlines()
    told = json.loads(line)
    assert ("a-1", "queue", 40.0, 1) == (told["call_id"], told["destination"], told["wait_us"], told["attempts"])
    assert told["run_trace_id"] != told["trace_id"]


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (("--task", "shop.c*"), ["b-1"]),
        (("--destination", "queue"), ["c-1"]),
        (("--rule", "otherwise"), ["a-1", "b-1"]),
        (("--errors",), ["b-1", "c-1"]),
        (("--slower", "1ms"), ["b-1"]),
        (("--since", "2200-01-01"), []),
        (("--errors", "--rule", "otherwise"), ["b-1"]),
    ],
)
def test_filters_are_those_of_list(file, arguments, left):
    """All of them of one call; an attempt that was repeated is an error too."""
    write(file, *local("a-1"), *local("b-1", start=1, task="shop.crop", took=2_000, error="KeyError"))
    write(file, *queued("c-1", start=2, error="KeyError"), ran("c-1", QUEUE, start=500, attempt=2))

    assert left == calls(ask("tail", "--json", *arguments))


def test_a_bad_filter_is_a_wrong_argument():
    """Status 2."""
    assert 2 == ask("tail", "--slower", "much").exit_code


def test_where_filters_leave_few_tail_looks_further_back(file):
    """Beyond the last megabyte of a file."""
    write(file, *local("rare-1", task="shop.rare"))
    with file.open("a") as more:
        lines = [a_line(*local(f"a-{number}", start=number)) + "\n" for number in range(1_000)]
        more.writelines(lines)
    assert sum(map(len, lines)) > 1 << 20

    assert ["rare-1"] == calls(ask("tail", "--json", "--task", "shop.rare"))
    assert "a-999" == calls(ask("tail", "--json"))[-1]


def test_a_run_behind_the_cut_is_no_call_of_its_own(file, monkeypatch):
    """Its caller's side is in front of it, where nobody has looked."""
    made, run = local("a-1")
    write(file, made, run, *local("a-2", start=9))
    monkeypatch.setattr(_traces_tail, "_WINDOWS", (file.stat().st_size - len(a_line(made)),))

    assert ["a-2"] == calls(ask("tail", "--json", "--limit", "1"))
    assert ["a-2"] == calls(ask("tail", "--json", "--limit", "2"))


def test_a_worker_s_files_alone_tell_of_its_runs(file):
    """With what it was told of the decision."""
    write(file, ran("a-1", QUEUE))

    _, line = ask("tail").output.splitlines()
    assert ["shop.resize", "queue", "must-survive", "40", "µs", "100", "µs", "ok"] == line.split()[2:]


def test_nothing_yet_says_how_to_get_some(tmp_path):
    """And ends well."""
    said, wanted = ask("tail"), ask("tail", "--task", "x")

    assert (0, 0) == (said.exit_code, wanted.exit_code)
    assert "dispatch.telemetry.setup(" in said.output
    assert "no call in traces is wanted" in wanted.output


def test_damaged_lines_are_counted(file):
    """On the other stream."""
    write(file, *local("a-1"))
    with file.open("a") as more:
        more.write("not json\n")

    assert "1 line could not be read and were left out" in ask("tail").stderr


def test_follow_goes_on_with_calls_as_they_are_written(file, between):
    """In files that are there, and in new ones; Ctrl-C ends it well."""
    write(file, *local("a-1"))
    between(
        lambda: write(file, *compact("a-2", start=100)),
        lambda: None,
        lambda: write(file.with_name("traces-worker-2.jsonl"), *local("a-3", start=200), *local("a-4", start=150)),
    )

    asked = ask("tail", "-f", "--json")

    assert (0, ["a-1", "a-2", "a-4", "a-3"]) == (asked.exit_code, calls(asked))


def test_follow_joins_a_call_to_its_run_in_another_file(file, between):
    """One line, when the worker has written too."""
    made, published, run = queued("a-1")
    between(
        lambda: write(file, made, published),
        lambda: write(file.with_name("traces-worker-2.jsonl"), run, service="worker", pid=2),
    )

    asked = ask("tail", "-f", "--json")

    [told] = map(json.loads, asked.stdout.splitlines())
    assert ("shop", "worker", 40.0) == (told["caller"]["service"], told["worker"]["service"], told["wait_us"])


def test_follow_shows_a_call_that_was_waiting_again_when_it_has_run(file, between):
    """The first time it was among the last."""
    made, published, run = queued("a-1")
    write(file, made, published)
    between(lambda: write(file, run))

    _, *lines = ask("tail", "-f").output.splitlines()

    assert ["waiting", "ok"] == [line.split()[-1] for line in lines]


def test_follow_is_patient_for_five_seconds(file, between):
    """Then it shows the call as it stands."""
    between(lambda: write(file, handed("a-1", QUEUE)), *[lambda: None] * 24)
    shown = ask("tail", "-f", "--json")
    file.unlink()
    between(lambda: write(file, handed("a-1", QUEUE)), *[lambda: None] * 23)
    not_yet = ask("tail", "-f", "--json")

    assert (["a-1"], []) == (calls(shown), calls(not_yet))


def test_follow_goes_on_over_a_rotation_and_a_half_written_line(file, between):
    """Nothing is lost, nothing comes twice."""
    write(file, *local("a-1"))
    whole = a_line(*local("a-2", start=100)) + "\n"

    def write_half():
        with file.open("a") as more:
            more.write(whole[:100])

    def write_the_rest_and_rotate():
        with file.open("a") as more:
            more.write(whole[100:])
        file.rename(file.with_name(f"{file.name}.1"))
        write(file, *local("a-3", start=200))

    between(write_half, write_the_rest_and_rotate, lambda: None)
    asked = ask("tail", "-f", "--json")

    assert (["a-1", "a-2", "a-3"], "") == (calls(asked), asked.stderr)


def test_follow_keeps_to_the_filters(file, between):
    """As for the last ones."""
    between(lambda: write(file, *local("a-1"), *local("a-2", task="shop.crop")))

    assert ["a-2"] == calls(ask("tail", "-f", "--json", "--task", "*.crop"))


def test_follow_waits_for_a_directory_that_is_not_there(file, between):
    """The application is about to begin; meanwhile it is said how to have it record."""
    between(lambda: write(file, *local("a-1")))

    asked = ask("tail", "-f", "--json")

    assert ["a-1"] == calls(asked)
    assert "so far. To record some" in asked.stderr


def test_names_of_strangers_cannot_steer_the_terminal(file):
    """A trace file may come from anywhere."""
    evil = "shop.\x1b[31mred"
    write(file, a_span(f"dispatch {evil}", {**of("a-1", evil), "destination": "\x1b]0;x\x07"}, error="\x1b[2J"))
    write(file, ran("a-2", {**QUEUE, "dead_letter": "\x1b[2J"}, start=5))

    assert "\x1b" not in ask("tail").output


def started(*arguments, **options):
    """The command as a program of its own."""
    code = "from dispatch.cli._traces import traces; traces()"
    return subprocess.Popen([sys.executable, "-c", code, "tail", *arguments], text=True, **options)


def test_ctrl_c_ends_a_follower_with_status_0(file, tmp_path):
    """In earnest: a program, and a signal."""
    write(file, *local("a-1"))

    with started("-f", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        assert follower.stdout.readline().startswith("start")
        assert follower.stdout.readline().split()[2] == "shop.resize"
        follower.send_signal(signal.SIGINT)
        assert ("", "") == follower.communicate(timeout=30)

    assert 0 == follower.returncode


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_that_has_enough_ends_it_quietly(file, tmp_path, form):
    """`| head -1`: nothing on stderr, and nothing wrong."""
    write(file, *(span for number in range(300) for span in local(f"a-{number}", start=number)))
    reader, writer = os.pipe()
    os.close(reader)

    with (
        os.fdopen(writer, "w") as closed,
        started("--limit", "300", *form, cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE) as tail,
    ):
        said = tail.communicate(timeout=30)[1]

    assert (0, "") == (tail.returncode, said)
