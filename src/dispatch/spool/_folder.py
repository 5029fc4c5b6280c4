"""The folder of a spool and the files in it: this user's alone, whatever the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from dispatch.spool._trouble import Unusable

_OTHERS = 0o077


def default_folder() -> Path:
    """`$XDG_STATE_HOME/dispatch`, else `~/.local/state/dispatch` (XDG Base Directory Specification 0.8)."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The specification says that a relative path is to be ignored.
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "dispatch"


def file_name(application: str) -> str:
    """The file of one application; names that differ give files that differ."""
    return f"{quote(application, safe='')}.sqlite3"


def prepare(folder: Path) -> None:
    """Have the folder there, 0700. Raises `Unusable` when it is somebody else's, or open to others."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        # A new folder that is not in its parent's list after a power cut is gone, with all that was synced in it.
        _sync(each.parent)
    _inspect(folder, stat.S_ISDIR, "folder", 0o700)


def touch(path: Path) -> bool:
    """Have the file there, 0600. True when it is new. Raises `Unusable` as `inspect` does."""
    try:
        # SQLite makes the files beside it with the modes of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        inspect(path)
        return False
    _sync(path.parent)
    return True


def inspect(path: Path) -> None:
    """Raises `Unusable`, with the cure, unless the file is a plain one, this user's, and closed to others."""
    _inspect(path, stat.S_ISREG, "file", 0o600)


def _inspect(path: Path, is_kind: Callable[[int], bool], kind: str, mode: int) -> None:
    found = path.stat(follow_symlinks=kind == "folder")
    if not is_kind(found.st_mode):
        raise Unusable(f"{path} is no plain {kind}: remove it, or name another DISPATCH_SPOOL_DIR")
    if found.st_uid != os.geteuid():
        raise Unusable(
            f"{path} belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}: "
            "name a DISPATCH_SPOOL_DIR of its own"
        )
    if found.st_mode & _OTHERS:
        raise Unusable(f"{path} is open to other users (mode {found.st_mode & 0o777:o}): chmod {mode:o} {path}")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
