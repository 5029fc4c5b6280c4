"""Trace files that are still being written: what was added since the last look."""

from __future__ import annotations

import pytest

from dispatch.telemetry.traces import Following
from telemetry.written import a_line, a_span

ALL = 1 << 20


def line(name):
    return a_line(a_span(name)) + "\n"


def names(following):
    return [span.name for span in following.look()]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "traces-shop-1.jsonl"


def test_each_look_gives_what_was_written_since_the_last(tmp_path, file):
    """From every file."""
    file.write_text(line("first"))
    following = Following(tmp_path, last=ALL)

    assert ["first"] == names(following)
    assert [] == names(following)
    with file.open("a") as more:
        more.write(line("second"))
    (tmp_path / "traces-worker-2.jsonl").write_text(line("third"))
    assert ["second", "third"] == sorted(names(following))
    assert [] == names(following)


def test_a_half_written_line_is_waited_for(tmp_path, file):
    """It is not damaged: its other half is on its way."""
    whole = line("torn")
    file.write_text(line("first") + whole[:40])
    following = Following(tmp_path, last=ALL)

    assert ["first"] == names(following)
    with file.open("a") as more:
        more.write(whole[40:90])
    assert [] == names(following)
    with file.open("a") as more:
        more.write(whole[90:] + line("last"))
    assert ["torn", "last"] == names(following)
    assert 0 == following.damaged


def test_a_file_that_is_rotated_is_read_on_and_its_successor_from_the_beginning(tmp_path, file):
    """What was written to it before it was renamed, and after the last look, is not lost, and nothing comes twice."""
    file.write_text(line("first"))
    following = Following(tmp_path, last=ALL)
    names(following)

    with file.open("a") as more:
        more.write(line("second"))
    file.rename(tmp_path / f"{file.name}.1")
    file.write_text(line("third"))

    assert ["second", "third"] == names(following)
    (tmp_path / f"{file.name}.1").rename(tmp_path / f"{file.name}.2")
    file.rename(tmp_path / f"{file.name}.1")
    file.write_text(line("fourth"))
    assert ["fourth"] == names(following)


def test_a_single_file_is_followed_over_its_rotation(tmp_path, file):
    """And its older ones, and its neighbours, are not read."""
    file.write_text(line("first"))
    (tmp_path / f"{file.name}.1").write_text(line("old"))
    (tmp_path / "traces-worker-2.jsonl").write_text(line("neighbour"))
    following = Following(file, last=ALL)

    assert ["first"] == names(following)
    with file.open("a") as more:
        more.write(line("second"))
    file.replace(tmp_path / f"{file.name}.1")
    file.write_text(line("third"))
    assert ["second", "third"] == names(following)


def test_a_file_that_was_emptied_is_read_anew(tmp_path, file):
    """As copying rotators do it."""
    file.write_text(line("first") + line("second"))
    following = Following(tmp_path, last=ALL)
    names(following)

    file.write_text(line("third"))

    assert ["third"] == names(following)


def test_a_new_file_with_the_inode_of_one_that_is_gone_is_read_from_its_beginning(tmp_path, file):
    """Inodes are given again; what was removed is forgotten at the next look."""
    file.write_text(line("first"))
    following = Following(tmp_path, last=ALL)
    names(following)
    file.unlink()
    names(following)

    file.write_text(line("another"))

    assert ["another"] == names(following)


def test_of_what_is_there_already_only_the_end_is_read(tmp_path, file):
    """From the first whole line there; files that come later are read whole."""
    last = line("last")
    file.write_text(line("first") * 50 + last)
    following = Following(tmp_path, last=len(last) + 10)

    assert ["last"] == names(following)
    assert following.is_cut
    (tmp_path / "traces-worker-2.jsonl").write_text(line("new") * 50)
    assert 50 == len(names(following))


def test_a_file_that_is_as_long_as_its_end_is_not_cut(tmp_path, file):
    """All of it was read."""
    file.write_text(line("first"))
    following = Following(tmp_path, last=len(line("first")))

    assert ["first"] == names(following)
    assert not following.is_cut


def test_an_end_that_begins_with_a_line_has_that_line(tmp_path, file):
    """The byte before it says so."""
    file.write_text(line("first") + line("last"))

    assert ["last"] == names(Following(tmp_path, last=len(line("last"))))


def test_a_directory_that_is_not_there_yet_is_waited_for(tmp_path):
    """The application has not begun."""
    following = Following(tmp_path / "traces", last=ALL)

    assert [] == names(following)
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "t.jsonl").write_text(line("first"))
    assert ["first"] == names(following)


def test_damaged_lines_are_counted_and_what_is_no_growing_file_is_left_alone(tmp_path, file):
    """Compressed ones and whole documents do not grow."""
    file.write_text("not json\n\n" + line("first"))
    (tmp_path / "document.json").write_text(line("document"))
    (tmp_path / "t.jsonl.1.gz").write_bytes(b"\x1f\x8b")
    following = Following(tmp_path, last=ALL)

    assert ["first"] == names(following)
    assert 1 == following.damaged
    assert following.first_damage.startswith(f"{file.name}: not OTLP JSON")


def test_a_file_that_cannot_be_opened_does_not_stop_the_others(tmp_path, file):
    """A name that leads nowhere."""
    file.write_text(line("first"))
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")

    assert ["first"] == names(Following(tmp_path, last=ALL))
