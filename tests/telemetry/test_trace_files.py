"""Trace files are rotated, and bounded: those of one process, and those that ended processes have left."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from dispatch.telemetry._export import _folder
from dispatch.telemetry._export._file import TraceFile
from dispatch.telemetry.exporter import JsonLinesExporter
from dispatch.telemetry.traces import read
from telemetry.handmade import Spans


@pytest.fixture
def new_file(tmp_path):
    """Makes trace files in `traces`, bounded as told; whole lines of ten bytes are written to them."""
    made = []

    def make(*, max_bytes: int = 1 << 20, keep: int = 8, max_folder_bytes: int = 1 << 30) -> TraceFile:
        made.append(
            TraceFile(tmp_path / "traces", "shop", max_bytes=max_bytes, keep=keep, max_folder_bytes=max_folder_bytes)
        )
        return made[-1]

    yield make
    for file in made:
        file.close()


def line(number: int) -> bytes:
    """Ten bytes with its newline."""
    return b"%09d" % number


def numbers(path: Path) -> list[int]:
    return [int(each) for each in path.read_bytes().splitlines()]


def rotated(file: TraceFile, number: int) -> Path:
    return file.path.with_name(f"{file.path.name}.{number}")


# Rotation ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_full_makes_way_for_a_new_one_of_the_same_name(new_file):
    """The one before is `.1`, and the one before that `.2`."""
    file = new_file(max_bytes=30)
    for number in range(8):
        file.write(line(number))

    assert [6, 7] == numbers(file.path)
    assert [3, 4, 5] == numbers(rotated(file, 1))
    assert [0, 1, 2] == numbers(rotated(file, 2))


def test_of_one_process_so_many_files_are_kept(new_file):
    """The oldest goes."""
    file = new_file(max_bytes=10, keep=3)
    for number in range(7):
        file.write(line(number))

    assert [[6], [5], [4]] == [numbers(each) for each in (file.path, rotated(file, 1), rotated(file, 2))]
    assert 3 == len(list(file.path.parent.iterdir()))


def test_a_process_may_keep_a_single_file(new_file):
    """Which then begins anew."""
    file = new_file(max_bytes=10, keep=1)
    for number in range(3):
        file.write(line(number))

    assert [file.path] == list(file.path.parent.iterdir())
    assert [2] == numbers(file.path)


def test_a_line_that_is_too_long_has_a_file_to_itself(new_file):
    """It is never divided, and neither are its neighbours."""
    file = new_file(max_bytes=25)
    file.write(line(1))
    file.write(b"2" * 60)
    file.write(line(3))

    assert [b"000000003\n", b"2" * 60 + b"\n", b"000000001\n"] == [
        each.read_bytes() for each in (file.path, rotated(file, 1), rotated(file, 2))
    ]


def test_every_file_is_its_owner_s_alone(new_file):
    """Whatever the umask allows."""
    before = os.umask(0)
    try:
        file = new_file(max_bytes=10)
        file.write(line(1))
        file.write(line(2))
    finally:
        os.umask(before)

    assert {0o600} == {stat.S_IMODE(each.stat().st_mode) for each in file.path.parent.iterdir()}


def test_readers_find_rotated_files(tmp_path):
    """Every span, whichever file it is in by now."""
    spans = Spans()
    exporter = JsonLinesExporter(tmp_path, max_bytes=4096)
    for number in range(30):
        spans.tracer().start_span(str(number)).end()
        exporter.export(spans.finished[-1:])
    exporter.shutdown()

    traces = read(tmp_path)
    assert traces.files > 1
    assert {str(number) for number in range(30)} == {span.name for trace in traces for span in trace.spans}
    assert 0 == traces.damaged


def test_a_child_leaves_its_parent_s_files_alone(new_file):
    """It has a file of its own, and rotates that."""
    file = new_file(max_bytes=20)
    file.write(line(1))
    file.write(line(2))  # full: the next one would rotate it

    child = multiprocessing.get_context("fork").Process(target=lambda: [file.write(line(each)) for each in (3, 4, 5)])
    child.start()
    child.join()

    assert 0 == child.exitcode
    assert [1, 2] == numbers(file.path)
    assert not rotated(file, 1).exists()
    theirs = sorted(set(file.path.parent.iterdir()) - {file.path})
    assert [[5], [3, 4]] == [numbers(each) for each in theirs]
    assert all(f"-{child.pid}-" in each.name for each in theirs)


@pytest.mark.parametrize("bound", ["max_bytes", "keep", "max_directory_bytes"])
def test_bounds_that_leave_no_room_are_refused(tmp_path, bound):
    """At once, and not at the first span."""
    with pytest.raises(ValueError, match=bound):
        JsonLinesExporter(tmp_path, **{bound: 0})


# Bad disks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def exporter(tmp_path):
    """Writes to `traces`, as an application's does."""
    exporter = JsonLinesExporter(tmp_path / "traces", max_bytes=1000)
    yield exporter
    exporter.shutdown()


@pytest.fixture
def one():
    """A span that has ended; its line is longer than half a file."""
    spans = Spans()
    spans.tracer().start_span("one", attributes={"text": "x" * 600}).end()
    return spans.finished


def test_a_directory_that_was_removed_is_made_again(exporter, one, tmp_path):
    """What is written from then on is there; who removed it has what was in it before."""
    exporter.export(one)
    exporter.path.unlink()
    exporter.path.parent.rmdir()

    assert SpanExportResult.SUCCESS == exporter.export(one)
    assert 1 == len(read(tmp_path / "traces"))


