"""The directory that trace files are in: what ended processes left there must not fill the disk for ever."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_OURS = re.compile(r"(?P<first>traces-.+-\d+-\d{8}T\d{6}Z-[0-9a-f]{8}\.jsonl)(\.\d+)?")
"""Nobody else's file is ever removed."""

_MOST_FILES = 1000
"""A prefork worker that replaces its children leaves a small file with each, and readers open them all."""


class _Left(NamedTuple):
    """Sorted, the one that was written last comes last."""

    written_ns: int
    path: Path
    first: Path
    """The file that its process writes to, or wrote to."""
    size: int


def hold(descriptor: int) -> None:
    """Mark a trace file as in use until every copy of `descriptor` is closed, however its process ends."""
    # Not the pid, which the name tells: another container's processes are not seen from here, and pids come again.
    # Where a file system has no locks, `sweep` gets none either and removes nothing.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def sweep(folder: Path, max_bytes: int) -> None:
    """Remove the oldest files of processes that have ended, until all are within `max_bytes` and a thousand files.

    Files of living processes are counted and stay. Raises `OSError` when the directory cannot be read.
    """
    files = sorted(_files(folder))
    size, count = sum(each.size for each in files), len(files)
    in_use: dict[Path, bool] = {}
    for each in files:
        if size <= max_bytes and count <= _MOST_FILES:
            return
        if each.first not in in_use:
            in_use[each.first] = _is_held(each.first)
        if not in_use[each.first]:
            each.path.unlink(missing_ok=True)
            size -= each.size
            count -= 1


def _files(folder: Path) -> Iterator[_Left]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = _OURS.fullmatch(entry.name)
            if name is None or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):  # somebody else sweeps, or rotates
                about = entry.stat(follow_symlinks=False)
                yield _Left(about.st_mtime_ns, folder / entry.name, folder / name["first"], about.st_size)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # another user's: not ours to judge
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
