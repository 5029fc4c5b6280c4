"""What keeps, and what only looks like a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch.spool import Spool, ground_of

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - {root} /dev/vda rw
30 27 0:26 / /dev/shm rw - tmpfs tmpfs rw
31 27 0:30 / /home/a\040user rw - {home} server:/home rw
"""


@pytest.fixture
def standing(tmp_path):
    def on(path, *, root="ext4", home="ext4"):
        mounts = tmp_path / "mountinfo"
        mounts.write_text(MOUNTS.format(root=root, home=home))
        return ground_of(Path(path), mounts=mounts)

    return on


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs"])
def test_disks_keep(standing, kind):
    ground = standing("/var/lib/nowhere", root=kind)

    assert (kind, "/", True, "") == (ground.kind, ground.mount, ground.keeps, ground.why)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("tmpfs", "memory"),
        ("ramfs", "memory"),
        ("overlay", "container"),
        ("nfs", "network"),
        ("nfs4", "network"),
        ("cifs", "network"),
        ("smb3", "network"),
        ("9p", "network"),
        ("ceph", "network"),
        ("glusterfs", "network"),
        ("fuse.sshfs", "network"),
        ("fuse.glusterfs", "network"),
        ("somethingfs", "not known"),
    ],
)
def test_what_does_not_keep_is_named_with_its_mount_and_the_cure(standing, kind, why):
    ground = standing("/home/a user/state", home=kind)

    assert (kind, "/home/a user", False) == (ground.kind, ground.mount, ground.keeps)
    for word in (kind, why, "/home/a user", "DISPATCH_SPOOL_DIR", "asserted"):
        assert word in ground.why


def test_names_that_only_begin_alike_are_told_apart(standing):
    assert "ext4" == standing("/home/a user2/state", home="nfs").kind


def test_the_later_of_two_mounts_on_one_point_counts(tmp_path):
    (tmp_path / "mounts").write_text("27 1 254:0 / / rw - overlay none rw\n28 1 254:1 / / rw - xfs /dev/vdb rw\n")

    assert "xfs" == ground_of(Path("/srv"), mounts=tmp_path / "mounts").kind


def test_a_link_is_followed_to_where_it_leads(standing, tmp_path):
    (tmp_path / "link").symlink_to("/dev/shm")

    assert "tmpfs" == standing(tmp_path / "link" / "state").kind


def test_without_the_list_of_mounts_the_kernel_is_asked_otherwise(tmp_path):
    """Both ways agree; and a folder that is not there yet stands where its parent stands."""
    for folder in ("/proc/self", "/dev/shm/not/there", tmp_path / "state"):
        listed, asked = ground_of(Path(folder)), ground_of(Path(folder), mounts=tmp_path / "nothing")
        if listed.kind in ("tmpfs", "ext4", "xfs", "btrfs", "overlay"):
            assert (listed.kind, listed.keeps) == (asked.kind, asked.keeps)
        else:
            assert not asked.keeps or listed.keeps


def test_a_spool_says_what_it_stands_on(tmp_path):
    assert ground_of(tmp_path) == Spool("shop", folder=tmp_path / "state").ground
    assert not Spool("shop", folder=Path("/dev/shm/state")).ground.keeps