def test_a_directory_that_others_stand_in_the_place_of_costs_spans_until_it_is_back(exporter, one, tmp_path, failures):
    """Each export that failed is counted."""
    folder = tmp_path / "traces"
    exporter.export(one)
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("a file")
    [kept] = (tmp_path / "elsewhere").iterdir()
    kept.unlink()

    assert [SpanExportResult.FAILURE] * 2 == [exporter.export(one) for _ in range(2)]
    assert 2 == failures()

    folder.unlink()
    assert SpanExportResult.SUCCESS == exporter.export(one)
    assert 1 == len(read(folder))


def test_files_that_cannot_be_renamed_cost_spans_until_they_can(exporter, one, monkeypatch, failures):
    """A read-only directory: the full file does not grow over its bound meanwhile, and is rotated later."""
    exporter.export(one)
    size = exporter.path.stat().st_size

    def refuse(*_):
        raise PermissionError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        patch.setattr(os, "rename", refuse)
        assert SpanExportResult.FAILURE == exporter.export(one)
    assert (size, 1) == (exporter.path.stat().st_size, failures())

    assert SpanExportResult.SUCCESS == exporter.export(one)
    assert 2 == len(list(exporter.path.parent.iterdir()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full disk to write to")
def test_a_full_disk_costs_spans_until_there_is_room(exporter, one, failures):
    """The system's own full disk, behind the descriptor that the file has open."""
    exporter.export(one)
    descriptor = exporter._file._descriptor
    kept, full = os.dup(descriptor), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, descriptor)
    exporter._file._size = 0

    assert SpanExportResult.FAILURE == exporter.export(one)
    assert 1 == failures()

    os.dup2(kept, descriptor)
    assert SpanExportResult.SUCCESS == exporter.export(one)
    assert 2 == len(exporter.path.read_bytes().split())
    os.close(kept)
    os.close(full)


# What ended processes have left ------------------------------------------------------------------------------------


def left(folder: Path, number: int, size: int, *, suffix: str = "") -> Path:
    """A file of a process that has ended; a greater number was written later."""
    folder.mkdir(exist_ok=True)
    path = folder / f"traces-shop-{number}-20260101T000000Z-{number:08x}.jsonl{suffix}"
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(number * 10**9, number * 10**9))
    return path


def test_beyond_its_size_the_oldest_files_of_ended_processes_are_removed(new_file, tmp_path):
    """When a file is begun."""
    old, older, young = (left(tmp_path / "traces", number, 400) for number in (2, 1, 3))
    file = new_file(max_folder_bytes=900)
    file.write(line(1))

    assert (True, False, True) == (old.exists(), older.exists(), young.exists())


def test_within_its_size_nothing_is_removed(new_file, tmp_path):
    """However old."""
    old = left(tmp_path / "traces", 1, 400)
    new_file(max_folder_bytes=500).write(line(1))

    assert old.exists()


def test_so_many_small_files_are_too_many(new_file, tmp_path, monkeypatch):
    """A prefork worker that replaces its children leaves one with each."""
    monkeypatch.setattr(_folder, "_MOST_FILES", 10)
    files = [left(tmp_path / "traces", number, 1) for number in range(1, 21)]
    new_file().write(line(1))

    assert files[11:] == [each for each in files if each.exists()]


def test_rotated_files_of_ended_processes_go_too(new_file, tmp_path):
    """By their own age."""
    rotated = left(tmp_path / "traces", 1, 400, suffix=".1")
    first = left(tmp_path / "traces", 2, 400)
    new_file(max_folder_bytes=500).write(line(1))

    assert (False, True) == (rotated.exists(), first.exists())


def test_nobody_else_s_file_is_removed(new_file, tmp_path):
    """Other names, and other kinds."""
    folder = tmp_path / "traces"
    folder.mkdir()
    strangers = [folder / name for name in ("traces.jsonl", "traces-shop.jsonl", "saved-traces-1.jsonl", "notes.txt")]
    for each in strangers:
        each.write_bytes(b"x" * 400)
    linked = folder / left(tmp_path / "kept", 1, 400).name
    linked.symlink_to(tmp_path / "kept" / linked.name)
    new_file(max_folder_bytes=1).write(line(1))

    assert all(each.exists() for each in (*strangers, linked))


LIVING = """
    import sys
    from pathlib import Path
    from dispatch.telemetry._export._file import TraceFile
    file = TraceFile(Path("traces"), "shop", max_bytes=10, keep=4, max_folder_bytes=1 << 30)
    for number in range(3):
        file.write(b"%09d" % number)
    print(file.path.name, flush=True)
    sys.stdin.read()
    """


def test_files_of_a_living_process_stay_and_of_one_that_was_killed_go(new_file, tmp_path):
    """The rotated ones with the one that it writes. No pid is asked: the other may live in another container."""
    with subprocess.Popen(
        [sys.executable, "-c", dedent(LIVING)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        name = process.stdout.readline().strip()
        theirs = {name, f"{name}.1", f"{name}.2"}
        file = new_file(max_bytes=10, keep=2, max_folder_bytes=15)
        file.write(line(1))
        assert theirs < {each.name for each in file.path.parent.iterdir()}

        process.kill()
        process.wait()
        file.write(line(2))
        assert {file.path.name, rotated(file, 1).name} == {each.name for each in file.path.parent.iterdir()}
