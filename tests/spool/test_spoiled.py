"""Files that are not what they should be: set aside, never deleted, and reported."""

from __future__ import annotations

import fcntl
import os
import sqlite3

import pytest

from dispatch.errors import DispatchError, NotAccepted
from spool.calls import entry, ids


@pytest.fixture
def filled(opened):
    """A closed file with 300 calls in it."""
    spool = opened()
    receipts = [spool.submit(entry(number, arguments=bytes(700)), patience=30) for number in range(300)]
    assert spool.close(30)
    for receipt in receipts:
        receipt.wait()
        assert receipt.trouble is None
    return spool.path


def incident(spool):
    """The one thing that happened, with what was kept of it."""
    (one,) = spool.incidents
    assert one.kept_as.exists()
    assert (one.kept_as,) == spool.statistics().set_aside
    return one


def overwrite(path, at, data):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_what_is_no_database_is_set_aside_and_kept(filled, opened):
    filled.write_bytes(b"dear diary, " * 1000)
    spool = opened()

    assert spool.add(entry("new"))

    found = incident(spool)
    assert (b"dear diary, " * 1000, 0) == (found.kept_as.read_bytes(), found.salvaged)
    assert "not a database" in found.why
    assert ["call-new"] == ids(spool.ls())


def test_another_program_s_file_is_set_aside_untouched(filled, opened):
    filled.unlink()
    with sqlite3.connect(filled) as stranger:
        stranger.execute("CREATE TABLE bookmarks (url TEXT)")
        stranger.execute("PRAGMA application_id = 77")
    stranger.close()
    filled.chmod(0o600)
    before = filled.read_bytes()
    spool = opened()

    assert spool.add(entry("new"))

    assert "another program's" in incident(spool).why
    assert before == incident(spool).kept_as.read_bytes()


def test_a_database_that_never_said_whose_it_is_is_a_stranger_s(filled, opened):
    filled.unlink()
    with sqlite3.connect(filled) as stranger:
        stranger.execute("CREATE TABLE calls (id TEXT)")
    stranger.close()
    filled.chmod(0o600)

    spool = opened()
    assert spool.add(entry("new"))
    assert "another program's" in incident(spool).why


def test_another_version_is_set_aside_and_its_calls_are_saved(filled, opened):
    with sqlite3.connect(filled) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    spool = opened()

    assert spool.add(entry("new"))

    assert ("version 99" in incident(spool).why, 300) == (True, incident(spool).salvaged)
    assert 301 == spool.statistics().rows


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_of_a_file_that_was_cut_short_is_saved_what_can_be_read(filled, opened, part):
    os.truncate(filled, int(filled.stat().st_size * part))
    spool = opened()

    assert spool.add(entry("new"))

    found = incident(spool)
    assert spool.statistics().rows == found.salvaged + 1
    assert ids(spool.ls())[-1] == "call-new"


def test_of_a_file_with_a_spoiled_page_the_calls_on_both_sides_are_saved(filled, opened):
    size = filled.stat().st_size
    overwrite(filled, size // 2 // 4096 * 4096, os.urandom(4096))
    spool = opened()

    assert spool.add(entry("new"))

    saved = set(ids(spool.ls()))
    assert {"call-0", "call-299", "call-new"} <= saved
    assert len(saved) == incident(spool).salvaged + 1 > 200


def test_a_file_that_is_found_spoiled_while_it_is_in_use_is_set_aside_by_the_last_one(filled, opened):
    """Whoever meets the damage is told; as soon as nobody else has the file open, what can be is saved."""
    first, second = opened(), opened()
    first.add(entry("first"))
    overwrite(filled, 4096 * 8, os.urandom(4096 * 20))

    with pytest.raises(DispatchError, match="malformed"):
        second.ls()
    with pytest.raises(NotAccepted, match="another process has it open"):
        second.add(entry("second"))
    first.close()

    assert second.add(entry("second"))
    assert {"call-0", "call-first", "call-second"} <= set(ids(second.ls()))
    assert incident(second).salvaged > 100


def test_an_empty_file_is_begun(filled, opened):
    """Whoever made it was killed before anything was in it."""
    filled.write_bytes(b"")
    spool = opened()

    assert spool.add(entry(1))
    assert () == spool.incidents


def test_a_spoiled_file_that_another_process_has_open_is_left_to_it(filled, opened):
    """It would go on writing to a file that nobody reads."""
    with sqlite3.connect(filled) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with filled.with_name(filled.name + ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        spool = opened()
        with pytest.raises(NotAccepted, match="another process has it open"):
            spool.add(entry("new"))
        assert () == spool.incidents

    assert spool.add(entry("new"))
    assert 300 == incident(spool).salvaged
