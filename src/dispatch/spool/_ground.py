"""What a folder stands on: a disk that keeps what was synced, or something that only looks like one."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Final

import msgspec

_DISKS = frozenset(
    "ext2 ext3 ext4 xfs btrfs zfs f2fs jfs nilfs2 bcachefs reiserfs".split()  # noqa: SIM905 - read as a list of words
)
_MEMORY = "it is memory, and is empty after a restart of the machine"
_NETWORK = "it is a network file system, on which SQLite's locks and syncs cannot be relied on"
_SHORTCOMINGS: Final = {
    "tmpfs": _MEMORY,
    "ramfs": _MEMORY,
    "rootfs": _MEMORY,
    "overlay": "it is the layer of a container, and goes with it",
    "aufs": "it is the layer of a container, and goes with it",
    **dict.fromkeys(
        "nfs nfs4 cifs smb3 smbfs 9p virtiofs glusterfs ceph lustre gfs2 ocfs2 afs coda ncpfs beegfs".split(),  # noqa: SIM905
        _NETWORK,
    ),
    **dict.fromkeys(
        "fuse.sshfs fuse.glusterfs fuse.ceph-fuse fuse.s3fs fuse.rclone fuse.gcsfuse fuse.nfs".split(),  # noqa: SIM905
        _NETWORK,
    ),
}
_MAGIC: Final = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlay",
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb3",
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x65735546: "fuse",
}
"""`f_type` of statfs(2). ext2, ext3 and ext4 share one number."""

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """The file system under a folder."""

    kind: str
    """As the kernel calls it: `ext4`, `tmpfs`, `fuse.sshfs`; `unknown` where it cannot be told."""
    mount: str
    """The mount point; empty where it cannot be told."""

    @property
    def keeps(self) -> bool:
        """Whether it is known to keep what was synced. What nobody knows is not trusted."""
        return self.kind in _DISKS

    @property
    def why(self) -> str:
        """Why it is not relied on, and the cure; empty where it is."""
        if self.keeps:
            return ""
        shortcoming = _SHORTCOMINGS.get(self.kind, "it is not known to keep what was synced")
        place = f" mounted on {self.mount}" if self.mount else ""
        return (
            f"the spool's folder is on {self.kind}{place}: {shortcoming}. Name a DISPATCH_SPOOL_DIR on a disk of this "
            "machine (ext4, xfs, btrfs, zfs), or, where you know better, write `durability: asserted`"
        )


def ground_of(folder: Path, *, mounts: Path = _MOUNTS) -> Ground:
    """What `folder`, which may not be there yet, stands or will stand on. Raises nothing.

    Asked of Linux's list of mounts (proc(5)), else of statfs(2). Elsewhere it is `unknown`.
    """
    place = folder.resolve()
    try:
        listed = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return _by_number(place)
    found = Ground(kind="unknown", mount="")
    for line in listed.splitlines():
        mounted, _, source = line.partition(" - ")
        mount = _ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), mounted.split(" ")[4])
        # Of two on one point the later hides the earlier.
        if place.is_relative_to(mount) and len(mount) >= len(found.mount):
            found = Ground(kind=source.split(" ")[0], mount=mount)
    return found


def _by_number(place: Path) -> Ground:
    while not place.exists() and place != place.parent:
        place = place.parent
    if sys.platform != "linux":
        return Ground(kind="unknown", mount="")
    room = ctypes.create_string_buffer(512)  # `struct statfs` is a quarter of it, and `f_type` is its first field
    if ctypes.CDLL(None).statfs(os.fsencode(place), room) != 0:
        return Ground(kind="unknown", mount="")
    number = ctypes.c_long.from_buffer(room).value & 0xFFFFFFFF
    return Ground(kind=_MAGIC.get(number, "unknown"), mount="")
