"""Handing calls in, and looking at them."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from dispatch.errors import NotAccepted, OutcomeUnknown
from dispatch.spool import Spool, _calls
from dispatch.spool._folder import default_folder
from spool.calls import entry, ids, verdicts


def modes(folder):
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


def test_a_call_comes_back_as_it_was_handed_in(spool):
    handed = entry(1, headers={"trace": "00-ab", "n": [1]}, arguments=b"\x00\xff", attempt=3, entered=7, doubtful=True)

    assert spool.add(handed)
    (row,) = spool.take("queue", "me", count=10, lease=30)

    assert handed == type(handed)(**{name: getattr(row, name) for name in handed.__struct_fields__})
    assert ("shop", 0, None) == (row.application, row.tries, row.last_error)


def test_an_id_has_one_row(spool):
    """Handed in again, it says so, and the first one stays."""
    assert spool.add(entry(1, attempt=1))
    assert not spool.add(entry(1, attempt=2))

    assert [1] == [row.attempt for row in spool.ls()]


def test_sixteen_callers_share_their_syncs(spool):
    """At most one sync for six calls: whoever waits at one moment goes out together."""
    start = threading.Barrier(16)

    def add(caller):
        start.wait(10)
        for number in range(60):
            assert spool.add(entry(f"{caller}-{number}"), patience=30)

    threads = [threading.Thread(target=add, args=(caller,)) for caller in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)

    statistics = spool.statistics()
    assert 960 == statistics.rows
    assert statistics.syncs <= 960 / 6


def test_a_call_by_itself_has_a_sync_of_its_own(spool):
    for number in range(5):
        spool.add(entry(number))
    spool.add(entry(0))

    assert 5 == spool.statistics().syncs


def test_coroutines_wait_without_stopping_their_loop(spool):
    async def add(number):
        receipt = spool.submit(entry(number))
        await receipt.wait_async()
        return receipt.trouble, receipt.value

    async def main():
        return await asyncio.gather(*(add(number % 20) for number in range(40)))

    answers = asyncio.run(main())

    assert [(None, True)] * 20 + [(None, False)] * 20 == answers
    assert 20 == spool.statistics().rows


def test_it_is_this_user_s_alone_whatever_the_umask_says(tmp_path):
    """Folders 0700, files 0600, those that SQLite makes included."""
    before = os.umask(0)
    spool = Spool("shop", folder=tmp_path / "one" / "two")
    try:
        spool.add(entry(1))

        assert [0o700, 0o700] == [stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "one", spool.folder)]
        assert {
            "shop.sqlite3": 0o600,
            "shop.sqlite3-wal": 0o600,
            "shop.sqlite3-shm": 0o600,
            "shop.sqlite3.lock": 0o600,
        } == modes(spool.folder)
    finally:
        os.umask(before)
        spool.close()


@pytest.mark.parametrize("spoil", ["folder", "file"])
def test_what_others_can_read_is_refused_with_the_cure(opened, spoil):
    first = opened()
    first.add(entry(1))
    first.close()
    path = first.folder if spoil == "folder" else first.path
    path.chmod(path.stat().st_mode | 0o040)

    with pytest.raises(NotAccepted, match=rf"open to other users .*chmod [67]00 {path}"):
        opened().add(entry(2))


def test_what_belongs_to_another_user_is_refused(opened, monkeypatch):
    first = opened()
    first.add(entry(1))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(NotAccepted, match=r"belongs to user \d+, and this process runs as user 12345"):
        opened().add(entry(2))


def test_a_link_in_the_place_of_the_file_is_refused(spool, tmp_path):
    """Otherwise whoever may write to the folder could have us write anywhere."""
    spool.folder.mkdir(0o700)
    (tmp_path / "elsewhere").touch(0o600)
    spool.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(NotAccepted, match="no plain file"):
        spool.add(entry(1))


def test_the_folder_follows_xdg(monkeypatch):
    """And a relative path in XDG_STATE_HOME is ignored, as its specification says."""
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert Path("/var/state/dispatch") == default_folder()
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert Path.home() / ".local/state/dispatch" == default_folder()


def test_applications_have_files_of_their_own(tmp_path):
    """Whatever their names are made of."""
    spools = [Spool(name, folder=tmp_path / "state") for name in ("a/b", "a_b", "..", "ä")]
    for number, spool in enumerate(spools):
        spool.add(entry(number))

    assert [["call-0"], ["call-1"], ["call-2"], ["call-3"]] == [ids(spool.ls()) for spool in spools]
    assert {tmp_path / "state"} == {spool.path.parent for spool in spools}
    for spool in spools:
        spool.close()


def test_two_spools_on_one_file_see_the_same_calls(opened):
    first, second = opened(), opened()
    first.add(entry(1))

    assert not second.add(entry(1))
    assert second.add(entry(2))
    assert ["call-1", "call-2"] == ids(first.ls())


def test_looking_makes_no_file(spool):
    assert ((), 0, None) == (spool.ls(), spool.statistics().rows, spool.drop("call-1"))
    assert not spool.revive("call-1")
    assert not spool.folder.exists()


def test_a_list_is_bounded_and_filtered(spool):
    for number in range(6):
        spool.add(entry(number, task="mail.send" if number % 2 else "billing.charge"))
    spool.take("queue", "me", count=2, lease=30)
    (third,) = (row for row in spool.ls() if row.id == "call-2")

    assert ["call-0", "call-1"] == ids(spool.ls(limit=2))
    assert ["call-1", "call-3", "call-5"] == ids(spool.ls(task="mail.*"))
    assert ["call-0", "call-1"] == ids(spool.ls(state="leased"))
    assert ["call-0", "call-1", "call-2"] == ids(spool.ls(before=third.added))


def test_dropping_says_what_is_certain(spool):
    """Only a call that was waiting has certainly not been sent."""
    for number in range(3):
        spool.add(entry(number, doubtful=number == 2))
    spool.take("queue", "me", count=1, lease=30)

    assert ["leased", "waiting", "unknown", None] == [spool.drop(f"call-{number}") for number in range(4)]
    assert 0 == spool.statistics().rows == spool.statistics().bytes


def test_statistics_are_those_of_the_file(opened):
    """So that another process can show them."""
    first = opened()
    for number in range(4):
        first.add(entry(number, doubtful=number == 3))
    rows = first.take("queue", "me", count=2, lease=30)
    first.settle("me", [(verdict, 0) for verdict in verdicts(rows[:1], "never", "no such task")])

    seen = opened().statistics()

    assert (4, 1, 1, 1, 1) == (seen.rows, seen.waiting, seen.leased, seen.unknown, seen.dead)
    assert ("no such task", 6) == (seen.last_error, seen.syncs)
    assert seen.bytes == sum(row.size for row in first.ls())
    assert seen.oldest_ns > 0


def test_a_closed_spool_has_written_what_it_took_and_takes_nothing_new(opened):
    spool = opened()
    receipts = [spool.submit(entry(number)) for number in range(50)]

    assert spool.close(10)

    for receipt in receipts:
        receipt.wait()
        assert receipt.trouble is None
    with pytest.raises(NotAccepted, match="shut down"):
        spool.add(entry(99))
    assert 50 == opened().statistics().rows


def test_a_disk_that_hangs_gets_a_clear_answer(spool, monkeypatch):
    """What was begun is unknown, what had to wait behind it is refused, and nobody hangs."""
    add, begun, go_on = _calls.add, threading.Event(), threading.Event()

    def hang(*args, **known):
        begun.set()
        assert go_on.wait(20)
        return add(*args, **known)

    monkeypatch.setattr(_calls, "add", hang)
    first = spool.submit(entry(1), patience=0.2)
    assert begun.wait(10)

    with pytest.raises(NotAccepted, match="not free within 50 ms"):
        spool.add(entry(2), patience=0.05)
    first.wait()
    assert "unknown" == first.trouble.verdict
    assert isinstance(first.trouble.error("kitchen.brew", first), OutcomeUnknown)

    go_on.set()
    assert spool.add(entry(3), patience=20)
    assert ["call-1", "call-3"] == ids(spool.ls())


def test_a_caller_who_leaves_before_it_was_begun_leaves_nothing(spool, monkeypatch):
    add, begun, go_on = _calls.add, threading.Event(), threading.Event()

    def hang(*args, **known):
        begun.set()
        assert go_on.wait(20)
        return add(*args, **known)

    monkeypatch.setattr(_calls, "add", hang)
    first = spool.submit(entry(1), patience=30)
    assert begun.wait(10)
    second = spool.submit(entry(2), patience=30)

    assert not first.withdraw()
    assert second.withdraw()
    go_on.set()
    first.wait()
    assert ["call-1"] == ids(spool.ls())


def test_one_that_cannot_be_written_spoils_it_for_nobody_else(spool, monkeypatch):
    """Those who share its transaction are written all the same."""
    add, begun, go_on = _calls.add, threading.Event(), threading.Event()

    def hang(*args, **known):
        begun.set()
        assert go_on.wait(20)
        return add(*args, **known)

    monkeypatch.setattr(_calls, "add", hang)
    first = spool.submit(entry(0))
    assert begun.wait(10)
    # An integer that SQLite cannot keep.
    receipts = [spool.submit(entry(number, attempt=1 << 70 if number == 2 else 1)) for number in (1, 2, 3)]
    go_on.set()
    for receipt in (first, *receipts):
        receipt.wait()

    assert [None, None, "refused", None] == [
        receipt.trouble and receipt.trouble.verdict for receipt in (first, *receipts)
    ]
    assert ["call-0", "call-1", "call-3"] == ids(spool.ls())


def test_a_file_that_was_removed_is_made_anew(spool):
    """What would be written to the removed one would be nowhere."""
    spool.add(entry(1))
    for each in spool.folder.iterdir():
        each.unlink()

    assert spool.add(entry(2))
    assert ["call-2"] == ids(spool.ls())
