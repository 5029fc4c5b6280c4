"""When there is no room: a clear refusal, nothing spoiled, and all well when there is room again."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

import pytest

from dispatch.errors import NotAccepted, SpoolFull
from dispatch.spool import Spool
from dispatch.spool._schema import PAGE
from spool.calls import entry, ids, verdicts


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, with four mebibytes in it."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", mount], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", mount], check=True)


def fill(spool, *, size=300):
    """Add until it is full; the ids that were accepted, and what was said to the first that was not."""
    accepted = []
    for first in range(0, 100_000, 50):
        receipts = [spool.submit(entry(number, arguments=bytes(size))) for number in range(first, first + 50)]
        for number, receipt in enumerate(receipts, first):
            receipt.wait()
            if receipt.trouble is not None:
                assert "full" == receipt.trouble.verdict
                return accepted, receipt.trouble.detail
            accepted.append(f"call-{number}")
    raise AssertionError("it was never full")


def forward_all(spool, count=100):
    while rows := spool.take("queue", "me", count=count, lease=30):
        spool.settle("me", [(each, 0) for each in verdicts(rows, "accepted")])


def test_at_max_bytes_it_is_full_and_says_how_to_make_room(opened):
    spool = opened(max_bytes=100_000)
    accepted, error = fill(spool)

    assert "max_bytes" in error
    assert accepted == ids(spool.ls())
    assert 99_000 < spool.statistics().bytes <= 100_000
    assert not spool.add(entry(0))  # it is kept already, and that is no matter of room
    assert spool.drop("call-0")
    assert spool.add(entry("new", arguments=bytes(300)))


@pytest.mark.parametrize("size", [10, 700, 2100, 3500, 5000, 70_000])
def test_the_file_stays_within_its_bound_whatever_the_calls_are_like(opened, size):
    """Rows fill pages badly at some sizes; that is counted, and the places of those that left are used again."""
    spool = opened(max_bytes=1 << 20)
    for _ in range(3):
        fill(spool, size=size)
        forward_all(spool)
    fill(spool, size=size)
    spool.close()

    assert spool.path.stat().st_size <= (1 << 20) + 32 * PAGE


def test_the_log_beside_the_file_is_cut_again(opened):
    """However much passes through."""
    spool = opened()
    for number in range(40):
        spool.add(entry(number, arguments=bytes(400_000)))
        forward_all(spool)

    log = spool.path.with_name(spool.path.name + "-wal")
    assert log.stat().st_size <= 2 << 20


def test_a_full_file_can_still_be_emptied(opened, monkeypatch):
    """Even when its rows take more than was thought: leasing and removing need room of their own."""
    monkeypatch.setattr("dispatch.spool._calls.size_of", lambda entry, headers: 1)
    spool = opened(max_bytes=200_000)
    accepted, error = fill(spool, size=1000)
    assert "max_bytes" in error

    rows = spool.take("queue", "me", count=10_000, lease=30)
    spool.settle("me", [(each, 0) for each in verdicts(rows, "refused", "no connection" * 30)])
    forward_all(spool)

    assert len(accepted) == len(rows)
    assert 0 == spool.statistics().rows


def test_a_full_disk_refuses_and_spoils_nothing(small_disk):
    """Everything that was accepted is there, and when there is room again all goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    spool = Spool("shop", folder=small_disk / "state")
    accepted, error = fill(spool)
    assert "no room" in error
    assert accepted == ids(spool.ls(limit=10_000))

    ballast.unlink()
    forward_all(spool)
    assert spool.add(entry("new"))

    assert ["call-new"] == ids(spool.ls())
    assert () == spool.incidents
    spool.close()


def test_a_full_disk_with_a_spool_that_was_never_opened_refuses(small_disk):
    spool = Spool("shop", folder=small_disk / "state")
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))

    with pytest.raises(SpoolFull):
        spool.add(entry(1))
    (small_disk / "ballast").unlink()
    assert spool.add(entry(1))
    spool.close()


def test_a_disk_that_became_read_only_refuses_and_recovers(small_disk):
    spool = Spool("shop", folder=small_disk / "state")
    spool.add(entry(1))
    spool.close()
    spool = Spool("shop", folder=small_disk / "state")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    with pytest.raises(NotAccepted, match="cannot be written"):
        spool.add(entry(2))
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert spool.add(entry(2))
    assert ["call-1", "call-2"] == ids(spool.ls())
    spool.close()
