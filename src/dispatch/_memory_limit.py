"""How much memory this process may use, and how much of that is in use: by its control groups, else by the machine.

The formats are the kernel's: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, and proc(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

_NO_LIMIT = 1 << 60
"""Version 1 writes the largest number of pages there is where there is no limit."""


class MemoryUse(msgspec.Struct, frozen=True):
    """In bytes. What the kernel would give back without trouble, as the cache of files not used lately, is no use."""

    used: int
    limit: int
    source: Literal["cgroup", "machine"]

    @property
    def share(self) -> float:
        return self.used / self.limit


def memory_use(root: Path = Path("/")) -> MemoryUse | None:
    """Of the tightest limit that holds for this process, up the hierarchy; the machine's where no group has any.

    `None` where the system does not say. `root` is where `proc` and `sys` are.
    """
    uses = [*_version_2(root), *_version_1(root)]
    return max(uses, key=lambda use: use.share) if uses else _machine(root)


def _version_2(root: Path) -> Iterator[MemoryUse]:
    for folder in _folders(root / "sys/fs/cgroup", _path(root, "")):
        # Above `high` the kernel slows the group down and takes back what it can: that is its limit, too.
        limits = [_number(folder / name) for name in ("memory.max", "memory.high")]
        limit = min((each for each in limits if each is not None), default=None)
        used = _number(folder / "memory.current")
        if limit and used is not None:
            yield MemoryUse(_less(used, folder, "inactive_file"), limit, "cgroup")


def _version_1(root: Path) -> Iterator[MemoryUse]:
    for folder in _folders(root / "sys/fs/cgroup/memory", _path(root, "memory")):
        limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
        if limit and limit < _NO_LIMIT and used is not None:
            yield MemoryUse(_less(used, folder, "total_inactive_file"), limit, "cgroup")


def _machine(root: Path) -> MemoryUse | None:
    said = _table(root / "proc/meminfo")
    total, available = said.get("MemTotal:"), said.get("MemAvailable:")
    if not total or available is None:
        return None
    return MemoryUse((total - available) * 1024, total * 1024, "machine")


def _path(root: Path, controller: str) -> str | None:
    """Where this process is in the hierarchy of `controller`; of version 2 by an empty name."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return path
    return None


def _folders(mount: Path, path: str | None) -> Iterator[Path]:
    """From the process's own group up to the mount, where a container finds its own."""
    if path is None:
        return
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:count])


def _less(used: int, folder: Path, idle: str) -> int:
    return max(0, used - _table(folder / "memory.stat").get(idle, 0))


def _number(file: Path) -> int | None:
    """`None`: no such file, or no number, as `max` is none."""
    text = _text(file).strip()
    return int(text) if text.isdecimal() else None


def _table(file: Path) -> Mapping[str, int]:
    rows = (line.split() for line in _text(file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
